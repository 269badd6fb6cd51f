// Bulk tables: both ways to write them, what is refused, and that many cost little.
#include "policy/alias_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "policy/support.hpp"

namespace policy::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Read {
  std::vector<std::string> problems;
  AliasTable table;
};

Read read(const std::string& text, const std::string& domain = "x.example") {
  Read out;
  out.table = AliasTable(text, domain, [&](unsigned line, const std::string& what) {
    out.problems.push_back(std::to_string(line) + ": " + what);
  });
  return out;
}

std::vector<std::string> destinations(const AliasTable& table, const std::string& local) {
  std::vector<std::string> out;
  const auto entry = table.find(local);
  if (!entry) return {"(none)"};
  Destinations all(entry->value);
  for (auto d = all.next(); !d.empty(); d = all.next()) out.emplace_back(d);
  return out;
}

TEST(AliasTable, both_ways_to_write_it) {
  const auto r = read(
      "# the team\r\n"
      "sales: alice@out.example, bob@out.example\r\n"
      "\n"
      "Info : carol@out.example\n"
      "post@X.example  dave@out.example erin@out.example\n"
      "x.example anything\n"
      "long@x.example a@out.example,\n"
      "   # not this one\n"
      "\tb@out.example,\n"
      "\n"
      "# nor this\n"
      "  \"c, d\"@out.example\n"
      "\"odd name\": odd@out.example\n"
      "@x.example all@out.example\n"
      "last: z@out.example");
  EXPECT_THAT(r.problems, ElementsAre());
  EXPECT_EQ(r.table.size(), 6U);
  EXPECT_THAT(destinations(r.table, "sales"), ElementsAre("alice@out.example", "bob@out.example"));
  EXPECT_THAT(destinations(r.table, "info"), ElementsAre("carol@out.example"));
  EXPECT_THAT(destinations(r.table, "post"), ElementsAre("dave@out.example", "erin@out.example"));
  EXPECT_THAT(destinations(r.table, "long"), ElementsAre("a@out.example", "b@out.example", "\"c, d\"@out.example"));
  EXPECT_THAT(destinations(r.table, "odd name"), ElementsAre("odd@out.example"));
  EXPECT_THAT(destinations(r.table, "last"), ElementsAre("z@out.example"));
  EXPECT_THAT(destinations(r.table, "sale"), ElementsAre("(none)"));
  EXPECT_THAT(destinations(r.table, ""), ElementsAre("(none)"));
  ASSERT_TRUE(r.table.catch_all());
  EXPECT_EQ(r.table.catch_all()->line, 14U);
  EXPECT_EQ(r.table.find("long")->line, 7U);
  EXPECT_EQ(r.table.find("last")->line, 15U);
  EXPECT_EQ(r.table.find("post")->key, "post");
}

TEST(AliasTable, mistakes_have_their_line) {
  const auto r = read(
      "  lost: a@out.example\n"
      "a: a@out.example\n"
      "A: b@out.example\n"
      "b:\n"
      "c@other.example c@out.example\n"
      ".dot: d@out.example\n"
      ": e@out.example\n"
      "bell: \a@out.example\n"
      "@x.example one@out.example\n"
      "@x.example two@out.example\n"
      "\"q w\")  q@out.example\n"
      "\"\": e@out.example\n");
  EXPECT_THAT(r.problems,
              ElementsAre(HasSubstr("1: starts with a blank"), HasSubstr("3: A: is already in line 2"),
                          HasSubstr("4: b: has no destination"), HasSubstr("5: c@other.example: is not in x.example"),
                          HasSubstr("7: : is no local part"), HasSubstr("8: bell: has a control character"),
                          HasSubstr("10: @x.example: is already in line 9"),
                          HasSubstr("11: \"q w\"): is no local part"), HasSubstr("12: \"\": is no local part")));
  EXPECT_THAT(destinations(r.table, "a"), ElementsAre("a@out.example"));
}

TEST(AliasTable, a_quote_that_is_left_open_ends_with_its_line) {
  const auto r = read("a: \"x\\\n  y@out.example\n\"k\\\n  z@out.example\n");
  EXPECT_THAT(destinations(r.table, "a"), ElementsAre("\"x\\", "y@out.example"));
  EXPECT_THAT(r.problems, ElementsAre(HasSubstr("3: \"k\\: is no local part")));
}

TEST(AliasTable, empty_tables_are_fine) {
  for (const char* text : {"", "\n", "# nothing", "\r\n\r\n"}) {
    const auto r = read(text);
    EXPECT_THAT(r.problems, ElementsAre()) << text;
    EXPECT_EQ(r.table.size(), 0U);
    EXPECT_FALSE(r.table.find("a"));
  }
  EXPECT_FALSE(AliasTable().find("a"));
}

TEST(AliasTable, entries_work_as_rules) {
  const auto built = build(
      {domain("x.example", {rule("both", {"rule@out.example"})})},
      "both: alias@out.example\nsales: a@out.example, in@x.example\nin: b@out.example\n@x.example: all@out.example\n");
  EXPECT_EQ(leads_to(built, "both@x.example"), "rule@out.example");
  EXPECT_EQ(leads_to(built, "Sales+tag@x.example"), "a@out.example b@out.example");
  EXPECT_EQ(leads_to(built, "other@x.example"), "all@out.example");
  EXPECT_EQ(ask(built, "sales+x@x.example").rule, "x.example/sales");
  EXPECT_EQ(ask(built, "sales@x.example").where, "t.aliases:2");
  EXPECT_EQ(built.routes->addresses(), 4U);
}

TEST(AliasTable, destinations_are_checked_when_loaded) {
  const auto text = build({domain("x.example", {catch_all({"z@out.example"})})},
                          "a: |/bin/cat\nb: :include:/etc/list\nc: /var/mail/c\nd: joe\ne: x@y "
                          "z@out.example\n@x.example a@out.example\n")
                        .text();
  EXPECT_THAT(text, HasSubstr("t.aliases:1: : commands, files and :include: are not supported"));
  EXPECT_THAT(text, HasSubstr("t.aliases:2: : commands, files"));
  EXPECT_THAT(text, HasSubstr("t.aliases:3: : commands, files"));
  EXPECT_THAT(text, HasSubstr("t.aliases:4: : \"joe\" has no domain"));
  EXPECT_THAT(text, HasSubstr("t.aliases:6: : @x.example: the domain has a [catch_all] at t.toml:catch_all"));
}

// The real size is measured by bench/aliases_bench; here that the cost does not explode.
TEST(AliasTable, a_hundred_thousand_load_and_are_found) {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "user" + std::to_string(i) + ": box" + std::to_string(i) + "@out.example\n";
  const auto begin = std::chrono::steady_clock::now();
  const auto built = build({domain("x.example", {})}, text);
  const auto took = std::chrono::steady_clock::now() - begin;
  ASSERT_TRUE(built.routes) << built.text();
  EXPECT_LT(took, std::chrono::seconds(20));
  EXPECT_EQ(built.routes->addresses(), 100'000U);
  for (int i = 0; i < 100'000; i += 997) {
    EXPECT_EQ(leads_to(built, "USER" + std::to_string(i) + "@x.example"), "box" + std::to_string(i) + "@out.example");
  }
  EXPECT_EQ(leads_to(built, "user100000@x.example"), "[unknown]");
}

}  // namespace
}  // namespace policy::test
