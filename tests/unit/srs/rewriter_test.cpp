// The Rewriter by hand-made cases; generated addresses are in property_test.cpp, other people's in
// conformance_test.cpp.
#include "srs/rewriter.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "core/text.hpp"
#include "srs/memory_tokens.hpp"

namespace {

using srs::ReverseError;
using srs::Rewriter;
using testing::MatchesRegex;

constexpr auto kDay = std::chrono::hours(24);
const core::Wall::time_point kNow{std::chrono::seconds(1'763'697'733)};

std::vector<core::Secret> secrets(std::initializer_list<const char*> texts) {
  std::vector<core::Secret> out;
  for (const auto* text : texts) out.emplace_back(std::string(text));
  return out;
}

Rewriter::Settings settings(std::initializer_list<const char*> texts = {"first secret"}) {
  Rewriter::Settings s;
  s.domain = "forward.example";
  s.secrets = secrets(texts);
  return s;
}

mail::ReversePath path(std::string_view address) {
  return {mail::parse_mailbox(address, mail::Utf8::yes).value()};
}

std::string local_of(const core::Result<mail::ReversePath>& made) {
  return made.value().mailbox.local;
}

class RewriterTest : public testing::Test {
 protected:
  std::string forward(std::string_view address) const {
    return rewriter_.forward(path(address), kNow).value().to_string();
  }
  srs::Reversed back(std::string_view address, core::Wall::time_point now = kNow) const {
    return rewriter_.reverse(mail::parse_mailbox(address).value().local, now);
  }
  MemoryTokens tokens_;
  Rewriter rewriter_{settings(), &tokens_};
};

TEST_F(RewriterTest, srs0_has_forty_bits_of_hash_and_the_day) {
  const auto out = forward("Alice@Sender.example");
  EXPECT_THAT(out, MatchesRegex("SRS0=[A-Z2-7]{8}=[A-Z2-7]{2}=Sender\\.example=Alice@forward\\.example"));
  EXPECT_EQ(back(out)->to_string(), "Alice@Sender.example");
}

TEST_F(RewriterTest, null_path_stays_null) {
  const auto out = rewriter_.forward({}, kNow);
  ASSERT_TRUE(out);
  EXPECT_TRUE(out->null());
}

TEST_F(RewriterTest, own_addresses_are_left_alone) {
  EXPECT_EQ(forward("postmaster@FORWARD.example"), "postmaster@FORWARD.example");
  const auto once = forward("alice@sender.example");
  EXPECT_EQ(forward(once), once);
}

TEST_F(RewriterTest, own_addresses_that_are_not_ascii_travel_as_a_token) {
  const auto out = forward("s\xc3\xb6ren@forward.example");
  EXPECT_THAT(out, MatchesRegex("SRS0=[A-Z2-7]{8}=[A-Z2-7]{2}=_=[A-Z2-7]{26}@forward\\.example"));
  EXPECT_EQ(back(out)->to_string(), "s\xc3\xb6ren@forward.example");
}

TEST_F(RewriterTest, srs0_of_another_forwarder_becomes_srs1) {
  const auto out = forward("SRS0=wxyz=2W=sender.example=alice@first.example");
  EXPECT_THAT(out, MatchesRegex("SRS1=[A-Z2-7]{8}=first\\.example==wxyz=2W=sender\\.example=alice@forward\\.example"));
  EXPECT_EQ(back(out)->to_string(), "SRS0=wxyz=2W=sender.example=alice@first.example");
}

TEST_F(RewriterTest, srs1_keeps_the_first_forwarder_and_gets_our_hash) {
  const auto out = forward("SRS1=aaaa=first.example==wxyz=2W=sender.example=alice@second.example");
  EXPECT_THAT(out, MatchesRegex("SRS1=[A-Z2-7]{8}=first\\.example==wxyz=2W=sender\\.example=alice@forward\\.example"));
  EXPECT_EQ(out, forward("SRS0=wxyz=2W=sender.example=alice@first.example"));
  // interface.md §6.18: the bounce goes to the first forwarder, past the second
  EXPECT_EQ(back(out)->to_string(), "SRS0=wxyz=2W=sender.example=alice@first.example");
}

TEST_F(RewriterTest, separators_of_others_are_taken_and_given_back) {
  for (const std::string separator : {"=", "-", "+"}) {
    const auto address = "SRS0" + separator + "wxyz=2W=sender.example=alice@first.example";
    const auto out = forward(address);
    EXPECT_THAT(out, testing::HasSubstr("=first.example=" + separator + "wxyz=2W="));
    EXPECT_EQ(back(out)->to_string(), address);
  }
}

TEST_F(RewriterTest, own_separator_is_a_setting_and_any_is_taken_on_return) {
  for (const char separator : {'=', '-', '+'}) {
    auto s = settings();
    s.separator = separator;
    const Rewriter other(std::move(s), nullptr);
    auto local = local_of(other.forward(path("alice@sender.example"), kNow));
    EXPECT_EQ(local[4], separator);
    for (const char changed : {'=', '-', '+'}) {
      local[4] = changed;
      EXPECT_EQ(rewriter_.reverse(local, kNow)->to_string(), "alice@sender.example");
    }
  }
}

TEST_F(RewriterTest, what_only_looks_like_srs1_is_wrapped_like_any_sender) {
  for (const auto* address :
       {"SRS1=foo@bar.example", "SRS1=a=b=c@bar.example", "srs1+@bar.example", "SRS0=@bar.example",
        "SRS1=a=-b=+c@bar.example", "\"SRS0=needless\"@bar.example", "SRS0@bar.example"}) {
    const auto out = forward(address);
    EXPECT_TRUE(out.starts_with("SRS0=") || out.starts_with("\"SRS0=")) << out;
    EXPECT_EQ(back(out)->to_string(), address);
  }
}

TEST_F(RewriterTest, a_ring_of_forwarders_ends_at_the_sender) {
  const auto ours = forward("alice@sender.example");
  const auto back_at_us =
      forward("SRS1=abcd=forward.example=" + ours.substr(4, ours.find('@') - 4) + "@second.example");
  EXPECT_TRUE(back_at_us.starts_with("SRS1="));
  EXPECT_EQ(back(back_at_us)->to_string(), "alice@sender.example");
}

TEST_F(RewriterTest, quoted_local_parts_come_back_as_they_were) {
  for (const auto* address : {"\"quoted local\"@sender.example", "\"a=b\\\"c\"@sender.example", "\"\"@sender.example",
                              "\"a\\@b\"@sender.example", "\"needless\"@sender.example", "user@[192.0.2.1]",
                              "user@[IPv6:2001:db8::1]", "\"SRS0=a b=c\"@sender.example"}) {
    const auto out = forward(address);
    ASSERT_TRUE(mail::parse_mailbox(out)) << out;
    EXPECT_EQ(back(out)->to_string(), address) << out;
  }
}

TEST_F(RewriterTest, not_srs) {
  for (const auto* local : {"alice", "SRS", "SRS0", "SRS2=a=b", "SRS0.a=b", "xSRS0=a", "", "\"", "\"\"", "srs1"}) {
    const auto out = rewriter_.reverse(local, kNow);
    ASSERT_FALSE(out) << local;
    EXPECT_EQ(out.error(), ReverseError::not_srs) << local;
    EXPECT_FALSE(srs::looks_like_srs(local)) << local;
  }
}

TEST_F(RewriterTest, malformed) {
  for (const auto* local : {"SRS0=", "SRS0=abcd", "SRS0=abcdefgh=2W", "SRS0=abcdefgh=2W=host", "SRS0==2W=host=user",
                            "SRS0=abcdefgh=2W==user", "SRS0=abcdefgh=2=host=user", "SRS1=", "SRS1=abcdefgh=host",
                            "SRS1=abcdefgh=host=", "SRS1=abcdefgh=host==", "SRS1=abcdefgh=host=user",
                            "SRS1=abcdefgh===user", "SRS0=abcdefgh=222=host=user"}) {
    const auto out = rewriter_.reverse(local, kNow);
    ASSERT_FALSE(out) << local;
    EXPECT_EQ(out.error(), ReverseError::malformed) << local;
    EXPECT_TRUE(srs::looks_like_srs(local)) << local;
  }
}

TEST_F(RewriterTest, owns_addresses_at_our_domain_only) {
  EXPECT_TRUE(rewriter_.owns({"srs0+abcd=2W=host=user", "Forward.Example"}));
  EXPECT_TRUE(rewriter_.owns({"\"SRS0=abcd=2W=host=a b\"", "forward.example"}));
  EXPECT_FALSE(rewriter_.owns({"srs0+abcd=2W=host=user", "other.example"}));
  EXPECT_FALSE(rewriter_.owns({"alice", "forward.example"}));
}

// Every single changed character, in SRS0 and SRS1 alike, must be noticed unless it is only a change of case.
TEST(Threats, RL_08_a_forged_hash_is_refused) {
  MemoryTokens tokens;
  const Rewriter rewriter(settings(), &tokens);
  for (const auto* sender : {"alice@sender.example", "SRS0=wxyz=2W=sender.example=alice@first.example",
                             "a.very.long.verp.address.with.all.sorts.of.numbers.123456@lists.example"}) {
    const auto local = local_of(rewriter.forward(path(sender), kNow));
    ASSERT_TRUE(rewriter.reverse(local, kNow));
    for (std::size_t i = 5; i < local.size(); ++i) {
      for (const char c : {'A', 'b', '2', '='}) {
        if (core::to_lower(c) == core::to_lower(local[i])) continue;
        auto forged = local;
        forged[i] = c;
        const auto out = rewriter.reverse(forged, kNow);
        ASSERT_FALSE(out) << forged;
        EXPECT_TRUE(out.error() == ReverseError::bad_hash || out.error() == ReverseError::malformed) << forged;
      }
    }
    // a hash that is a beginning of the right one, or goes on after it
    const auto hash_end = local.find('=', 5);
    for (const auto& hash : {local.substr(5, 4), local.substr(5, 7), local.substr(5, 8) + "A", std::string()}) {
      EXPECT_FALSE(rewriter.reverse(local.substr(0, 5) + hash + local.substr(hash_end), kNow));
    }
  }
}

TEST(Threats, RL_09_expired_future_and_wrap) {
  const Rewriter rewriter(settings(), nullptr);
  // Seven starts over 1024 days, so that the window lies across the wrap in some of them.
  for (int start = 0; start < 1024; start += 146) {
    const auto made = kNow + start * kDay;
    const auto local = local_of(rewriter.forward(path("alice@sender.example"), made));
    for (int days = -500; days < 500; ++days) {
      const auto out = rewriter.reverse(local, made + days * kDay);
      if (days >= -1 && days <= 21) {
        ASSERT_TRUE(out) << days;
      } else {
        ASSERT_FALSE(out) << days;
        EXPECT_EQ(out.error(), days < 0 ? ReverseError::from_future : ReverseError::expired) << days;
      }
    }
  }
}

TEST(Threats, RL_09_old_secrets_verify_and_unknown_ones_do_not) {
  const Rewriter before(settings({"old"}), nullptr);
  const Rewriter after(settings({"new", "older", "old"}), nullptr);
  const auto old_local = local_of(before.forward(path("alice@sender.example"), kNow));
  EXPECT_EQ(after.reverse(old_local, kNow)->to_string(), "alice@sender.example");
  const auto new_local = local_of(after.forward(path("alice@sender.example"), kNow));
  EXPECT_NE(new_local, old_local);
  EXPECT_EQ(before.reverse(new_local, kNow).error(), ReverseError::bad_hash);
}

TEST(Threats, RL_10_srs1_not_made_by_us_is_no_open_redirect) {
  const Rewriter rewriter(settings(), nullptr);
  for (const auto* local :
       {"SRS1=aaaa=evil.example==wxyz=2W=victim.example=bob", "SRS1=aaaaaaaa=evil.example==wxyz=2W=v=b"}) {
    EXPECT_EQ(rewriter.reverse(local, kNow).error(), ReverseError::bad_hash);
  }
  // a good hash with another host
  auto local = local_of(rewriter.forward(path("SRS0=wxyz=2W=sender.example=alice@first.example"), kNow));
  local.replace(local.find("first"), 5, "evil0");
  EXPECT_EQ(rewriter.reverse(local, kNow).error(), ReverseError::bad_hash);
  // an SRS0 hash does not serve as an SRS1 hash
  const auto srs0 = local_of(rewriter.forward(path("alice@sender.example"), kNow));
  EXPECT_EQ(rewriter.reverse("SRS1=" + srs0.substr(5, 9) + "sender.example==wxyz=2W=a=b", kNow).error(),
            ReverseError::bad_hash);
}

TEST(Threats, RL_12_a_hop_that_changes_case) {
  MemoryTokens tokens;
  const Rewriter rewriter(settings(), &tokens);
  for (const auto* sender : {"Alice.B=c@Sender.example", "SRS0=wXyZ=2W=Sender.example=Alice@First.example",
                             "A.very.long.VERP.address.with.all.sorts.of.numbers.123456@lists.example"}) {
    const auto local = local_of(rewriter.forward(path(sender), kNow));
    const auto plain = rewriter.reverse(local, kNow).value().to_string();
    EXPECT_EQ(plain, sender);
    auto upper = local;
    for (auto& c : upper) c = core::to_upper(c);
    for (const auto& changed : {core::lower(local), upper}) {
      const auto out = rewriter.reverse(changed, kNow);
      ASSERT_TRUE(out) << changed;
      EXPECT_TRUE(core::iequals(out->to_string(), plain));
    }
  }
}

TEST(Threats, RL_03_what_does_not_fit_becomes_a_token) {
  MemoryTokens tokens;
  const Rewriter rewriter(settings(), &tokens);
  const std::string long_local(64, 'x');
  const std::string long_domain =
      std::string(60, 'a') + "." + std::string(60, 'b') + "." + std::string(60, 'c') + ".example";
  for (const auto& sender :
       {long_local + "@s.example", "a@" + long_domain,
        long_local + "@" + std::string(60, 'a') + "." + std::string(60, 'b'),
        "SRS0=wxyz=2W=" + std::string(30, 's') + ".example=" + std::string(8, 'y') + "@first.example",
        std::string("\"") + std::string(62, '"').replace(0, 62, 62, ' ') + "\"@s.example"}) {
    const auto out = rewriter.forward(path(sender), kNow);
    ASSERT_TRUE(out) << sender;
    EXPECT_THAT(out->mailbox.local, MatchesRegex("SRS0=[A-Z2-7]{8}=[A-Z2-7]{2}=_=[A-Z2-7]{26}")) << sender;
    EXPECT_EQ(*out, *rewriter.forward(path(sender), kNow)) << "the same sender has the same token";
    EXPECT_EQ(rewriter.reverse(out->mailbox.local, kNow)->to_string(), sender);
    EXPECT_EQ(rewriter.reverse(out->mailbox.local, kNow + 22 * kDay).error(), ReverseError::expired);
  }
  // An SRS1 that does not fit is kept as the address of the first forwarder, where its bounce goes.
  const auto long_srs1 =
      rewriter.forward(path("SRS1=abcd=first.example==wxyz=2W=a.rather.long.sender.example=al@second.example"), kNow);
  ASSERT_TRUE(long_srs1);
  EXPECT_EQ(rewriter.reverse(long_srs1->mailbox.local, kNow)->to_string(),
            "SRS0=wxyz=2W=a.rather.long.sender.example=al@first.example");
}

TEST(Threats, RL_03_a_utf8_sender_travels_as_an_ascii_token) {
  MemoryTokens tokens;
  const Rewriter rewriter(settings(), &tokens);
  for (const auto* sender : {"jos\xc3\xa9@sender.example",
                             "alice@b\xc3\xbc"
                             "cher.example"}) {
    const auto out = rewriter.forward(path(sender), kNow);
    ASSERT_TRUE(out);
    EXPECT_TRUE(out->mailbox.is_ascii());
    EXPECT_EQ(rewriter.reverse(out->mailbox.local, kNow)->to_string(), sender);
  }
}

TEST(RewriterTokens, what_the_store_cannot_keep_is_an_error) {
  const auto sender = path(std::string(64, 'x') + "@sender.example");
  const Rewriter without(settings(), nullptr);
  EXPECT_EQ(without.forward(sender, kNow).error(), core::Errc::exhausted);
  MemoryTokens tokens;
  tokens.failing = true;
  const Rewriter rewriter(settings(), &tokens);
  EXPECT_EQ(rewriter.forward(sender, kNow).error(), core::Errc::io);
}

TEST(RewriterTokens, lost_or_altered_entries_are_forgotten) {
  MemoryTokens tokens;
  const Rewriter rewriter(settings(), &tokens);
  const auto local = local_of(rewriter.forward(path(std::string(64, 'x') + "@sender.example"), kNow));
  auto& kept = tokens.kept.begin()->second;
  ASSERT_TRUE(rewriter.reverse(local, kNow));
  kept = "victim@other.example";  // an edited file must not make us an open redirect
  EXPECT_EQ(rewriter.reverse(local, kNow).error(), ReverseError::forgotten);
  tokens.kept.clear();
  EXPECT_EQ(rewriter.reverse(local, kNow).error(), ReverseError::forgotten);
  const Rewriter without(settings(), nullptr);
  EXPECT_EQ(without.reverse(local, kNow).error(), ReverseError::forgotten);
}

TEST(RewriterTokens, survive_a_change_of_secrets) {
  MemoryTokens tokens;
  const Rewriter before(settings({"old"}), &tokens);
  const Rewriter after(settings({"new", "old"}), &tokens);
  const auto sender = path(std::string(64, 'x') + "@sender.example");
  EXPECT_EQ(after.reverse(local_of(before.forward(sender, kNow)), kNow)->to_string(), sender.to_string());
}

TEST(RewriterSha1, former_postsrsd_addresses_come_back_under_their_secrets_only) {
  auto s = settings({"new"});
  s.accept_sha1_secrets = secrets({"unrelated", "tops3cr3t"});
  const Rewriter rewriter(std::move(s), nullptr);
  const core::Wall::time_point then{std::chrono::seconds(1'577'836'860)};
  EXPECT_EQ(rewriter.reverse("SRS0=vmyz=2W=otherdomain.com=test", then)->to_string(), "test@otherdomain.com");
  EXPECT_EQ(rewriter.reverse("SRS0=vmyz=2W=otherdomain.com=test", then + 22 * kDay).error(), ReverseError::expired);
  const Rewriter strict(settings({"tops3cr3t"}), nullptr);
  EXPECT_EQ(strict.reverse("SRS0=vmyz=2W=otherdomain.com=test", then).error(), ReverseError::bad_hash);
  EXPECT_THAT(local_of(rewriter.forward(path("a@b.example"), then)), MatchesRegex("SRS0=[A-Z2-7]{8}=2W=b\\.example=a"));
}

TEST(RewriterSha1, addresses_made_in_sha256_mode_still_come_back) {
  auto s = settings();
  s.hash = srs::Hash::sha1;
  const Rewriter sha1(std::move(s), nullptr);
  const Rewriter sha256(settings(), nullptr);
  EXPECT_TRUE(sha1.reverse(local_of(sha256.forward(path("a@b.example"), kNow)), kNow));
  EXPECT_FALSE(sha256.reverse(local_of(sha1.forward(path("a@b.example"), kNow)), kNow));
}

TEST(RewriterThreads, one_rewriter_for_all_shards) {
  const Rewriter rewriter(settings(), nullptr);
  const auto expected = local_of(rewriter.forward(path("alice@sender.example"), kNow));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        EXPECT_EQ(local_of(rewriter.forward(path("alice@sender.example"), kNow)), expected);
        EXPECT_TRUE(rewriter.reverse(expected, kNow));
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST(ParseSecrets, one_a_line) {
  const auto parsed = srs::parse_secrets("one\r\n\n two three \nlast");
  ASSERT_EQ(parsed.size(), 3U);
  EXPECT_EQ(parsed[0].view(), "one");
  EXPECT_EQ(parsed[1].view(), " two three ");
  EXPECT_EQ(parsed[2].view(), "last");
  EXPECT_TRUE(srs::parse_secrets("\n\n").empty());
}

}  // namespace
