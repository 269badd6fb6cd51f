// Access rules: who wins over whom, the databases behind AS numbers and countries (written by tests/e2e/lib/mmdb.py),
// and what a hundred thousand rules cost.
#include "policy/access.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/clock.hpp"
#include "core/random.hpp"

namespace {

using policy::AccessAction;
using policy::AccessRule;
using policy::AccessRules;
using policy::GeoDatabase;

core::IpAddress ip(std::string_view text) {
  return core::IpAddress::parse(text).value();
}

AccessRule rule(std::string_view match, AccessAction action) {
  return {policy::parse_access_match(match).value(), action};
}

class AccessTest : public ::testing::Test {
 protected:
  AccessTest() {
    auto name = std::filesystem::temp_directory_path().string() + "/onward-mmdb-XXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~AccessTest() override { std::filesystem::remove_all(folder_); }

  // `networks`: "NETWORK=JSON" in quotes, as the writer's command line wants them.
  std::string write(const std::string& name, const std::string& type, const std::string& networks) {
    const auto path = folder_ + "/" + name;
    const auto command =
        "/usr/bin/python3 " ONWARD_SOURCE_DIR "/tests/e2e/lib/mmdb.py " + path + " " + type + " " + networks;
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
    return path;
  }
  std::shared_ptr<const GeoDatabase> open(const std::string& path) {
    auto opened = GeoDatabase::open(path);
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().text);
    return opened ? *opened : nullptr;
  }
  // The rule's text, "" for none.
  std::string who(const AccessRules& rules, std::string_view address) {
    const auto decision = rules.find(ip(address));
    return decision.rule != nullptr ? decision.rule->to_string() : "";
  }
  std::string folder_;
};

TEST_F(AccessTest, TheLongestPrefixWins) {
  const AccessRules rules({rule("192.0.2.0/24", AccessAction::block), rule("192.0.2.128/25", AccessAction::allow),
                           rule("192.0.2.200", AccessAction::block), rule("192.0.2.200/32", AccessAction::allow),
                           rule("0.0.0.0/0", AccessAction::allow), rule("2001:db8::/32", AccessAction::block),
                           rule("2001:db8:1::/48", AccessAction::allow)},
                          nullptr, nullptr);
  EXPECT_EQ(who(rules, "192.0.2.1"), "192.0.2.0/24");
  EXPECT_EQ(who(rules, "192.0.2.129"), "192.0.2.128/25");
  EXPECT_EQ(who(rules, "192.0.2.200"), "192.0.2.200/32");
  EXPECT_TRUE(rules.find(ip("192.0.2.200")).blocked()) << "of two equal ones the first";
  EXPECT_TRUE(rules.find(ip("192.0.2.129")).allowed());
  EXPECT_EQ(who(rules, "198.51.100.1"), "0.0.0.0/0");
  EXPECT_EQ(who(rules, "2001:db8:2::1"), "2001:db8::/32");
  EXPECT_EQ(who(rules, "2001:db8:1::1"), "2001:db8:1::/48");
  EXPECT_EQ(who(rules, "2001:db9::1"), "") << "an IPv4 rule says nothing of IPv6";
  EXPECT_EQ(who(rules, "::ffff:192.0.2.1"), "192.0.2.0/24");
}

// Against the plain definition: of all rules that match, the one with the longest prefix, the first of these.
TEST_F(AccessTest, LongestPrefixesAgainstTheDefinition) {
  core::SeededRandom random(11);
  const auto address = [&](bool six) {
    if (!six) {
      return core::IpAddress::v4({static_cast<std::uint8_t>(random.below(3) == 0 ? 255 : random.below(2)),
                                  static_cast<std::uint8_t>(random.below(2) * 255),
                                  static_cast<std::uint8_t>(random.below(4)),
                                  static_cast<std::uint8_t>(random.next())});
    }
    std::array<std::uint8_t, 16> octets{};
    for (auto& octet : octets) octet = static_cast<std::uint8_t>(random.below(3) == 0 ? 255 : random.below(2));
    return core::IpAddress::v6(octets);
  };
  for (int round = 0; round < 60; ++round) {
    std::vector<AccessRule> list;
    const auto count = random.below(40);
    for (std::uint64_t i = 0; i < count; ++i) {
      const bool six = random.below(2) == 0;
      const auto length = static_cast<unsigned>(random.below(six ? 129 : 33));
      list.push_back({core::Prefix{address(six).masked(length), length}, AccessAction::block});
    }
    const AccessRules rules(list, nullptr, nullptr);
    for (int probe = 0; probe < 300; ++probe) {
      auto client = address(random.below(2) == 0);
      // Also the edges of the prefixes.
      if (!list.empty() && probe % 3 == 0)
        client = std::get<core::Prefix>(list[random.below(list.size())].match).address;
      const core::Prefix* best = nullptr;
      for (const auto& one : list) {
        const auto& prefix = std::get<core::Prefix>(one.match);
        if (prefix.contains(client) && (best == nullptr || prefix.length > best->length)) best = &prefix;
      }
      const auto decision = rules.find(client);
      ASSERT_EQ(decision.rule != nullptr, best != nullptr) << client.to_string();
      if (best != nullptr) {
        ASSERT_EQ(std::get<core::Prefix>(decision.rule->match), *best) << client.to_string();
      }
    }
  }
}

TEST_F(AccessTest, ThenTheAsNumberThenTheCountry) {
  const auto asn = open(write("asn.mmdb", "GeoLite2-ASN",
                              "'192.0.2.0/24={\"autonomous_system_number\": 64500}' "
                              "'198.51.100.0/24={\"autonomous_system_number\": 64501}' "
                              "'2001:db8::/32={\"asn\": \"AS4200000000\"}'"));
  const auto country =
      open(write("country.mmdb", "GeoLite2-Country",
                 "'192.0.2.0/23={\"country\": {\"iso_code\": \"XX\"}}' "
                 "'198.51.100.0/24={\"country\": {\"iso_code\": \"XX\"}}' "
                 "'2001:db8::/32={\"country_code\": \"xy\"}' '203.0.113.0/24={\"country\": \"long\"}'"));
  ASSERT_TRUE(asn && country);
  const AccessRules rules({rule("country:XX", AccessAction::block), rule("AS64500", AccessAction::allow),
                           rule("192.0.2.7", AccessAction::block), rule("country:XY", AccessAction::block),
                           rule("AS4200000000", AccessAction::allow)},
                          country, asn);
  EXPECT_EQ(who(rules, "192.0.2.7"), "192.0.2.7/32");
  EXPECT_EQ(who(rules, "192.0.2.8"), "AS64500");
  EXPECT_EQ(who(rules, "192.0.3.8"), "country:XX") << "no AS number known";
  EXPECT_EQ(who(rules, "198.51.100.8"), "country:XX") << "an AS number without a rule";
  EXPECT_EQ(who(rules, "2001:db8::1"), "AS4200000000");
  EXPECT_EQ(who(rules, "203.0.113.1"), "");
  EXPECT_EQ(who(rules, "10.0.0.1"), "");
  const auto decision = rules.find(ip("198.51.100.8"));
  EXPECT_EQ(decision.as_number, 64501U);
  EXPECT_EQ(decision.country, "XX");
  EXPECT_TRUE(asn->description().starts_with("GeoLite2-ASN, built 20"));
}

TEST_F(AccessTest, ADatabaseForAnotherPurposeMatchesNothing) {
  const auto country =
      open(write("country.mmdb", "GeoLite2-Country", "'192.0.2.0/24={\"country\": {\"iso_code\": \"XX\"}}'"));
  ASSERT_TRUE(country);
  const AccessRules rules({rule("AS64500", AccessAction::block), rule("country:XX", AccessAction::block)}, nullptr,
                          country);
  EXPECT_EQ(who(rules, "192.0.2.8"), "");
}

TEST_F(AccessTest, WhatIsNoDatabase) {
  const auto missing = GeoDatabase::open(folder_ + "/none.mmdb");
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().text.find("No such file"), std::string::npos) << missing.error().text;
  const auto path = folder_ + "/text.mmdb";
  std::ofstream(path) << "this is no database, whatever its name says\n";
  const auto text = GeoDatabase::open(path);
  ASSERT_FALSE(text);
  EXPECT_NE(text.error().text.find("is no MMDB file"), std::string::npos) << text.error().text;
  // Cut short, and with each octet of the tree flipped in turn: an answer or none, never a crash.
  const auto whole = write("whole.mmdb", "GeoLite2-ASN", "'192.0.2.0/24={\"autonomous_system_number\": 64500}'");
  std::ifstream in(whole, std::ios::binary);
  const std::string octets((std::istreambuf_iterator<char>(in)), {});
  for (std::size_t cut = 0; cut < octets.size(); cut += 37) {
    std::ofstream(path, std::ios::binary) << octets.substr(0, cut);
    static_cast<void>(GeoDatabase::open(path));
  }
  for (std::size_t at = 0; at < octets.size(); at += 5) {
    auto bent = octets;
    bent[at] = static_cast<char>(bent[at] ^ 0x55);
    std::ofstream(path, std::ios::binary) << bent;
    const auto opened = GeoDatabase::open(path);
    if (opened) static_cast<void>((*opened)->as_number(ip("192.0.2.1")));
  }
}

TEST_F(AccessTest, WhatCanBeWritten) {
  for (const auto* text : {"192.0.2.0/24", "192.0.2.1/32", "2001:db8::/32", "AS0", "AS4294967295", "country:DE"}) {
    const auto match = policy::parse_access_match(text);
    ASSERT_TRUE(match) << text;
    EXPECT_EQ((AccessRule{*match, AccessAction::allow}.to_string()), text);
  }
  for (const auto* text : {"", "192.0.2.1/24", "AS", "AS-1", "AS4294967296", "as64500", "country:de", "country:DEU",
                           "country:", "example.org", "192.0.2.0/33"}) {
    EXPECT_FALSE(policy::parse_access_match(text)) << text;
  }
}

TEST_F(AccessTest, HitsAreCountedAndKeptOverAReload) {
  const AccessRules before({rule("192.0.2.0/24", AccessAction::block), rule("198.51.100.0/24", AccessAction::allow)},
                           nullptr, nullptr);
  static_cast<void>(before.decide(ip("192.0.2.1")));
  static_cast<void>(before.decide(ip("192.0.2.2")));
  static_cast<void>(before.decide(ip("198.51.100.2")));
  static_cast<void>(before.decide(ip("203.0.113.1")));
  static_cast<void>(before.find(ip("192.0.2.2")));
  const AccessRules after({rule("203.0.113.0/24", AccessAction::block), rule("192.0.2.0/24", AccessAction::block)},
                          nullptr, nullptr);
  after.inherit_hits(before);
  const auto hits = after.hits(10);
  ASSERT_EQ(hits.size(), 1U);
  EXPECT_EQ(hits[0].first->to_string(), "192.0.2.0/24");
  EXPECT_EQ(hits[0].second, 2U);
  EXPECT_EQ(before.hits(1).size(), 1U);
  EXPECT_EQ(before.hits(10).size(), 2U);
}

// The bench prints the times (bench/access_bench.cpp); here only the growth is looked at.
TEST_F(AccessTest, AHundredThousandRulesAreFoundAsFastAsAThousand) {
  const auto build = [](unsigned count) {
    std::vector<AccessRule> rules;
    for (unsigned i = 0; i < count; ++i) {
      const auto a = static_cast<std::uint8_t>(i >> 16), b = static_cast<std::uint8_t>(i >> 8),
                 c = static_cast<std::uint8_t>(i);
      rules.push_back({core::Prefix{core::IpAddress::v4({static_cast<std::uint8_t>(11 + a), b, c, 0}), 24},
                       i % 2 == 0 ? AccessAction::allow : AccessAction::block});
    }
    return std::make_unique<AccessRules>(std::move(rules), nullptr, nullptr);
  };
  const auto time = [](const AccessRules& rules) {
    const auto begin = core::Steady::now();
    std::size_t found = 0;
    for (unsigned i = 0; i < 20'000; ++i) {
      const auto address =
          core::IpAddress::v4({11, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i), 9});
      found += rules.find(address).rule != nullptr ? 1 : 0;
    }
    EXPECT_GT(found, 0U);
    return core::Steady::now() - begin;
  };
  const auto small = build(1000), large = build(100'000);
  EXPECT_EQ(large->size(), 100'000U);
  time(*large);
  EXPECT_LT(time(*large), 20 * time(*small) + core::Milliseconds(200));
}

}  // namespace
