// Domain files: every key of a domain, a rule and the catch-all with right, wrong and border values.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/support.hpp"

namespace app::test {
namespace {

using ::testing::HasSubstr;

struct Read {
  DomainText text;
  Report report;
};
Read read(const std::string& toml) {
  Read out;
  out.text = parse_domain(toml, "d.toml", out.report);
  return out;
}
std::string mistakes_in(const std::string& toml) {
  return lines(read(toml).report.errors);
}

struct Case {
  const char* toml;
  const char* expected;  // "" : right
};

class DomainKeys : public ::testing::TestWithParam<Case> {};

TEST_P(DomainKeys, value) {
  const std::string body = GetParam().toml;
  const auto found = mistakes_in((body.find("name =") == std::string::npos ? "name = \"x.example\"\n" : "") + body);
  if (*GetParam().expected == '\0') {
    EXPECT_EQ(found, "") << body;
  } else {
    EXPECT_THAT(found, HasSubstr(GetParam().expected)) << body;
    EXPECT_EQ(std::count(found.begin(), found.end(), '\n'), 1) << found;
  }
}

INSTANTIATE_TEST_SUITE_P(
    domain, DomainKeys,
    ::testing::Values(Case{"name = \"example.org\"", ""}, Case{"name = \"*.Example.org\"", ""},
                      Case{"name = \"\"", "d.toml:1: name: is empty"},
                      Case{"name = \"*.\"", "name: \"*.\" is no domain"}, Case{"name = \"*\"", "is no domain"},
                      Case{"name = \"a.*.example\"", "is no domain"}, Case{"name = \"müller.example\"", "is no domain"},
                      Case{"name = \"[192.0.2.1]\"", "is no domain"}, Case{"subaddressing = \"\"", ""},
                      Case{"subaddressing = \"-+\"", ""},
                      Case{"subaddressing = \"a\"", "d.toml:2: subaddressing: \"a\" cannot separate a tag"},
                      Case{"subaddressing = true", "subaddressing: is true or false; it must be a string"},
                      Case{"keep_tag = true", ""}, Case{"keep_tag = \"yes\"", "keep_tag: is a string"},
                      Case{"dkim = []", ""}, Case{"dkim = [{selector = \"a\", file = \"f\"}]", ""},
                      Case{"dkim = {selector = \"a\", file = \"f\"}", "dkim: is a table; it must be a list"},
                      Case{"dkim = [{file = \"f\"}]", "dkim.selector: is missing"}, Case{"aliases = \"a\"", ""},
                      Case{"aliases = [\"a\"]", "aliases: is a list"},
                      Case{"subadressing = \"\"", "subadressing: unknown key; did you mean \"subaddressing\"?"},
                      Case{"[[rules]]\naddress = \"a\"\nto = [\"a@b.example\"]",
                           "rules: unknown section; did you mean \"rule\"?"},
                      Case{"[rule]\naddress = \"a\"", "rule: is a table; it must be a list"}));

INSTANTIATE_TEST_SUITE_P(
    rule, DomainKeys,
    ::testing::Values(
        Case{"[[rule]]\naddress = \"a\"\nto = [\"a@b.example\"]", ""},
        Case{"[[rule]]\naddress = \"a\"", "d.toml:2: rule.to: is missing; name at least one address"},
        Case{"[[rule]]\naddress = \"a\"\nto = []", "rule.to: is empty; name at least one address"},
        Case{"[[rule]]\nto = [\"a@b.example\"]", "d.toml:2: rule: has neither address nor pattern"},
        Case{"[[rule]]\naddress = \"a\"\npattern = \"a\"\nto = [\"a@b.example\"]",
             "rule.pattern: stands beside address"},
        Case{"[[rule]]\naddress = \"a@x.example\"\nto = [\"a@b.example\"]",
             "rule.address: \"a@x.example\" is no local part; write what stands left"},
        Case{"[[rule]]\naddress = \"\"\nto = [\"a@b.example\"]", "rule.address: \"\" is no local part"},
        Case{"[[rule]]\naddress = \"\\\"a b\\\"\"\nto = [\"a@b.example\"]", ""},
        Case{"[[rule]]\naddress = \"a\"\nto = [\n\"a@b.example\",\n\"oops\"]",
             "d.toml:6: rule.to: \"oops\" has no domain"},
        Case{"[[rule]]\naddress = \"a\"\nto = [\"$1@b.example\"]", "rule.to: \"$1@b.example\": $1 needs a pattern"},
        Case{"[[rule]]\naddress = \"a\"\nto = \"a@b.example\"", "rule.to: is a string; it must be a list"},
        Case{"[[rule]]\npattern = '(a)'\nto = [\"$1@b.example\"]", ""},
        Case{"[[rule]]\npattern = '(a)'\nto = [\"$2@b.example\"]", "$2 is none of the pattern's groups; $1 to $1 are"},
        Case{"[[rule]]\npattern = '('\nto = [\"$2@b.example\"]", "d.toml:3: rule.pattern: is no RE2 pattern"},
        Case{"[[rule]]\npattern = ''\nto = [\"a@b.example\"]", "rule.pattern: is empty"},
        Case{"[[rule]]\naddress = \"a\"\naction = \"drop\"", ""},
        Case{"[[rule]]\naddress = \"a\"\naction = \"reject\"", ""},
        Case{"[[rule]]\naddress = \"a\"\naction = \"forward\"", "rule.to: is missing"},
        Case{"[[rule]]\naddress = \"a\"\naction = \"bounce\"\nto = [\"a@b.example\"]",
             "rule.action: \"bounce\" is unknown"},
        Case{"[[rule]]\naddress = \"a\"\naction = \"drop\"\nto = [\"a@b.example\"]",
             "rule.to: is of no use beside this action"},
        Case{"[[rule]]\naddress = \"a\"\naction = \"reject\"\nreply = \"550 5.1.6 Moved\"", ""},
        Case{"[[rule]]\naddress = \"a\"\naction = \"reject\"\nreply = \"250 Ok\"",
             "rule.reply: must begin with a code from 400 to 599"},
        Case{"[[rule]]\naddress = \"a\"\naction = \"drop\"\nreply = \"550 x\"",
             "rule.reply: is of use with action = \"reject\" only"},
        Case{"[[rule]]\naddress = \"a\"\nenabled = false\nto = [\"a@b.example\"]", ""},
        Case{"[[rule]]\naddress = \"a\"\nenabled = 1\nto = [\"a@b.example\"]", "rule.enabled: is a number"},
        Case{"[[rule]]\npattern = \"a\"\nraw = true\nto = [\"a@b.example\"]", ""},
        Case{"[[rule]]\naddress = \"a\"\nallow_from = [\"*@c.example\", \"<>\"]\ndeny_from = [\"*\"]\nto = "
             "[\"a@b.example\"]",
             ""},
        Case{"[[rule]]\naddress = \"a\"\ndeny_from = [\"spam.example\"]\nto = [\"a@b.example\"]",
             "rule.deny_from: \"spam.example\" has no @"},
        Case{"[[rule]]\naddress = \"a\"\ncustody = \"queue\"\nto = [\"a@b.example\"]", ""},
        Case{"[[rule]]\naddress = \"a\"\nrate = \"100/h\"\nto = [\"a@b.example\"]", ""},
        Case{"[[rule]]\naddress = \"a\"\nrate = \"5/session\"\nto = [\"a@b.example\"]",
             "rule.rate: \"5/session\" is no rate"},
        Case{"[[rule]]\naddress = \"a\"\nrate = \"off\"\nto = [\"a@b.example\"]", ""},
        Case{"[[rule]]\naddress = \"a\"\nfallback = [\"b@b.example\"]\nto = [\"a@b.example\"]", ""},
        Case{"[[rule]]\naddress = \"a\"\nadress = \"b\"\nto = [\"a@b.example\"]",
             "rule.adress: unknown key; did you mean \"address\"?"}));

INSTANTIATE_TEST_SUITE_P(
    catch_all, DomainKeys,
    ::testing::Values(Case{"[catch_all]", ""}, Case{"[catch_all]\nto = [\"a@b.example\"]", ""},
                      Case{"[catch_all]\naction = \"drop\"", ""}, Case{"[catch_all]\nreply = \"550 No\"", ""},
                      Case{"[catch_all]\naction = \"forward\"", "catch_all.to: is missing"},
                      Case{"[catch_all]\nto = [\"$1@b.example\"]",
                           "catch_all.to: \"$1@b.example\": $1 needs a pattern"},
                      Case{"[catch_all]\naddress = \"a\"", "catch_all.address: unknown key"},
                      Case{"[catch_all]\nto = [\"a@b.example\"]\ncustody = \"queue\"", ""},
                      Case{"[catch_all]\ndeny_from = [\"*@c.example\"]\nallow_from = [\"x\"]\nto = [\"a@b.example\"]",
                           "catch_all.allow_from: \"x\" has no @"}));

INSTANTIATE_TEST_SUITE_P(
    expect, DomainKeys,
    ::testing::Values(Case{"[[expect]]\nrcpt = \"a@b.example\"\nto = []", ""},
                      Case{"[[expect]]\nrcpt = \"a@b.example\"", "d.toml:2: expect.to: is missing"},
                      Case{"[[expect]]\nto = []", "expect.rcpt: is missing"},
                      Case{"[[expect]]\nrcpt = \"a\"\nto = []", "expect.rcpt: is no mail address"},
                      Case{"[[expect]]\nrcpt = \"a@b.example\"\nto = [\"x\"]", "expect.to: \"x\" is no mail address"},
                      Case{"[[expect]]\nrcpt = \"a@b.example\"\nto = []\nfrom = \"x\"", "expect.from: unknown key"}));

TEST(DomainText, rules_keep_their_order_and_place) {
  const auto r = read(
      "name = \"X.example\"\n"
      "keep_tag = true\n"
      "subaddressing = \"-\"\n"
      "[catch_all]\n"
      "to = [\"all@out.example\"]\n"
      "[[rule]]\n"
      "pattern = 'a(.)'\n"
      "to = ['$1@out.example']\n"
      "raw = true\n"
      "[[rule]]\n"
      "address = \"b\"\n"
      "action = \"reject\"\n"
      "reply = \"450 4.2.0 Later\"\n"
      "enabled = false\n"
      "deny_from = [\"*@spam.example\"]\n");
  ASSERT_EQ(lines(r.report.errors), "");
  EXPECT_EQ(r.text.spec.name, "x.example");
  EXPECT_EQ(r.text.spec.where, "d.toml:1");
  EXPECT_TRUE(r.text.spec.keep_tag);
  EXPECT_EQ(r.text.spec.subaddressing, "-");
  ASSERT_EQ(r.text.spec.rules.size(), 3U);
  const auto& a = r.text.spec.rules[0];
  EXPECT_EQ(a.kind, policy::RuleSpec::Kind::pattern);
  EXPECT_EQ(a.match, "a(.)");
  EXPECT_EQ(a.where, "d.toml:6");
  EXPECT_TRUE(a.raw);
  const auto& b = r.text.spec.rules[1];
  EXPECT_EQ(b.match, "b");
  EXPECT_EQ(b.where, "d.toml:10");
  EXPECT_EQ(b.action, policy::Action::reject);
  EXPECT_EQ(b.reply, "450 4.2.0 Later");
  EXPECT_FALSE(b.enabled);
  EXPECT_EQ(b.deny_from, std::vector<std::string>{"*@spam.example"});
  EXPECT_EQ(r.text.spec.rules[2].kind, policy::RuleSpec::Kind::catch_all);
}

TEST(DomainText, mistakes_in_several_rules_are_all_told) {
  const auto found = mistakes_in(
      "name = \"x.example\"\n"
      "[[rule]]\n"
      "address = \"a\"\n"
      "to = [\"one\", \"two\"]\n"
      "[[rule]]\n"
      "pattern = '['\n"
      "to = [\"$1@three\", \"four\"]\n");
  EXPECT_THAT(found, HasSubstr("d.toml:4: rule.to: \"one\""));
  EXPECT_THAT(found, HasSubstr("d.toml:4: rule.to: \"two\""));
  EXPECT_THAT(found, HasSubstr("d.toml:6: rule.pattern: is no RE2"));
  EXPECT_THAT(found, HasSubstr("d.toml:7: rule.to: \"four\""));
}

TEST(DomainText, a_hundred_destinations_and_no_more) {
  std::string many;
  for (int i = 0; i < 100; ++i) many += "\"a" + std::to_string(i) + "@out.example\", ";
  const std::string head = "name = \"x.example\"\n[[rule]]\naddress = \"a\"\nto = [";
  EXPECT_EQ(mistakes_in(head + many + "]"), "");
  EXPECT_THAT(mistakes_in(head + many + "\"b@out.example\"]"), HasSubstr("rule.to: has more than 100 addresses"));
}

TEST(Threats, OP_02_control_octets_in_rules_are_refused) {
  for (const char* key : {"address", "pattern", "reply"}) {
    EXPECT_THAT(
        mistakes_in("name = \"x.example\"\n[[rule]]\n" + std::string(key) + " = \"a\\r\\nb\"\naction = \"reject\"\n"),
        HasSubstr("rule." + std::string(key) + ": has a line end or control character in it"));
  }
  EXPECT_THAT(
      mistakes_in("name = \"x.example\"\n[[rule]]\naddress = \"a\"\nto = [\"a@out.example\\nRCPT TO:<x@y>\"]\n"),
      HasSubstr("rule.to: has a line end"));
}

}  // namespace
}  // namespace app::test
