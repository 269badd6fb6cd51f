// What Mail::SRS, pysrs, postsrsd and mireka do with the same addresses, secrets and times (shared/conformance/srs).
#include <gtest/gtest.h>

#include "core/text.hpp"
#include "mail/jsonl.hpp"
#include "srs/memory_tokens.hpp"
#include "srs/rewriter.hpp"

namespace {

using nlohmann::json;

core::Wall::time_point time_of(const json& c) {
  return core::Wall::time_point(std::chrono::seconds(c.at("time").get<std::int64_t>()));
}

srs::Rewriter rewriter_for(const json& c, srs::TokenStore* tokens) {
  srs::Rewriter::Settings s;
  if (c.contains("secret_hex")) s.secrets.emplace_back(from_hex(c["secret_hex"]));
  if (c.contains("secrets")) {
    for (const auto& secret : c["secrets"]) s.secrets.emplace_back(secret.get<std::string>());
  }
  s.hash = srs::Hash::sha1;
  s.separator = c.value("separator", "=").front();
  s.max_age = std::chrono::hours(24 * c.value("max_age_days", 21));
  s.domain = c.value("alias_domain", "unused.example");
  return {std::move(s), tokens};
}

// As the address stands there, too long or not.
std::optional<mail::Mailbox> mailbox_of(const json& c) {
  const auto text = c.at("address").get<std::string>();
  const auto at = text.rfind('@');
  if (at == std::string::npos) return std::nullopt;
  return mail::Mailbox{text.substr(0, at), text.substr(at + 1)};
}

// The address we make or give back; empty: refused.
std::string run(const json& c, srs::TokenStore* tokens) {
  const auto rewriter = rewriter_for(c, tokens);
  const auto address = mailbox_of(c);
  if (!address) return {};
  if (c.at("op") == "forward") {
    const auto made = rewriter.forward({*address}, time_of(c));
    return made ? made->to_string() : std::string();
  }
  const auto original = rewriter.reverse(address->local, time_of(c));
  return original ? original->to_string() : std::string();
}

void check_file(const char* name, std::size_t at_least) {
  const auto cases = read_jsonl(name);
  if (cases.empty()) GTEST_SKIP() << "no " << name << " in " ONWARD_CONFORMANCE;
  std::size_t scored = 0;
  for (const auto& c : cases) {
    if ((c.at("op") != "forward" && c.at("op") != "reverse") || c.value("agree", "all") != "all") continue;
    ++scored;
    const auto expected = c.at("expect").is_null() ? std::string() : c.at("expect").get<std::string>();
    if (c.at("op") == "forward" && expected.substr(0, expected.rfind('@')).size() > mail::kMaxLocalPart) {
      // All three write more octets than RFC 5321 allows; ours has to be valid and to come back (threats RL-03).
      MemoryTokens tokens;
      const auto ours = mail::parse_mailbox(run(c, &tokens));
      ASSERT_TRUE(ours) << c;
      EXPECT_TRUE(rewriter_for(c, &tokens).reverse(ours->local, time_of(c))) << c;
      continue;
    }
    EXPECT_EQ(run(c, nullptr), expected) << c.at("id");
  }
  EXPECT_GE(scored, at_least);
}

TEST(SrsConformance, literal) {
  check_file("srs/literal.jsonl", 14);
}

TEST(SrsConformance, generated) {
  check_file("srs/generated.jsonl", 367);
}

TEST(SrsConformance, quoted_local_parts_are_valid_and_come_back) {
  const auto cases = read_jsonl("srs/generated.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no srs/generated.jsonl in " ONWARD_CONFORMANCE;
  std::size_t seen = 0;
  for (const auto& c : cases) {
    const auto address = c.at("address").get<std::string>();
    if (c.at("op") != "forward" || !address.starts_with('"')) continue;
    ++seen;
    const auto ours = mail::parse_mailbox(run(c, nullptr));
    ASSERT_TRUE(ours) << c.at("id");
    EXPECT_EQ(rewriter_for(c, nullptr).reverse(ours->local, time_of(c))->to_string(), address) << c.at("id");
    // and the way pysrs writes them comes back too
    const auto pysrs = mail::parse_mailbox(c.at("implementations").at("pysrs_1.0.4").get<std::string>());
    ASSERT_TRUE(pysrs);
    EXPECT_EQ(rewriter_for(c, nullptr).reverse(pysrs->local, time_of(c))->to_string(), address) << c.at("id");
  }
  EXPECT_GT(seen, 0U);
}

TEST(SrsConformance, base64_for_urls_is_read_as_well) {
  const auto cases = read_jsonl("srs/generated.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no srs/generated.jsonl in " ONWARD_CONFORMANCE;
  std::size_t seen = 0;
  for (const auto& c : cases) {
    const auto address = mail::parse_mailbox(c.at("address").get<std::string>());
    if (c.at("agree") == "all" || c.at("op") != "forward" || c.at("address").get<std::string>().starts_with('"'))
      continue;
    if (srs::looks_like_srs(address->local)) continue;
    ++seen;
    for (const auto& [who, made] : c.at("implementations").items()) {
      const auto local = mail::parse_mailbox(made.get<std::string>()).value().local;
      EXPECT_EQ(rewriter_for(c, nullptr).reverse(local, time_of(c))->to_string(), c.at("address").get<std::string>())
          << c.at("id") << who;
    }
  }
  EXPECT_GT(seen, 0U);
}

TEST(SrsConformance, timeslots) {
  const auto cases = read_jsonl("srs/timeslots.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no srs/timeslots.jsonl in " ONWARD_CONFORMANCE;
  const auto at = [](const json& slot) {
    return core::Wall::time_point(std::chrono::hours(24 * (1024 * 20 + slot.get<int>())));
  };
  for (const auto& c : cases) {
    srs::Rewriter::Settings s;
    s.secrets.emplace_back(std::string("secret"));
    s.domain = "forward.example";
    s.max_age = std::chrono::hours(24 * c.at("max_age").get<int>());
    const srs::Rewriter rewriter(std::move(s), nullptr);
    const auto made = rewriter.forward({{"alice", "sender.example"}}, at(c.at("stamp_slot")));
    EXPECT_EQ(rewriter.reverse(made->mailbox.local, at(c.at("now_slot"))).has_value(), c.at("valid").get<bool>())
        << c.at("id");
  }
}

}  // namespace
