#include "srs/loop_token.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/text.hpp"
#include "srs/hmac.hpp"

namespace {

std::vector<core::Secret> secrets(std::initializer_list<const char*> texts) {
  std::vector<core::Secret> out;
  for (const auto* text : texts) out.emplace_back(std::string(text));
  return out;
}

const mail::Mailbox kSales{"sales", "example.org"};

TEST(Threats, LP_02_our_token_for_this_recipient_is_known_again) {
  const srs::LoopToken ours(secrets({"secret"}), "mx.forward.example");
  const auto value = ours.make(kSales);
  EXPECT_THAT(value, testing::MatchesRegex("fwd-[a-z2-7]{16}@mx\\.forward\\.example"));
  EXPECT_EQ(value, ours.make(kSales));
  EXPECT_TRUE(ours.verify(value, kSales));
  EXPECT_TRUE(ours.verify(" \t" + value + " ", kSales));
  EXPECT_TRUE(ours.verify(value, {"SALES", "Example.ORG"}));
  std::string upper = value;
  for (auto& c : upper) c = core::to_upper(c);
  EXPECT_TRUE(ours.verify(upper, kSales));
}

TEST(Threats, RL_07_tokens_of_others_are_not_ours) {
  const srs::LoopToken ours(secrets({"secret"}), "mx.forward.example");
  const srs::LoopToken theirs(secrets({"another"}), "mx.forward.example");
  EXPECT_FALSE(ours.verify(theirs.make(kSales), kSales));
  EXPECT_FALSE(ours.verify(ours.make({"info", "example.org"}), kSales));
  EXPECT_NE(ours.make({"info", "example.org"}), ours.make(kSales));
  for (const auto* value : {"", "sales@example.org", "fwd-", "fwd-aaaaaaaaaaaaaaaa@mx.forward.example", "fwd-@"}) {
    EXPECT_FALSE(ours.verify(value, kSales)) << value;
  }
  // the recipient is not in it
  EXPECT_EQ(ours.make(kSales).find("sales"), std::string::npos);
}

TEST(LoopToken, old_secrets_verify) {
  const srs::LoopToken before(secrets({"old"}), "mx.forward.example");
  const srs::LoopToken after(secrets({"new", "old"}), "mx.forward.example");
  EXPECT_TRUE(after.verify(before.make(kSales), kSales));
  EXPECT_FALSE(before.verify(after.make(kSales), kSales));
}

TEST(Hmac, rfc_4231_and_2202_case_2) {
  const auto hex = [](const std::string& octets) {
    std::string out;
    for (const char c : octets) {
      constexpr char kDigits[] = "0123456789abcdef";
      out += kDigits[static_cast<unsigned char>(c) >> 4];
      out += kDigits[static_cast<unsigned char>(c) & 15];
    }
    return out;
  };
  const srs::Hmac sha256(srs::HmacHash::sha256, "Jefe");
  EXPECT_EQ(hex(sha256({"what do ya want ", "for nothing?"})),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(hex(srs::Hmac(srs::HmacHash::sha1, "Jefe")({"what do ya want for nothing?"})),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
}

TEST(Base32, rfc_4648) {
  EXPECT_EQ(srs::base32("fooba", 8), "MZXW6YTB");
  EXPECT_EQ(srs::base32("fooba", 3), "MZX");
  EXPECT_EQ(srs::base32("", 3), "");
}

TEST(ConstantTime, equality_without_case) {
  EXPECT_TRUE(srs::equal_in_constant_time("aB2", "Ab2"));
  EXPECT_FALSE(srs::equal_in_constant_time("aB2", "Ab3"));
  EXPECT_FALSE(srs::equal_in_constant_time("aB2", "aB"));
  EXPECT_FALSE(srs::equal_in_constant_time("`", "@"));  // not letters, though they differ by the bit of case
}

}  // namespace
