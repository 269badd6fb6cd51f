// What is refused when rules are loaded: LP-03 above all, and every value that could go wrong later.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "policy/pattern.hpp"
#include "policy/rule_syntax.hpp"
#include "policy/support.hpp"

namespace policy::test {
namespace {

using ::testing::HasSubstr;

TEST(Threats, LP_03_circles_are_refused_with_the_circle_printed) {
  const auto two =
      build({domain("x.example", {rule("a", {"b@y.example"})}), domain("y.example", {rule("b", {"A@X.example"})})});
  EXPECT_EQ(two.routes, nullptr);
  ASSERT_EQ(two.errors.size(), 2U);
  EXPECT_EQ(two.errors[0].what, "leads in a circle: a@x.example -> b@y.example -> a@x.example");
  EXPECT_EQ(two.errors[0].where, "t.toml:a");
  EXPECT_EQ(two.errors[1].what, "leads in a circle: b@y.example -> a@x.example -> b@y.example");

  const auto self = build({domain("x.example", {rule("a", {"out@out.example", "a+tag@x.example"})})});
  ASSERT_EQ(self.errors.size(), 1U);
  EXPECT_THAT(self.errors[0].what, HasSubstr("a+tag@x.example -> a+tag@x.example"));

  const auto all = build({domain("x.example", {catch_all({"nobody@x.example"})})});
  ASSERT_EQ(all.errors.size(), 1U);
  EXPECT_EQ(all.errors[0].what, "leads in a circle: nobody@x.example -> nobody@x.example");

  const auto aliases = build({domain("x.example", {})}, "a: b@x.example\nb: out@out.example,\n  a@x.example\n");
  ASSERT_EQ(aliases.errors.size(), 2U);
  EXPECT_EQ(aliases.errors[0].where, "t.aliases:1");
  EXPECT_EQ(aliases.errors[1].where, "t.aliases:2");
  EXPECT_EQ(aliases.errors[0].what, "leads in a circle: a@x.example -> b@x.example -> a@x.example");

  const auto postmaster = build({domain("x.example", {})}, "", "postmaster@x.example");
  ASSERT_EQ(postmaster.errors.size(), 1U);
  EXPECT_EQ(postmaster.errors[0].key, "postmaster");
}

TEST(Threats, LP_03_patterns_that_loop_are_refused_when_they_do) {
  const auto circle =
      build({domain("x.example", {pattern("a(.*)", {"b$1@x.example"}), pattern("b(.*)", {"a$1@x.example"})})});
  EXPECT_EQ(leads_to(circle, "a1@x.example"), "[554 5.4.6 Forwarding rules loop or expand too far]");
  const auto growth = build({domain("x.example", {pattern("(.*)", {"$1x@x.example"})})});
  EXPECT_EQ(leads_to(growth, "a@x.example"), "[554 5.4.6 Forwarding rules loop or expand too far]");
}

std::vector<RuleSpec> chain(int length) {
  std::vector<RuleSpec> rules;
  for (int i = 0; i < length; ++i)
    rules.push_back(rule("c" + std::to_string(i), {"c" + std::to_string(i + 1) + "@x.example"}));
  rules.push_back(rule("c" + std::to_string(length), {"end@out.example"}));
  return rules;
}

TEST(Threats, LP_03_ten_deep_and_no_deeper) {
  const auto ten = build({domain("x.example", chain(10))});
  EXPECT_EQ(leads_to(ten, "c0@x.example"), "end@out.example");
  const auto eleven = build({domain("x.example", chain(11))});
  ASSERT_EQ(eleven.errors.size(), 1U);
  EXPECT_THAT(eleven.errors[0].what, HasSubstr("more than 10 times inside: c0@x.example -> c1@x.example"));
}

TEST(Threats, LP_03_a_hundred_wide_and_no_wider) {
  std::vector<std::string> half, more;
  for (int i = 0; i < 50; ++i) half.push_back("u" + std::to_string(i) + "@out.example");
  for (int i = 0; i < 50; ++i) more.push_back("v" + std::to_string(i) + "@out.example");
  const auto hundred =
      build({domain("x.example", {rule("all", {"h@x.example", "m@x.example"}), rule("h", half), rule("m", more)})});
  EXPECT_EQ(ask(hundred, "all@x.example").destinations.size(), 100U);
  more.push_back("one@out.example");
  const auto over =
      build({domain("x.example", {rule("all", {"h@x.example", "m@x.example"}), rule("h", half), rule("m", more)})});
  ASSERT_EQ(over.errors.size(), 1U);
  EXPECT_THAT(over.errors[0].what, HasSubstr("more than 100 addresses"));

  // 2^n paths that lead to few addresses are merged, and cost nothing.
  std::vector<RuleSpec> doubling;
  for (int i = 0; i < 10; ++i) {
    const auto next = [i](const char* side) { return side + std::to_string(i + 1) + "@x.example"; };
    doubling.push_back(rule("a" + std::to_string(i), {next("a"), next("b")}));
    doubling.push_back(rule("b" + std::to_string(i), {next("a"), next("b")}));
  }
  doubling.push_back(rule("a10", {"end@out.example"}));
  doubling.push_back(rule("b10", {"end@out.example", "other@out.example"}));
  const auto merged = build({domain("x.example", doubling)});
  EXPECT_EQ(leads_to(merged, "a0@x.example"), "end@out.example other@out.example");

  std::vector<std::string> many(101, "a@out.example");
  EXPECT_THAT(build({domain("x.example", {rule("a", many)})}).text(),
              HasSubstr("rule.to: has more than 100 addresses"));
  many.pop_back();
  EXPECT_EQ(build({domain("x.example", {rule("a", many)})}).text(), "");
}

TEST(Builder, destinations_inside_that_nobody_takes_are_mistakes) {
  const auto built =
      build({domain("x.example", {rule("a", {"tpyo@x.example"}), pattern("p", {"b@x.example"})})}, "", "ops@x.example");
  ASSERT_EQ(built.errors.size(), 3U);
  EXPECT_TRUE(built.errors[0].dangling);
  EXPECT_THAT(built.errors[0].what, HasSubstr("no rule takes: a@x.example -> tpyo@x.example"));
  EXPECT_TRUE(built.errors[1].dangling);
  EXPECT_EQ(built.errors[2].key, "postmaster");
}

TEST(Builder, duplicates_are_mistakes) {
  auto off = rule("a", {"z@out.example"});
  off.enabled = false;
  EXPECT_EQ(build({domain("x.example", {rule("a", {"y@out.example"}), off})}).text(), "");
  EXPECT_THAT(build({domain("x.example", {rule("a", {"y@out.example"}), rule("A", {"z@out.example"})})}).text(),
              HasSubstr("already has the rule at t.toml:a"));
  EXPECT_THAT(build({domain("x.example", {}), domain("X.example", {})}).text(),
              HasSubstr("already forwarded by x.example.toml"));
  EXPECT_EQ(build({domain("x.example", {}), domain("*.x.example", {})}).text(), "");
  EXPECT_THAT(build({domain("x.example", {catch_all({"a@out.example"}), catch_all({"b@out.example"})})}).text(),
              HasSubstr("already has one"));
}

TEST(Builder, every_mistake_is_told) {
  auto bad_reply = reject("r", "250 fine");
  auto bad_glob = rule("g", {"a@out.example"});
  bad_glob.allow_from = {"corp.example"};
  const auto text = build({domain("x.example", {rule("a b@c", {"a@out.example"}), rule("", {"a@out.example"}),
                                                pattern("(", {"$1@out.example"}), rule("n", {}),
                                                rule("m", {"no-domain", "x@y_z"}), bad_reply, bad_glob}),
                           domain("no domain", {})})
                        .text();
  EXPECT_THAT(text, HasSubstr("t.toml:: rule.address: \"\" is no local part"));
  EXPECT_THAT(text, HasSubstr("rule.pattern: is no RE2 pattern (missing ): ()"));
  EXPECT_THAT(text, HasSubstr("t.toml:n: rule.to: is missing"));
  EXPECT_THAT(text, HasSubstr("t.toml:m: rule.to: \"no-domain\" has no domain"));
  EXPECT_THAT(text, HasSubstr("t.toml:m: rule.to: \"x@y_z\" is no mail address"));
  EXPECT_THAT(text, HasSubstr("t.toml:r: rule.reply: must begin with a code"));
  EXPECT_THAT(text, HasSubstr("t.toml:g: rule.allow_from: \"corp.example\" has no @"));
  EXPECT_THAT(text, HasSubstr("no domain.toml: name: \"no domain\" is no domain"));
}

TEST(Builder, the_number_of_errors_told_is_bounded) {
  std::string aliases;
  for (int i = 0; i < 2000; ++i) aliases += "a" + std::to_string(i) + ": nowhere\n";
  const auto built = build({domain("x.example", {})}, aliases);
  ASSERT_EQ(built.errors.size(), Routes::Builder::kMaxErrors + 1);
  EXPECT_EQ(built.errors.back().what, "and 1000 mistakes more in the rules");
}

TEST(RuleSyntax, replies) {
  struct Case {
    const char* text;
    const char* result;  // "" : refused
  };
  for (const auto& c : std::vector<Case>{{"550 5.1.6 Moved", "550 5.1.6 Moved"},
                                         {"450 4.2.1 Try later", "450 4.2.1 Try later"},
                                         {"599 Odd", "599 5.7.1 Odd"},
                                         {"400 Odd", "400 4.7.1 Odd"},
                                         {"550 2.0 is out", "550 5.7.1 2.0 is out"},
                                         {"550 4.1.6 Moved", ""},
                                         {"550 5.1.6", ""},
                                         {"550", ""},
                                         {"550 ", ""},
                                         {"", ""},
                                         {"250 2.0.0 Fine", ""},
                                         {"399 x", ""},
                                         {"600 x", ""},
                                         {"5500 x", ""},
                                         {"550-5.1.6 x", ""},
                                         {"421 4.7.0 Go away", ""},
                                         {"521 5.7.0 Go away", ""},
                                         {"550 5.1.9999 x", ""},
                                         {"550 5.1.6 Umgezögen", ""},
                                         {"550 a\nb", ""}}) {
    const auto reply = parse_reject_reply(c.text);
    EXPECT_EQ(reply ? reply->to_log() : "", c.result) << c.text;
  }
  EXPECT_TRUE(parse_reject_reply("550 " + std::string(kMaxReplyText, 'x')));
  EXPECT_FALSE(parse_reject_reply("550 " + std::string(kMaxReplyText + 1, 'x')));
}

TEST(RuleSyntax, destinations) {
  EXPECT_TRUE(parse_destination("a@b.example", 0));
  EXPECT_TRUE(parse_destination("a@[192.0.2.1]", 0));
  EXPECT_TRUE(parse_destination("$1@b.example", 1)->has_captures);
  EXPECT_FALSE(parse_destination("a$b@b.example", 1)->has_captures);
  for (const char* bad : {"", "a", "@b.example", "a@", "a@b c", "a@$1.example", "$2@b.example", "$0@b.example",
                          "a@müller.example", "a@b@c", "<a@b.example>"}) {
    EXPECT_FALSE(parse_destination(bad, 1)) << bad;
  }
  EXPECT_FALSE(parse_destination("$1@b.example", 0));
  EXPECT_THAT(parse_destination("$3@b.example", 2).error().text, HasSubstr("$1 to $2 are"));
}

TEST(RuleSyntax, separators_and_globs) {
  for (const char* good : {"", "+", "-", "+-", "="}) EXPECT_FALSE(separators_problem(good)) << good;
  for (const char* bad : {".", "a", "@", " ", "+++++++++", "\"", "é"}) EXPECT_TRUE(separators_problem(bad)) << bad;
  for (const char* good : {"*", "<>", "*@x.example", "a?c@x"}) EXPECT_FALSE(sender_glob_problem(good)) << good;
  for (const char* bad : {"", "x.example"}) EXPECT_TRUE(sender_glob_problem(bad)) << bad;
  EXPECT_TRUE(sender_glob_problem("@" + std::string(320, 'x')));
}

TEST(RuleSyntax, patterns_are_bounded) {
  EXPECT_TRUE(Pattern::compile(std::string(Pattern::kMaxLength, 'a')));
  EXPECT_FALSE(Pattern::compile(std::string(Pattern::kMaxLength + 1, 'a')));
  EXPECT_FALSE(Pattern::compile(""));
  EXPECT_EQ(Pattern::compile("(a)(b)(c)(d)(e)(f)(g)(h)(i)")->captures(), 9);
  EXPECT_FALSE(Pattern::compile("(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)"));
  EXPECT_FALSE(Pattern::compile("((a{100}){100}){100}")) << "would not fit into its memory";
  EXPECT_FALSE(Pattern::compile("(?-i)a")->match("A"));
  EXPECT_TRUE(Pattern::compile("a")->match("A"));
}

}  // namespace
}  // namespace policy::test
