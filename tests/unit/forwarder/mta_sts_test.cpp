// MTA-STS as text: records and policies of others (../shared/conformance/tlsrpt-mtasts), whom a policy allows, our own.
#include "forwarder/mta_sts.hpp"

#include <gtest/gtest.h>

#include "mail/jsonl.hpp"
#include "support/score.hpp"

namespace forwarder {
namespace {

const std::string kFolder = "tlsrpt-mtasts/";

TEST(MtaStsConformance, records) {
  const auto cases = read_jsonl(kFolder + "mta-sts-records.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no ../shared/conformance";
  Score score("tlsrpt-mtasts, MTA-STS records");
  for (const auto& c : cases) {
    const auto id = parse_sts_record(c.at("txt").get<std::string>());
    EXPECT_TRUE(score.count(id.has_value() == c.at("valid").get<bool>())) << c;
  }
}

TEST(MtaStsConformance, policies) {
  const auto cases = read_jsonl(kFolder + "mta-sts-policies.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no ../shared/conformance";
  Score score("tlsrpt-mtasts, MTA-STS policies");
  for (const auto& c : cases) {
    const auto policy = parse_sts_policy(c.at("policy").get<std::string>());
    EXPECT_TRUE(score.count(policy.has_value() == c.at("valid").get<bool>()))
        << c << (policy ? "" : policy.error().text);
  }
}

TEST(MtaSts, the_record_that_counts) {
  using List = std::vector<std::string>;
  EXPECT_EQ(choose_sts_record(List{"v=spf1 -all", "v=STSv1; id=a1;"}), "a1");
  EXPECT_FALSE(choose_sts_record(List{}));
  EXPECT_FALSE(choose_sts_record(List{"v=spf1 -all"}));
  EXPECT_FALSE(choose_sts_record(List{"v=STSv1; id=a1;", "v=STSv1; id=a2;"})) << "two are as good as none";
  EXPECT_FALSE(choose_sts_record(List{"v=STSv1; id=a1;", "v=STSv1; nonsense"})) << "so are one and a broken one";
  EXPECT_EQ(choose_sts_record(List{"v=STSv1; id=a1;", "v=STSv10; id=a2;"}), "a1");
  EXPECT_EQ(parse_sts_record("v=STSv1; id=" + std::string(32, 'x')), std::string(32, 'x'));
  EXPECT_FALSE(parse_sts_record("v=STSv1; id=" + std::string(33, 'x')));
  EXPECT_FALSE(parse_sts_record(""));
}

TEST(MtaSts, what_a_policy_says) {
  const auto policy = parse_sts_policy(
      "version: STSv1\r\nmode: enforce\r\nmode: none\r\nmx: MX.Example.org\r\nmx: *.Pool.example.org\r\n"
      "future: x\r\nmax_age: 86400\r\nmax_age: 1\r\n");
  ASSERT_TRUE(policy);
  EXPECT_EQ(policy->mode, StsMode::enforce);
  EXPECT_EQ(policy->max_age, core::Seconds(86'400));
  EXPECT_EQ(policy->mx, (std::vector<std::string>{"mx.example.org", "*.pool.example.org"}));
  EXPECT_TRUE(policy->text.starts_with("version: STSv1\r\n"));
  EXPECT_EQ(parse_sts_policy("version: STSv1\nmode: none\nmax_age: 9999999999\n")->max_age, kMaxStsAge);
  const std::string start = "version: STSv1\nmode: testing\nmx: a.example\nmax_age: 1\nx: ";
  EXPECT_TRUE(parse_sts_policy(start + std::string(kMaxStsPolicy - start.size(), 'y')));
  EXPECT_FALSE(parse_sts_policy(start + std::string(kMaxStsPolicy - start.size() + 1, 'y')));
  std::string many = start + "y\n";
  for (std::size_t i = 0; i < kMaxStsHosts; ++i) many += "mx: b.example\n";
  EXPECT_EQ(parse_sts_policy(many)->mx.size(), kMaxStsHosts);
  for (const std::string_view bad :
       {"<html>\n", "version: STSv1\nmode: enforce\nmax_age: 1\nmx: *\n",
        "version: STSv1\nmode: Enforce\nmax_age: 1\nmx: a.b\n", "version: STSv1\nmode: none\nmax_age: 1\nx: \x01\n",
        "version: STSv1\nmode: none\nmax_age: 1\nx: \xff\n"}) {
    const auto none = parse_sts_policy(bad);
    ASSERT_FALSE(none) << bad;
    EXPECT_FALSE(none.error().text.empty());
  }
}

TEST(MtaSts, whom_a_policy_allows) {
  StsPolicy policy;
  policy.mx = {"mx.example.org", "*.pool.example.org"};
  EXPECT_TRUE(sts_allows(policy, "mx.example.org"));
  EXPECT_TRUE(sts_allows(policy, "MX.example.ORG."));
  EXPECT_TRUE(sts_allows(policy, "a.pool.example.org"));
  for (const std::string_view other :
       {"pool.example.org", "a.b.pool.example.org", "mx.example.org.evil.example", "xmx.example.org",
        ".pool.example.org", "", "example.org", "*.pool.example.com"}) {
    EXPECT_FALSE(sts_allows(policy, other)) << other;
  }
}

TEST(MtaSts, our_own) {
  const auto text = own_sts_policy("mx.forward.example");
  const auto policy = parse_sts_policy(text);
  ASSERT_TRUE(policy);
  EXPECT_EQ(policy->mode, StsMode::enforce);
  EXPECT_TRUE(sts_allows(*policy, "mx.forward.example"));
  EXPECT_GE(policy->max_age, std::chrono::days(1));
  const auto id = parse_sts_record(own_sts_record(own_sts_id(text)));
  ASSERT_TRUE(id);
  EXPECT_EQ(id, parse_sts_record(own_sts_record(own_sts_id(text))));
  EXPECT_NE(id, parse_sts_record(own_sts_record(own_sts_id(own_sts_policy("mx2.forward.example")))));
}

}  // namespace
}  // namespace forwarder
