// Who takes an address: order, tags, patterns, wildcards, catch-all, sender lists, postmaster (interface.md §2, §6).
#include "policy/routes.hpp"

#include <gtest/gtest.h>

#include "policy/support.hpp"

namespace policy::test {
namespace {

TEST(Routes, exact_addresses_ignore_case_and_quoting) {
  const auto built = build({domain("Example.ORG", {rule("Sales", {"alice@gmail.example", "bob@corp.example"})})});
  EXPECT_EQ(leads_to(built, "sales@example.org"), "alice@gmail.example bob@corp.example");
  EXPECT_EQ(leads_to(built, "SALES@EXAMPLE.ORG"), "alice@gmail.example bob@corp.example");
  EXPECT_EQ(leads_to(built, "\"sales\"@example.org"), "alice@gmail.example bob@corp.example");
  EXPECT_EQ(leads_to(built, "sale@example.org"), "[unknown]");
  EXPECT_EQ(leads_to(built, "sales@example.com"), "[not ours]");
  EXPECT_EQ(leads_to(built, "sales@sub.example.org"), "[not ours]");
  EXPECT_EQ(leads_to(built, "sales@[192.0.2.1]"), "[not ours]");
  const auto route = ask(built, "SALES@example.org");
  EXPECT_EQ(route.rule, "example.org/Sales");
  EXPECT_EQ(route.where, "t.toml:Sales");
  EXPECT_EQ(route.domain, "example.org");
  EXPECT_TRUE(built.routes->is_ours("EXAMPLE.org"));
  EXPECT_FALSE(built.routes->is_ours("org"));
  EXPECT_EQ(built.routes->addresses(), 1U);
}

TEST(Routes, the_order_is_exact_then_tag_then_patterns_then_catch_all) {
  auto spec = domain("example.org", {
                                        catch_all({"all@out.example"}),
                                        pattern("s.*", {"second@out.example"}),
                                        pattern("sa.*", {"never@out.example"}),
                                        rule("sales+vip", {"vip@out.example"}),
                                        rule("sales", {"sales@out.example"}),
                                    });
  const auto built = build({spec});
  EXPECT_EQ(leads_to(built, "sales+vip@example.org"), "vip@out.example");
  EXPECT_EQ(leads_to(built, "sales+vip+x@example.org"), "vip@out.example");
  EXPECT_EQ(leads_to(built, "sales+other@example.org"), "sales@out.example");
  EXPECT_EQ(leads_to(built, "sales+@example.org"), "sales@out.example");
  EXPECT_EQ(leads_to(built, "sandra@example.org"), "second@out.example");
  EXPECT_EQ(leads_to(built, "+sales@example.org"), "all@out.example");
  EXPECT_EQ(leads_to(built, "x@example.org"), "all@out.example");
}

TEST(Routes, a_tag_is_taken_off_by_the_domains_own_separators) {
  auto none = domain("none.example", {rule("a", {"a@out.example"})});
  none.subaddressing = "";
  auto two = domain("two.example", {rule("a", {"a@out.example"}), rule("a-b", {"ab@out.example"})});
  two.subaddressing = "-+";
  const auto built = build({none, two});
  EXPECT_EQ(leads_to(built, "a+x@none.example"), "[unknown]");
  EXPECT_EQ(leads_to(built, "a-x@two.example"), "a@out.example");
  EXPECT_EQ(leads_to(built, "a-b-c@two.example"), "ab@out.example");
  EXPECT_EQ(leads_to(built, "a-c+b@two.example"), "a@out.example");
  EXPECT_EQ(leads_to(built, "a=x@two.example"), "[unknown]");
}

TEST(Routes, fallbacks_belong_to_the_rule_that_names_the_destination) {
  auto sales = rule("sales", {"team@example.org", "alice@out.example"});
  sales.fallback = {"desk@other.example"};
  auto team = rule("team", {"bob@out.example"});
  team.fallback = {"spare@other.example", "last@third.example"};
  team.custody = Custody::queue;
  auto invoices = pattern("inv-(.*)", {"billing+$1@out.example"});
  invoices.fallback = {"archive+$1@other.example"};
  const auto built = build({domain("example.org", {sales, team, invoices, rule("plain", {"x@out.example"})})});
  const auto route = ask(built, "sales@example.org");
  ASSERT_EQ(route.destinations.size(), 2U);
  ASSERT_EQ(route.fallbacks.size(), 2U);
  EXPECT_EQ(route.destinations[0].to_string(), "bob@out.example");
  ASSERT_EQ(route.fallbacks[0].size(), 2U);
  EXPECT_EQ(route.fallbacks[0][1].to_string(), "last@third.example");
  ASSERT_EQ(route.fallbacks[1].size(), 1U);
  EXPECT_EQ(route.fallbacks[1][0].to_string(), "desk@other.example");
  EXPECT_EQ(route.custody, Custody::queue) << "the first rule on the way that says";
  EXPECT_EQ(ask(built, "inv-7@example.org").fallbacks.at(0).at(0).to_string(), "archive+7@other.example");
  EXPECT_TRUE(ask(built, "plain@example.org").fallbacks.at(0).empty());
  EXPECT_EQ(ask(built, "plain@example.org").custody, std::nullopt);

  auto inside = rule("a", {"x@out.example"});
  inside.fallback = {"plain@example.org"};
  const auto refused = build({domain("example.org", {inside, rule("plain", {"y@out.example"})})});
  ASSERT_EQ(refused.errors.size(), 1U);
  EXPECT_EQ(refused.errors[0].key, "rule.fallback");
}

TEST(Routes, keep_tag_carries_tag_and_separator) {
  auto spec = domain("example.org",
                     {rule("sales", {"alice@out.example", "inner@example.org"}), rule("inner", {"\"b c\"@out.example"}),
                      rule("long", {std::string(60, 'x') + "@out.example"})});
  spec.keep_tag = true;
  const auto built = build({spec});
  EXPECT_EQ(leads_to(built, "sales+Spring@example.org"), "alice+Spring@out.example \"b c+Spring\"@out.example");
  EXPECT_EQ(leads_to(built, "sales@example.org"), "alice@out.example \"b c\"@out.example");
  EXPECT_EQ(leads_to(built, "long+abc@example.org"), std::string(60, 'x') + "+abc@out.example");
  EXPECT_EQ(leads_to(built, "long+abcd@example.org"), "[unknown]") << "65 octets are no local part";
}

TEST(Routes, patterns_are_anchored_and_substitute) {
  const auto built = build({domain(
      "example.org", {pattern("inv-(\\d+)", {"billing+$1@corp.example"}),
                      pattern("(a)(b)?(c)", {"$3$2$1.$1@corp.example"}), pattern("price\\$", {"a$b@corp.example"})})});
  EXPECT_EQ(leads_to(built, "inv-2026@example.org"), "billing+2026@corp.example");
  EXPECT_EQ(leads_to(built, "INV-2026@example.org"), "billing+2026@corp.example");
  EXPECT_EQ(leads_to(built, "inv-2026x@example.org"), "[unknown]");
  EXPECT_EQ(leads_to(built, "xinv-2026@example.org"), "[unknown]");
  EXPECT_EQ(leads_to(built, "abc@example.org"), "cba.a@corp.example");
  EXPECT_EQ(leads_to(built, "ac@example.org"), "ca.a@corp.example");
  EXPECT_EQ(leads_to(built, "price$@example.org"), "a$b@corp.example");
  EXPECT_EQ(ask(built, "inv-1@example.org").rule, "example.org/pattern inv-(\\d+)");
}

// interface.md §6.27, RL-01
TEST(Threats, RL_01_captures_cannot_make_a_relay_address) {
  auto raw = pattern("raw-(.*)", {"$1@corp.example"});
  raw.raw = true;
  const auto built = build({domain("example.org", {raw, pattern("to-(.*)", {"$1@corp.example"})})});
  EXPECT_EQ(leads_to(built, "to-x.y@example.org"), "x.y@corp.example");
  EXPECT_EQ(leads_to(built, "to-x%evil.example@example.org"), "[unknown]");
  EXPECT_EQ(leads_to(built, "to-evil.example!x@example.org"), "[unknown]");
  EXPECT_EQ(leads_to(built, "\"to-x@evil.example\"@example.org"), "[unknown]");
  EXPECT_EQ(leads_to(built, "\"to-a b\"@example.org"), "[unknown]") << "the result is no mailbox";
  EXPECT_EQ(leads_to(built, "\"to-\"@example.org"), "[unknown]") << "nor is an empty one";
  EXPECT_EQ(leads_to(built, "raw-x%y@example.org"), "x%y@corp.example");
  EXPECT_EQ(leads_to(built, "\"raw-x@evil.example\"@example.org"), "[unknown]") << "the domain is never a capture's";
}

TEST(Routes, a_wildcard_takes_every_subdomain_and_not_the_apex) {
  const auto built = build({domain("*.example.org", {rule("a", {"wild@out.example"})}),
                            domain("one.example.org", {rule("a", {"one@out.example"})}),
                            domain("*.deep.example.org", {rule("a", {"deep@out.example"})})});
  EXPECT_EQ(leads_to(built, "a@x.example.org"), "wild@out.example");
  EXPECT_EQ(leads_to(built, "a@X.Y.example.org"), "wild@out.example");
  EXPECT_EQ(leads_to(built, "a@one.example.org"), "one@out.example");
  EXPECT_EQ(leads_to(built, "a@x.deep.example.org"), "deep@out.example");
  EXPECT_EQ(leads_to(built, "a@example.org"), "[not ours]");
  EXPECT_EQ(leads_to(built, "a@badexample.org"), "[not ours]");
  EXPECT_EQ(ask(built, "a@x.example.org").domain, "*.example.org");
}

TEST(Routes, refusals_have_their_own_reply_or_the_default) {
  const auto built = build({domain("example.org", {reject("old", "550 5.1.6 Moved, see https://example.org"),
                                                   reject("bare", "450 come back"), reject("gone"), drop("trash")})});
  EXPECT_EQ(leads_to(built, "old@example.org"), "[550 5.1.6 Moved, see https://example.org]");
  EXPECT_EQ(leads_to(built, "bare@example.org"), "[450 4.7.1 come back]");
  EXPECT_EQ(leads_to(built, "gone@example.org"), "[unknown]");
  EXPECT_EQ(leads_to(built, "trash@example.org"), "[drop]");
}

TEST(Routes, a_rule_that_is_off_is_not_there) {
  auto off = rule("a", {"off@out.example"});
  off.enabled = false;
  auto off_pattern = pattern("a+", {"off@out.example"});
  off_pattern.enabled = false;
  const auto built = build({domain("example.org", {off, off_pattern, catch_all({"all@out.example"})})});
  EXPECT_EQ(leads_to(built, "a@example.org"), "all@out.example");
  EXPECT_EQ(built.routes->addresses(), 0U);
}

TEST(Routes, sender_lists_are_globs_on_the_envelope_sender) {
  auto deny = rule("deny", {"a@out.example"});
  deny.deny_from = {"*@spam.example", "<>"};
  auto allow = rule("allow", {"a@out.example"});
  allow.allow_from = {"*@corp.example", "boss@*.example"};
  auto both = rule("both", {"a@out.example"});
  both.allow_from = {"*@corp.example"};
  both.deny_from = {"joe@*"};
  const auto built = build({domain("example.org", {deny, allow, both})});
  EXPECT_EQ(leads_to(built, "deny@example.org", "x@SPAM.example"), "[denied]");
  EXPECT_EQ(leads_to(built, "deny@example.org", "\"x\"@spam.example"), "[denied]");
  EXPECT_EQ(leads_to(built, "deny@example.org", ""), "[denied]");
  EXPECT_EQ(leads_to(built, "deny@example.org", "x@notspam.example"), "a@out.example");
  EXPECT_EQ(leads_to(built, "allow@example.org", "x@corp.example"), "a@out.example");
  EXPECT_EQ(leads_to(built, "allow@example.org", "boss@any.example"), "a@out.example");
  EXPECT_EQ(leads_to(built, "allow@example.org", "x@any.example"), "[denied]");
  EXPECT_EQ(leads_to(built, "allow@example.org", ""), "[denied]");
  EXPECT_EQ(leads_to(built, "both@example.org", "jane@corp.example"), "a@out.example");
  EXPECT_EQ(leads_to(built, "both@example.org", "joe@corp.example"), "[denied]");
}

TEST(Routes, postmaster_is_always_at_home) {
  auto own = domain("own.example", {rule("postmaster", {"pm@out.example"})});
  auto all = domain("all.example", {catch_all({"all@out.example"})});
  const auto built = build({domain("example.org", {}), own, all}, "", "ops@out.example");
  EXPECT_EQ(leads_to(built, "postmaster"), "ops@out.example");
  EXPECT_EQ(leads_to(built, "PostMaster"), "ops@out.example");
  EXPECT_EQ(leads_to(built, "postmaster@example.org"), "ops@out.example");
  EXPECT_EQ(leads_to(built, "postmaster@own.example"), "pm@out.example");
  EXPECT_EQ(leads_to(built, "postmaster@all.example"), "ops@out.example");
  EXPECT_EQ(leads_to(built, "postmaster@mx.fwd.example"), "ops@out.example");
  EXPECT_EQ(leads_to(built, "abuse@srs.example"), "ops@out.example");
  EXPECT_EQ(leads_to(built, "abuse@example.org"), "[unknown]");
  EXPECT_EQ(leads_to(built, "other@mx.fwd.example"), "[not ours]");
  EXPECT_EQ(ask(built, "postmaster").rule, "postmaster");
  const auto without = build({domain("example.org", {})});
  EXPECT_EQ(leads_to(without, "postmaster"), "[unknown]");
  EXPECT_EQ(leads_to(without, "postmaster@example.org"), "[unknown]");
  EXPECT_EQ(leads_to(without, "abuse@mx.fwd.example"), "[not ours]");
}

TEST(Routes, a_postmaster_inside_is_followed) {
  const auto built = build({domain("example.org", {rule("ops", {"me@out.example"})})}, "", "ops@example.org");
  EXPECT_EQ(leads_to(built, "postmaster"), "me@out.example");
  EXPECT_EQ(leads_to(built, "postmaster@example.org"), "me@out.example");
}

TEST(Routes, destinations_inside_are_resolved_again_and_merged) {
  const auto built = build({domain("example.org", {rule("team", {"a@example.org", "B@b.example", "x@OUT.example"}),
                                                   rule("a", {"x@out.example", "X@out.example"})}),
                            domain("b.example", {rule("b", {"a@example.org", "y@out.example"})})});
  EXPECT_EQ(leads_to(built, "team@example.org"), "x@out.example X@out.example y@out.example");
  EXPECT_EQ(ask(built, "team@example.org").rule, "example.org/team");
}

TEST(Routes, one_refusal_inside_refuses_the_whole_and_drops_only_leave_out) {
  auto guarded = rule("guarded", {"g@out.example"});
  guarded.allow_from = {"*@corp.example"};
  const auto built = build(
      {domain("example.org", {rule("list", {"a@out.example", "guarded@example.org"}), guarded,
                              rule("half", {"trash@example.org", "a@out.example"}), rule("moved", {"old@example.org"}),
                              drop("trash"), reject("old", "550 Moved"), rule("nowhere", {"trash@example.org"})})});
  EXPECT_EQ(leads_to(built, "list@example.org", "x@corp.example"), "a@out.example g@out.example");
  EXPECT_EQ(leads_to(built, "list@example.org"), "[denied]");
  EXPECT_EQ(leads_to(built, "half@example.org"), "a@out.example");
  EXPECT_EQ(leads_to(built, "moved@example.org"), "[550 5.7.1 Moved]");
  EXPECT_EQ(leads_to(built, "nowhere@example.org"), "[drop]");
}

TEST(Routes, utf8_local_parts_match_and_substitute) {
  const auto built =
      build({domain("example.org", {rule("josé", {"jose@out.example"}), pattern("ü(.)", {"$1@out.example"})})});
  EXPECT_EQ(leads_to(built, "josé@example.org"), "jose@out.example");
  EXPECT_EQ(leads_to(built, "üé@example.org"), "é@out.example");
}

}  // namespace
}  // namespace policy::test
