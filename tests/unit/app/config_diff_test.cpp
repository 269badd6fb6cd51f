#include "app/config_diff.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace app::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = ConfigSource::Kind;

std::vector<std::string> diff(const std::string& before, const std::string& after) {
  return diff_sources({{Kind::settings, "o.toml", before}}, {{Kind::settings, "o.toml", after}});
}

TEST(ConfigDiff, layout_and_comments_do_not_count) {
  EXPECT_THAT(diff("a = 1\n[b]\nc = \"x\"\n",
                   "# hello\nb = { c = 'x' }\n\n"
                   "a=1 "),
              ::testing::SizeIs(0))
      << "as far as TOML allows it";
  EXPECT_THAT(diff("a = 1\nb = 2\n", "b = 2 # two\na = 1\n"), IsEmpty());
}

TEST(ConfigDiff, settings) {
  EXPECT_THAT(diff("a = 1\n[limits]\nmemory = \"1 MiB\"\n", "[limits]\nmemory = \"2 MiB\"\nspill = true\n"),
              ElementsAre("o.toml: limits.memory: \"1 MiB\" -> \"2 MiB\"", "o.toml: limits.spill: added: true",
                          "o.toml: a: removed: 1"));
  EXPECT_THAT(diff("x = [\"a\", 1, {b = 2.5}]\n", "x = []\n"), ElementsAre("o.toml: x: [\"a\", 1, {b = 2.5}] -> []"));
}

TEST(ConfigDiff, rules_by_name) {
  const std::string sales = "[[rule]]\naddress = \"sales\"\nto = [\"a@x.example\"]\n";
  const std::string info = "[[rule]]\naddress = \"info\"\nto = [\"b@x.example\"]\n";
  const std::string pattern = "[[rule]]\npattern = 'inv-(\\d+)'\nto = [\"c@x.example\"]\n";
  EXPECT_THAT(diff(sales + info, sales + pattern + info),
              ElementsAre("o.toml: rule[inv-(\\d+)]: added: pattern = \"inv-(\\\\d+)\", to = [\"c@x.example\"]"));
  EXPECT_THAT(diff(sales + info, info),
              ElementsAre("o.toml: rule[sales]: removed: address = \"sales\", to = [\"a@x.example\"]"));
  EXPECT_THAT(diff(sales, "[[rule]]\naddress = \"sales\"\nto = [\"z@x.example\"]\nenabled = false\n"),
              ElementsAre("o.toml: rule[sales].enabled: added: false",
                          "o.toml: rule[sales].to: [\"a@x.example\"] -> [\"z@x.example\"]"));
  EXPECT_THAT(diff(sales + pattern, pattern + sales), ElementsAre("o.toml: rule: in another order"));
  EXPECT_THAT(diff(sales, ""),
              ElementsAre("o.toml: rule[sales]: removed: address = \"sales\", to = [\"a@x.example\"]"));
  EXPECT_THAT(diff("[[r]]\nx = 1\n[[r]]\nx = 2\n", "[[r]]\nx = 1\n[[r]]\nx = 3\n"),
              ElementsAre("o.toml: r[2].x: 2 -> 3"));
  EXPECT_THAT(diff("[[l]]\n[[l]]\n", "[[l]]\n"), ElementsAre("o.toml: l[2]: removed: "));
}

TEST(ConfigDiff, names_that_look_like_paths) {
  const std::string one = "[[rule]]\npattern = '[a-z].x'\nto = [\"a@x.example\"]\n";
  const std::string two = "[[rule]]\npattern = '[a-z].x'\nto = [\"b@x.example\"]\n";
  EXPECT_THAT(diff(one, two), ElementsAre("o.toml: rule[[a-z].x].to: [\"a@x.example\"] -> [\"b@x.example\"]"));
}

TEST(ConfigDiff, a_block_lists_key_is_not_shown) {
  const auto told = diff("[[dnsbl]]\nname = \"zen\"\nzone = \"secret1.example\"\n",
                         "[[dnsbl]]\nname = \"zen\"\nzone = \"secret2.example\"\n");
  EXPECT_THAT(told, ElementsAre("o.toml: dnsbl[zen].zone: (not shown) -> (not shown)"));
  EXPECT_THAT(diff("", "[[dnsbl]]\nname = \"zen\"\nzone = \"secret1.example\"\n"),
              ElementsAre("o.toml: dnsbl[zen]: added: name = \"zen\", zone = (not shown)"));
}

TEST(ConfigDiff, files) {
  const ConfigSource main{Kind::settings, "o.toml", "a = 1\n"}, one{Kind::domain, "d/1.toml", "name = \"x\"\n"},
      two{Kind::domain, "d/2.toml", "name = \"y\"\n"}, key{Kind::opaque, "k.pem", "digest"},
      other{Kind::opaque, "k.pem", "other"};
  EXPECT_THAT(diff_sources({main, one, key, key}, {main, one, key}), IsEmpty());
  EXPECT_THAT(diff_sources({main, one, key}, {main, two, other}),
              ElementsAre("d/2.toml: a new file", "k.pem: changed", "d/1.toml: no longer used"));
}

TEST(ConfigDiff, what_needs_a_restart) {
  Config before, after;
  EXPECT_THAT(restart_needed(before, after), IsEmpty());
  after.threads = 3;
  after.user = "x";
  EXPECT_THAT(restart_needed(before, after),
              ElementsAre("threads changes with the next restart only", "user changes with the next restart only"));
}

}  // namespace
}  // namespace app::test
