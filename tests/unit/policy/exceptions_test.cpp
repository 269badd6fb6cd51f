#include "policy/exceptions.hpp"

#include <gtest/gtest.h>

namespace {

using policy::Check;
using policy::Exception;

mail::ReversePath path(const std::string& address) {
  return address.empty() ? mail::ReversePath() : mail::ReversePath{*mail::parse_mailbox(address)};
}

Exception exception(std::string_view match, std::initializer_list<Check> skip) {
  Exception out;
  out.match = policy::parse_exception_match(match).value();
  for (const auto check : skip) out.skip.add(check);
  return out;
}

TEST(Exceptions, NamesAndChecksAreOneToOne) {
  const auto names = policy::check_names();
  EXPECT_EQ(names.size(), 12U);
  for (const auto name : names) {
    const auto check = policy::parse_check(name);
    ASSERT_TRUE(check) << name;
    EXPECT_EQ(policy::to_string(*check), name);
  }
  EXPECT_FALSE(policy::parse_check("DMARC"));
  EXPECT_FALSE(policy::parse_check(""));
}

TEST(Exceptions, WhatMatchesWhom) {
  struct Case {
    const char *match, *client, *sender, *author;
    bool skipped;
  };
  const std::vector<Case> cases = {
      {"192.0.2.0/24", "192.0.2.9", "a@b.example", "", true},
      {"192.0.2.0/24", "192.0.3.9", "a@b.example", "", false},
      {"192.0.2.9", "192.0.2.9", "", "", true},
      {"2001:db8::/32", "2001:db8:1::1", "", "", true},
      {"b.example", "192.0.2.9", "a@b.example", "", true},
      {"B.Example", "192.0.2.9", "a@b.EXAMPLE", "", true},
      {"b.example", "192.0.2.9", "a@sub.b.example", "", false},
      {"b.example", "192.0.2.9", "", "", false},
      {"b.example", "192.0.2.9", "a@c.example", "b.example", true},
      {"a@b.example", "192.0.2.9", "A@b.example", "", true},
      {"a@b.example", "192.0.2.9", "c@b.example", "b.example", false},
      {"a@b.example", "192.0.2.9", "", "", false},
  };
  for (const auto& c : cases) {
    const std::vector<Exception> exceptions{exception(c.match, {Check::dmarc, Check::forecast})};
    const auto sender = path(c.sender);
    std::vector<std::string> authors;
    if (*c.author != '\0') authors.emplace_back(c.author);
    const auto skipped = policy::skipped_checks(exceptions, {*core::IpAddress::parse(c.client), &sender, authors});
    EXPECT_EQ(skipped.has(Check::dmarc), c.skipped) << c.match << " " << c.client << " " << c.sender;
    EXPECT_EQ(skipped.has(Check::forecast), c.skipped);
    EXPECT_FALSE(skipped.has(Check::spf));
  }
}

TEST(Exceptions, SeveralAddUp) {
  const std::vector<Exception> exceptions{exception("192.0.2.0/24", {Check::dnsbl}),
                                          exception("b.example", {Check::spf}), exception("c.example", {Check::rate})};
  const auto sender = path("a@b.example");
  const auto skipped = policy::skipped_checks(exceptions, {*core::IpAddress::parse("192.0.2.1"), &sender, {}});
  EXPECT_TRUE(skipped.has(Check::dnsbl));
  EXPECT_TRUE(skipped.has(Check::spf));
  EXPECT_FALSE(skipped.has(Check::rate));
}

TEST(Exceptions, WhatIsNoMatch) {
  for (const char* text : {"", "192.0.2.1/24", "a@", "@b.example", "a b@c.example", "no domain!", "192.0.2.0/33"}) {
    EXPECT_FALSE(policy::parse_exception_match(text)) << text;
  }
}

}  // namespace
