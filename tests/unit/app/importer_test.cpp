// Other systems' tables as our domain files: what is carried over, what is told, and that what comes out loads.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/importer.hpp"
#include "app/support.hpp"
#include "policy/pattern.hpp"

namespace app::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

struct Done {
  Import import;
  std::map<std::string, std::string> files;
  std::vector<std::string> notes;
};

Done finish(Import import) {
  Done out;
  settle_import(import);
  for (auto& [name, text] : domain_files(import, "f")) {
    if (name.ends_with(".toml")) {
      Report report;
      static_cast<void>(parse_domain(text, name, report));
      EXPECT_EQ(lines(report.errors), "") << text;
    }
    out.files[name] = text;
  }
  for (const auto& note : import.notes) out.notes.push_back(note.where + ": " + note.what);
  out.import = std::move(import);
  return out;
}

Done postfix(const std::string& text, const ImportHints& hints = {}) {
  Import import;
  import_postfix(text, "f", hints, import);
  return finish(std::move(import));
}

Done csv(const std::string& text, const ImportHints& hints = {}) {
  Import import;
  import_csv(text, "f", hints, import);
  return finish(std::move(import));
}

Done cloudflare(const std::string& text, const ImportHints& hints = {}) {
  Import import;
  import_cloudflare(text, "f", hints, import);
  return finish(std::move(import));
}

TEST(ImportPostfix, virtual_table) {
  const auto done = postfix(
      "# the domain\nexample.org  anything\n\n# Sales,\n#  all of it\nsales@Example.org alice@a.example, "
      "bob@b.example\n"
      "@example.org\trest@a.example\n\"odd one\"@example.org x@a.example\nlong@example.org a@a.example,\n   "
      "b@a.example\n");
  EXPECT_THAT(done.notes, IsEmpty());
  ASSERT_EQ(done.files.size(), 1U);
  EXPECT_EQ(done.files.at("example.org.toml"),
            "# From f.\nname = \"example.org\"\n\n# Sales,\n# all of it\n[[rule]]\naddress = \"sales\"\n"
            "to = [\"alice@a.example\", \"bob@b.example\"]\n\n[catch_all]\nto = [\"rest@a.example\"]\n\n"
            "[[rule]]\naddress = \"\\\"odd one\\\"\"\nto = [\"x@a.example\"]\n\n"
            "[[rule]]\naddress = \"long\"\nto = [\"a@a.example\", \"b@a.example\"]\n");
}

TEST(ImportPostfix, whole_domains_and_plain_names) {
  const auto done = postfix("@old.example @new.example\nbob carol@a.example\nsales@x.example dave\n",
                            {"example.org", "mail.example"});
  EXPECT_THAT(done.notes, IsEmpty());
  EXPECT_THAT(done.files.at("old.example.toml"), HasSubstr("pattern = '(.+)'\nto = [\"$1@new.example\"]"));
  EXPECT_THAT(done.files.at("example.org.toml"), HasSubstr("address = \"bob\"\nto = [\"carol@a.example\"]"));
  EXPECT_THAT(done.files.at("x.example.toml"), HasSubstr("to = [\"dave@mail.example\"]"));
}

TEST(ImportPostfix, aliases) {
  const auto done = postfix(
      "postmaster: root\nroot:\tadmin@a.example\nvoid: /dev/null\nlist: :include:/etc/list\nprog: \"|/usr/bin/x y\"\n"
      "box: /var/mail/box\nspaced : c@a.example\n",
      {"example.org", ""});
  const auto& text = done.files.at("example.org.toml");
  EXPECT_THAT(text, HasSubstr("address = \"root\"\nto = [\"admin@a.example\"]"));
  EXPECT_THAT(text, HasSubstr("address = \"void\"\naction = \"drop\""));
  EXPECT_THAT(text, HasSubstr("address = \"spaced\"\nto = [\"c@a.example\"]"));
  EXPECT_THAT(done.notes, ElementsAre(HasSubstr("f:1: root: has no domain"), HasSubstr("f:4: left out: list"),
                                      HasSubstr("f:5: left out: prog"), HasSubstr("f:6: left out: box"),
                                      HasSubstr("f:1: postmaster@example.org: left out: it leads nowhere")));
  EXPECT_THAT(postfix("a: b@c.example\n").notes, ElementsAre(HasSubstr("name it with --domain")));
}

// What a converted pattern matches is what Postfix's search would have matched.
TEST(ImportPostfix, regexp_tables) {
  struct Row {
    const char* line;
    const char* pattern;  // "" : left out
    const char* to;
  };
  for (const auto& row :
       std::initializer_list<Row>{{"/^inv-([0-9]+)@example\\.org$/ b+$1@a.example", "inv-([0-9]+)", "b+$1@a.example"},
                                  {"/^inv-([0-9]+)@example.org$/ b+${1}@a.example", "inv-([0-9]+)", "b+$1@a.example"},
                                  {"/(.*)-list@example[.]org/ $(1)@a.example", ".*?(.*)-list", "$1@a.example"},
                                  {"/^Case@example\\.org$/i c@a.example", "(?-i)Case", "c@a.example"},
                                  {"/^(a|b)\\@example\\.org$/m c@a.example", "(a|b)", "c@a.example"},
                                  {"/^[a@]x@example\\.org$/ c@a.example", "[a@]x", "c@a.example"},
                                  {"/^a\\/b@example\\.org$/ c@a.example", "a\\/b", "c@a.example"},
                                  {"/^[[:alpha:]]+@example\\.org$/ c@a.example", "[[:alpha:]]+", "c@a.example"},
                                  {"/^a@.*$/ c@a.example", "", ""},
                                  {"/^abuse/ c@a.example", "", ""},
                                  {"/^a|b@example\\.org$/ c@a.example", "", ""},
                                  {"/^(a@example\\.org)$/ c@a.example", "", ""},
                                  {"/^(a)@example\\.org$/ $2@a.example", "", ""},
                                  {"/^a@example\\.org$/ $x@a.example", "", ""},
                                  {"/^a@example\\.org$/x c@a.example", "", ""},
                                  {"/^(?=a)@example\\.org$/ c@a.example", "", ""},
                                  {"/^(a)\\1@example\\.org$/ c@a.example", "", ""},
                                  {"!/^a@example\\.org$/ c@a.example", "", ""},
                                  {"/^a@example\\.org c@a.example", "", ""},
                                  {"/^a@example\\.org$/", "", ""}}) {
    const auto done = postfix(std::string(row.line) + "\n");
    const auto it = done.import.domains.find("example.org");
    const bool there = it != done.import.domains.end() && !it->second.empty();
    if (*row.pattern == '\0') {
      EXPECT_FALSE(there) << row.line;
      EXPECT_FALSE(done.notes.empty()) << row.line;
      continue;
    }
    ASSERT_TRUE(there) << row.line << done.notes.size();
    EXPECT_THAT(done.notes, IsEmpty()) << row.line;
    EXPECT_EQ(it->second[0].match, row.pattern);
    EXPECT_THAT(it->second[0].to, ElementsAre(row.to));
  }
  const auto list = policy::Pattern::compile(".*?(.*)-list");
  ASSERT_TRUE(list);
  EXPECT_EQ(list->match("a-b-list").value().at(0), "a-b") << "a search matches as far left as it can";
}

TEST(ImportPostfix, conditions_are_left_out_as_a_whole) {
  const auto done = postfix(
      "if /x/\n/^a@example\\.org$/ b@a.example\nif /y/\nendif\nc@example.org d@a.example\nendif\n"
      "e@example.org f@a.example\n");
  EXPECT_EQ(done.notes.size(), 4U);
  EXPECT_THAT(done.files.at("example.org.toml"), HasSubstr("address = \"e\""));
  EXPECT_THAT(done.files.at("example.org.toml"), Not(HasSubstr("address = \"c\"")));
}

TEST(ImportPostfix, circles_doubles_and_itself) {
  const auto done = postfix(
      "a@x.example b@x.example\nb@x.example a@x.example\nc@x.example c@x.example d@a.example\n"
      "e@x.example e@x.example\nc@x.example f@a.example\n@x.example @y.example z@a.example\n");
  EXPECT_THAT(done.notes, ElementsAre(HasSubstr("f:3: c@x.example: leads to itself"),
                                      HasSubstr("f:4: e@x.example: leads to itself"),
                                      HasSubstr("f:4: e@x.example: left out: it leads nowhere"),
                                      HasSubstr("f:5: c@x.example: left out: it is there twice"),
                                      HasSubstr("onward check will refuse this: leads in a circle"),
                                      HasSubstr("onward check will refuse this: leads in a circle")));
}

TEST(ImportPostfix, nonsense) {
  EXPECT_THAT(postfix("").files, IsEmpty());
  EXPECT_THAT(postfix("   continued\n").files, IsEmpty());
  EXPECT_EQ(postfix("alone\n").notes.size(), 1U);
  EXPECT_EQ(postfix("a@b c@d.example\n").notes.size(), 0U) << "a domain of one label is one";
  for (const auto& octets : {std::string("a\0b", 3), std::string("a\x7f"), std::string("a\xff")}) {
    const auto done = postfix("/^i" + octets + "@example\\.org$/ c@a.example\n");
    EXPECT_THAT(done.notes, ElementsAre(HasSubstr("octets in it that are no text")));
  }
  const auto hostile = postfix("x\x1b[31m@ex ample.org y@a.example\n\x01\x02\xff@\xfe a@a.example\n");
  for (const auto& note : hostile.notes) EXPECT_THAT(note, Not(HasSubstr("\x1b")));
}

TEST(ImportPostfix, very_many_rules_become_a_table) {
  std::string text = "special@example.org /dev/null\n\"a b\"@example.org c@a.example\n";
  for (std::size_t i = 0; i <= kManyRules; ++i)
    text += fmt::format("# number {0}\nu{0}@example.org d{0}@a.example, e@a.example\n", i);
  const auto done = postfix(text);
  ASSERT_EQ(done.files.size(), 2U);
  EXPECT_THAT(done.files.at("example.org.toml"), HasSubstr("aliases = \"example.org.aliases\""));
  EXPECT_THAT(done.files.at("example.org.toml"), HasSubstr("address = \"special\"\naction = \"drop\""));
  EXPECT_THAT(done.files.at("example.org.toml"), Not(HasSubstr("u1\"")));
  EXPECT_THAT(done.files.at("example.org.aliases"), HasSubstr("# number 7\nu7: d7@a.example, e@a.example\n"));
}

TEST(ImportCsv, with_a_header) {
  const auto done = csv(
      "\xef\xbb\xbf"
      "Alias,Domain,Description,Destinations,Enabled\r\nsales,Example.org,\"two\nlines, \"\"x\"\"\","
      "\"a@a.example; b@a.example\",yes\r\n*,example.org,,rest@a.example,true\r\nold,example.org,,x@a.example,No\r\n");
  EXPECT_THAT(done.notes, IsEmpty());
  EXPECT_EQ(done.files.at("example.org.toml"),
            "# From f.\nname = \"example.org\"\n\n# two\n# lines, \"x\"\n[[rule]]\naddress = \"sales\"\n"
            "to = [\"a@a.example\", \"b@a.example\"]\n\n[catch_all]\nto = [\"rest@a.example\"]\n\n[[rule]]\n"
            "address = \"old\"\nto = [\"x@a.example\"]\nenabled = false\n");
}

TEST(ImportCsv, without_one) {
  const auto done =
      csv("sales@example.org;a@a.example;b@a.example\n\ninfo;c@a.example\nx-*@example.org;d@a.example\n"
          "/^y$/;e@a.example\n",
          {"example.org", ""});
  EXPECT_THAT(done.notes, ElementsAre(HasSubstr("f:5: left out: /^y$/")));
  const auto& text = done.files.at("example.org.toml");
  EXPECT_THAT(text, HasSubstr("address = \"sales\"\nto = [\"a@a.example\", \"b@a.example\"]"));
  EXPECT_THAT(text, HasSubstr("address = \"info\""));
  EXPECT_THAT(text, HasSubstr("pattern = 'x\\-.*'\nto = [\"d@a.example\"]"));
  EXPECT_THAT(csv("sales;a@a.example\n").notes, ElementsAre(HasSubstr("names no domain")));
  EXPECT_THAT(csv("").files, IsEmpty());
  const auto torn = csv("\"never closed,a@b.example");
  EXPECT_THAT(torn.files, IsEmpty());
  EXPECT_THAT(torn.notes, ElementsAre("f:1: left out: a quote that is never closed"));
}

constexpr const char* kRules = R"({"success": true, "result": [
 {"tag": "1", "name": "second", "enabled": true, "priority": 10,
  "matchers": [{"type": "literal", "field": "to", "value": "sales@example.org"}],
  "actions": [{"type": "forward", "value": ["late@a.example"]}]},
 {"tag": "2", "name": "Sales", "enabled": true, "priority": 0,
  "matchers": [{"type": "literal", "field": "to", "value": "sales@example.org"}],
  "actions": [{"type": "forward", "value": ["a@a.example", "b@a.example"]}]},
 {"tag": "3", "name": "", "enabled": false, "priority": 1,
  "matchers": [{"type": "literal", "field": "to", "value": "spam@example.org"}], "actions": [{"type": "drop"}]},
 {"tag": "4", "name": "code", "enabled": true,
  "matchers": [{"type": "literal", "field": "to", "value": "w@example.org"}],
  "actions": [{"type": "worker", "value": ["w"]}]},
 {"tag": "5", "name": "Catch-all", "enabled": true, "matchers": [{"type": "all"}],
  "actions": [{"type": "forward", "value": ["rest@a.example"]}]}]})";

TEST(ImportCloudflare, the_apis_list) {
  const auto done = cloudflare(kRules);
  EXPECT_THAT(done.notes, ElementsAre("f: rule 4: left out: code: a worker is a program; there are none here",
                                      HasSubstr("f: rule 1: sales@example.org: left out: it is there twice")));
  EXPECT_EQ(done.files.at("example.org.toml"),
            "# From f.\nname = \"example.org\"\n\n"
            "# Sales\n[[rule]]\naddress = \"sales\"\nto = [\"a@a.example\", \"b@a.example\"]\n\n"
            "# Catch-all\n[catch_all]\nto = [\"rest@a.example\"]\n\n"
            "[[rule]]\naddress = \"spam\"\naction = \"drop\"\nenabled = false\n");
}

TEST(ImportCloudflare, other_forms) {
  EXPECT_THAT(cloudflare("[]").notes, ElementsAre(HasSubstr("is no list of rules")));
  EXPECT_THAT(cloudflare("hello").notes, ElementsAre(HasSubstr("is no list of rules")));
  EXPECT_THAT(cloudflare("{\"result\": 5}").notes, ElementsAre(HasSubstr("is no list of rules")));
  const char* catch_all =
      R"({"result": {"matchers": [{"type": "all"}], "actions": [{"type": "drop"}], "enabled": true}})";
  EXPECT_THAT(cloudflare(catch_all).notes, ElementsAre(HasSubstr("name it with --domain")));
  EXPECT_THAT(cloudflare(catch_all, {"example.org", ""}).files.at("example.org.toml"),
              HasSubstr("[catch_all]\naction = \"drop\""));
  for (
      const char* strange :
      {R"([{"matchers": 5}])", R"([{"matchers": [5], "actions": [{"type": "drop"}]}])",
       R"([{"matchers": [{"type": "literal", "field": "from", "value": "a@b.example"}], "actions": [{"type": "drop"}]}])",
       R"([{"matchers": [{"type": "literal", "field": "to", "value": "a@b.example"}], "actions": []}])",
       R"([{"matchers": [{"type": "literal", "field": "to", "value": "a@b.example"}], "actions": ["drop"]}])",
       R"([{"matchers": [{"type": "literal", "field": "to", "value": "a@b.example"}], "actions": [{"type": "forward"}]}])",
       R"([{"matchers": [{"type": "literal", "field": "to", "value": 1}], "actions": [{"type": "drop"}]}])"}) {
    const auto done = cloudflare(strange);
    EXPECT_EQ(done.notes.size(), 1U) << strange;
    EXPECT_THAT(done.files, IsEmpty()) << strange;
  }
}

}  // namespace
}  // namespace app::test
