// SPF beyond the suites: limits, what is asked and when, identities, internationalised mail, and libspf2's one task.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "auth/spf_domain.hpp"
#include "auth/spf_macro.hpp"
#include "auth/spf_match.hpp"
#include "auth/spf_record.hpp"
#include "auth/spf_zone.hpp"
#include "core/random.hpp"

namespace {

using auth::Verdict;
using spf_test::input;
using spf_test::run;
using spf_test::word;
using spf_test::Zone;
using testing::HasSubstr;

std::string verdict(const std::string& client, const std::string& mail_from, const Zone& zone) {
  return word(run(input(client, mail_from), zone).result.result);
}

bool asked(const spf_test::Outcome& outcome, const std::string& name, dns::Type type) {
  const dns::Question wanted{name, type};
  return std::find(outcome.questions.begin(), outcome.questions.end(), wanted) != outcome.questions.end();
}

// Every record includes `fan` others, `depth` levels deep.
Zone include_bomb(unsigned fan, unsigned depth) {
  Zone zone;
  for (unsigned level = 0; level < depth; ++level) {
    std::string record = "v=spf1";
    for (unsigned i = 0; i < fan; ++i)
      record += " include:n" + std::to_string(i) + ".l" + std::to_string(level + 1) + ".test";
    for (unsigned i = 0; i < fan; ++i)
      zone.txt("n" + std::to_string(i) + ".l" + std::to_string(level) + ".test", record);
  }
  for (unsigned i = 0; i < fan; ++i)
    zone.txt("n" + std::to_string(i) + ".l" + std::to_string(depth) + ".test", "v=spf1 ?all");
  return zone;
}

TEST(Threats, DN_07_include_bomb) {
  for (unsigned depth = 2; depth <= 5; ++depth) {
    const auto outcome = run(input("192.0.2.1", "a@n0.l0.test"), include_bomb(9, depth));
    EXPECT_EQ(outcome.result.result, Verdict::permerror);
    EXPECT_LE(outcome.questions.size(), 1 + auth::kSpfMaxTerms + auth::kSpfMaxAhead);
  }
}

TEST(Threats, DN_07_loops_end) {
  Zone zone;
  zone.txt("inc.test", "v=spf1 include:inc.test -all").txt("red.test", "v=spf1 redirect=red.test");
  zone.txt("a.test", "v=spf1 include:b.test -all").txt("b.test", "v=spf1 redirect=a.test");
  for (const char* domain : {"inc.test", "red.test", "a.test"}) {
    EXPECT_EQ(verdict("192.0.2.1", std::string("x@") + domain, zone), "permerror") << domain;
  }
}

// libspf2 counts anew in each include; here six terms, twice, are one too many with the includes themselves.
TEST(Threats, DN_07_count_goes_on_in_includes_and_redirects) {
  for (const unsigned terms : {4U, 5U}) {
    std::string four = "v=spf1";
    for (unsigned i = 0; i < 4; ++i) four += " a:other.test";
    std::string more = "v=spf1";
    for (unsigned i = 0; i < terms; ++i) more += " a:other.test";
    Zone zone;
    zone.address("other.test", "198.51.100.1").txt("one.test", four + " -all").txt("two.test", more + " -all");
    zone.txt("top.test", "v=spf1 include:one.test include:two.test ip4:192.0.2.1 -all");
    EXPECT_EQ(verdict("192.0.2.1", "a@top.test", zone), terms == 4 ? "pass" : "permerror");
    zone.txt("via.test", "v=spf1 include:one.test redirect=two.test");
    EXPECT_EQ(verdict("192.0.2.1", "a@via.test", zone), terms == 4 ? "fail" : "permerror");
  }
}

TEST(Threats, DN_07_terms_and_voids_at_and_over_the_limit) {
  Zone zone;
  zone.address("x.test", "198.51.100.1").touch("empty.test");
  std::string ten = "v=spf1";
  for (int i = 0; i < 10; ++i) ten += " a:x.test";
  zone.txt("ten.test", ten + " ip4:192.0.2.1 -all").txt("eleven.test", ten + " a:x.test ip4:192.0.2.1 -all");
  EXPECT_EQ(verdict("192.0.2.1", "a@ten.test", zone), "pass");
  EXPECT_EQ(verdict("192.0.2.1", "a@eleven.test", zone), "permerror");

  zone.txt("two.test", "v=spf1 a:no1.test exists:empty.test -all");
  zone.txt("three.test", "v=spf1 a:no1.test exists:empty.test mx:no2.test -all");
  zone.txt("hosts.test", "v=spf1 mx -all").mx("hosts.test", 1, "no1.test").mx("hosts.test", 2, "no2.test");
  EXPECT_EQ(verdict("192.0.2.1", "a@two.test", zone), "fail");
  EXPECT_EQ(verdict("192.0.2.1", "a@three.test", zone), "permerror");
  EXPECT_EQ(verdict("192.0.2.1", "a@hosts.test", zone), "fail");
  zone.mx("hosts.test", 3, "no3.test");
  EXPECT_EQ(verdict("192.0.2.1", "a@hosts.test", zone), "permerror");
}

// A match ends the evaluation before the terms that would be too many: asking ahead must not count them.
TEST(Threats, DN_07_what_is_asked_ahead_does_not_count) {
  Zone zone;
  zone.txt("d.test", "v=spf1 a:x.test a:no1.test a:no2.test a:no3.test exists:no4.test -all");
  zone.address("x.test", "192.0.2.1");
  EXPECT_EQ(verdict("192.0.2.1", "a@d.test", zone), "pass");
  zone.fail("bad.test", dns::Type::a).txt("e.test", "v=spf1 a:x.test a:bad.test -all");
  EXPECT_EQ(verdict("192.0.2.1", "a@e.test", zone), "pass");
}

TEST(Threats, DN_07_mx_hosts) {
  for (const unsigned hosts : {10U, 11U}) {
    Zone zone;
    zone.txt("d.test", "v=spf1 mx -all");
    for (unsigned i = 0; i < hosts; ++i) {
      const std::string host = "mx" + std::to_string(i) + ".d.test";
      zone.mx("d.test", static_cast<std::uint16_t>(i), host).address(host, "198.51.100." + std::to_string(i));
    }
    EXPECT_EQ(verdict("198.51.100.9", "a@d.test", zone), "pass");
    EXPECT_EQ(verdict("192.0.2.1", "a@d.test", zone), hosts == 10 ? "fail" : "permerror");
  }
}

// Within the RFC's limits this could be 111 questions.
TEST(Threats, DN_06_ten_mx_of_ten_hosts_are_too_many_questions) {
  Zone zone;
  std::string record = "v=spf1";
  for (unsigned i = 0; i < 10; ++i) {
    const std::string name = "d" + std::to_string(i) + ".test";
    record += " mx:" + name;
    for (unsigned k = 0; k < 10; ++k) {
      const std::string host = "mx" + std::to_string(k) + "." + name;
      zone.mx(name, static_cast<std::uint16_t>(k), host).address(host, "198.51.100.1");
    }
  }
  zone.txt("top.test", record + " -all");
  const auto outcome = run(input("192.0.2.1", "a@top.test"), zone);
  EXPECT_EQ(outcome.result.result, Verdict::permerror);
  EXPECT_LE(outcome.questions.size(), auth::kSpfMaxQuestions);
  EXPECT_GT(outcome.questions.size(), 40U);
}

// CVE-2021-20314, -33912, -33913, CVE-2023-42118: macros that overflow libspf2's buffers, in every place.
TEST(Threats, DN_07_macros_that_crash_libspf2) {
  std::string macros;
  for (int i = 0; i < 127; ++i) macros += "%{d}";
  Zone zone;
  zone.txt("e.test", "v=spf1 -all exp=text.test").txt("text.test", macros + "abc");
  const auto outcome = run(input("192.0.2.1", "a@e.test"), zone);
  EXPECT_EQ(outcome.result.result, Verdict::fail);
  EXPECT_EQ(outcome.result.explanation.substr(0, 12), "e.teste.test");
  EXPECT_LE(outcome.result.explanation.size(), auth::kSpfMaxExplanation);

  std::string many;
  for (int i = 0; i < 1100; ++i) many += "%{d}";
  for (const char* form : {"a:", "mx:", "exists:", "include:", "ptr:", "redirect=", "exp=", "unknown="}) {
    zone = Zone();
    zone.txt("e.test", "v=spf1 " + std::string(form) + many + ".test -all");
    const auto result = run(input("192.0.2.1", "a@e.test"), zone).result.result;
    EXPECT_TRUE(result == Verdict::fail || result == Verdict::permerror) << form;
  }
  for (const char* form : {"%{l9999999999999999999999r+-=/_,.}", "%{S256}", "%{i99999r}", "%{vr}", "%{D0000000001}"}) {
    zone = Zone();
    zone.txt("e.test", "v=spf1 exists:" + std::string(form) + ".test -all");
    EXPECT_EQ(verdict("2001:db8::1", "~a-b.c@e.test", zone), "fail") << form;
  }
}

TEST(Threats, DN_07_exp_is_fetched_for_a_fail_only) {
  Zone zone;
  zone.txt("d.test", "v=spf1 ip4:192.0.2.1 ~ip4:192.0.2.2 -all exp=why.test").txt("why.test", "see %{i}");
  auto outcome = run(input("192.0.2.1", "a@d.test"), zone);
  EXPECT_EQ(outcome.result.result, Verdict::pass);
  EXPECT_FALSE(asked(outcome, "why.test", dns::Type::txt));
  EXPECT_FALSE(asked(run(input("192.0.2.2", "a@d.test"), zone), "why.test", dns::Type::txt));
  outcome = run(input("192.0.2.3", "a@d.test"), zone);
  EXPECT_EQ(outcome.result.explanation, "see 192.0.2.3");
  auto unread = input("192.0.2.3", "a@d.test");
  unread.explain = false;
  outcome = run(unread, zone);
  EXPECT_EQ(outcome.result.result, Verdict::fail);
  EXPECT_EQ(outcome.result.explanation, "");
  EXPECT_FALSE(asked(outcome, "why.test", dns::Type::txt));
}

TEST(Threats, DN_07_explanations_are_bounded_and_clean) {
  Zone zone;
  zone.txt("d.test", "v=spf1 -all exp=why.test").txt("why.test", std::string(auth::kSpfMaxExplanation + 1, 'x'));
  EXPECT_EQ(run(input("192.0.2.1", "a@d.test"), zone).result.explanation, "");
  zone.txt("e.test", "v=spf1 -all exp=what.test").txt("what.test", "%{h} %{l}");
  const auto outcome =
      run(input("192.0.2.1", "gr\xc3\xbc\xc3\x9f\x65@e.test", "a\r\nb\x01" + std::string(5000, 'y')), zone);
  EXPECT_EQ(outcome.result.explanation.substr(0, 6), "a??b?y");
  EXPECT_LE(outcome.result.explanation.size(), auth::kSpfMaxExplanation);
}

// libspf2 cuts a record at 511 compiled octets, the final -all with it.
TEST(Spf, long_records_count_to_the_end) {
  std::string record = "v=spf1";
  for (int i = 1; i <= 200; ++i) record += " ip6:2001:db8:1234:5678:9abc:" + std::to_string(i) + "::/96";
  Zone zone;
  zone.txt("d.test", record + " -all");
  for (const int i : {1, 25, 26, 199, 200}) {
    const auto outcome = run(input("2001:db8:1234:5678:9abc:" + std::to_string(i) + "::7", "a@d.test"), zone);
    EXPECT_EQ(outcome.result.result, Verdict::pass);
    EXPECT_EQ(outcome.result.reason, "ip6:2001:db8:1234:5678:9abc:" + std::to_string(i) + "::/96");
  }
  EXPECT_EQ(verdict("2001:db8:1234:5678:9abc:201::7", "a@d.test", zone), "fail");
  EXPECT_EQ(verdict("192.0.2.1", "a@d.test", zone), "fail");
  zone.txt("long.test", "v=spf1 " + std::string(auth::kSpfMaxRecord, ' ') + "+all");
  EXPECT_EQ(verdict("192.0.2.1", "a@long.test", zone), "permerror");
}

TEST(Spf, no_client_is_trusted_for_being_local) {
  Zone zone;
  zone.txt("d.test", "v=spf1 ip4:192.0.2.0/24 -all").txt("any.test", "v=spf1 ip4:0.0.0.0/0 ip6:::/0 -all");
  for (const char* client : {"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "0.0.0.0", "10.0.0.1"}) {
    EXPECT_EQ(verdict(client, "a@d.test", zone), "fail") << client;
    EXPECT_EQ(verdict(client, "a@any.test", zone), "pass") << client;
  }
  EXPECT_EQ(verdict("::ffff:192.0.2.7", "a@d.test", zone), "pass");
}

TEST(Spf, first_match_wins_among_addresses) {
  Zone zone;
  zone.txt("d.test", "v=spf1 -ip4:192.0.2.1 ~ip4:192.0.2.0/30 ip6:::/0 ?ip4:192.0.2.0/24 ip4:0.0.0.0/0 -all");
  EXPECT_EQ(verdict("192.0.2.1", "a@d.test", zone), "fail");
  EXPECT_EQ(verdict("192.0.2.2", "a@d.test", zone), "softfail");
  EXPECT_EQ(verdict("192.0.2.9", "a@d.test", zone), "neutral");
  EXPECT_EQ(verdict("198.51.100.1", "a@d.test", zone), "pass");
}

TEST(Spf, libspf2_and_prefixes_agree) {
  core::SeededRandom random(20261121);
  const auto address = [&](bool v6) {
    // Few different octets, so that networks are hit.
    if (v6) {
      std::array<std::uint8_t, 16> bytes{0x20, 0x01};
      for (std::size_t i = 2; i < 16; ++i)
        bytes[i] = random.below(4) == 0 ? static_cast<std::uint8_t>(random.next()) : 0;
      return core::IpAddress::v6(bytes);
    }
    std::array<std::uint8_t, 4> bytes{127, 0, 0, 0};
    for (std::size_t i = 0; i < 4; ++i) {
      if (random.below(3) == 0) bytes[i] = static_cast<std::uint8_t>(random.next());
    }
    return core::IpAddress::v4(bytes);
  };
  std::size_t hits = 0;
  for (int round = 0; round < 2000; ++round) {
    const auto client = address(random.below(2) == 0);
    std::vector<core::Prefix> networks;
    const auto count = random.below(60);
    for (std::uint64_t i = 0; i < count; ++i) {
      const bool v6 = random.below(2) == 0;
      const auto length =
          static_cast<unsigned>(random.below(40) == 0 ? random.below(8) : 8 + random.below(v6 ? 121 : 25));
      const auto base = random.below(4) == 0 && client.is_v6() == v6 ? client : address(v6);
      networks.push_back({base.masked(length), length});
    }
    std::optional<std::size_t> wanted;
    for (std::size_t i = 0; i < networks.size() && !wanted; ++i) {
      if (networks[i].contains(client)) wanted = i;
    }
    auth::AddressMatcher matcher(client);
    ASSERT_EQ(matcher.first(networks), wanted) << client.to_string();
    ASSERT_FALSE(matcher.failed());
    hits += wanted.has_value();
  }
  EXPECT_GT(hits, 500U);
  EXPECT_LT(hits, 1900U);
}

TEST(Spf, questions_are_asked_together) {
  Zone zone;
  zone.txt("d.test", "v=spf1 include:i1.test include:i2.test a:h.test mx:m.test exists:%{i}.x.test -all");
  zone.txt("i1.test", "v=spf1 ip4:203.0.113.1 -all").txt("i2.test", "v=spf1 ip4:203.0.113.2 -all");
  zone.address("h.test", "203.0.113.3").mx("m.test", 1, "mx1.test").mx("m.test", 2, "mx2.test");
  zone.address("mx1.test", "203.0.113.4").address("mx2.test", "203.0.113.5").address("192.0.2.1.x.test", "127.0.0.2");
  const auto outcome = run(input("192.0.2.1", "a@d.test"), zone);
  EXPECT_EQ(outcome.result.result, Verdict::pass);
  EXPECT_EQ(outcome.rounds, (std::vector<std::size_t>{1, 5, 2}));
  // Nothing is asked for a client that a term before needs no DNS for.
  zone.txt("e.test", "v=spf1 ip4:192.0.2.1 include:i1.test mx:m.test -all");
  EXPECT_EQ(run(input("192.0.2.1", "a@e.test"), zone).questions.size(), 1U);
}

TEST(Spf, dns_failure_is_a_temperror_where_it_decides) {
  Zone zone;
  zone.fail("bad.test", dns::Type::txt).fail("h.test", dns::Type::a).fail("h.test", dns::Type::mx);
  zone.fail("1.2.0.192.in-addr.arpa", dns::Type::ptr);
  EXPECT_EQ(verdict("192.0.2.1", "a@bad.test", zone), "temperror");
  for (const char* term : {"a:h.test", "mx:h.test", "exists:h.test", "include:bad.test", "redirect=bad.test"}) {
    zone.txt(std::string("d") + term[0] + ".test", std::string("v=spf1 ") + term + " -all");
  }
  EXPECT_EQ(verdict("192.0.2.1", "a@da.test", zone), "temperror");
  EXPECT_EQ(verdict("192.0.2.1", "a@dm.test", zone), "temperror");
  EXPECT_EQ(verdict("192.0.2.1", "a@de.test", zone), "temperror");
  EXPECT_EQ(verdict("192.0.2.1", "a@di.test", zone), "temperror");
  zone.txt("r.test", "v=spf1 redirect=bad.test").txt("p.test", "v=spf1 ptr -all");
  EXPECT_EQ(verdict("192.0.2.1", "a@r.test", zone), "temperror");
  EXPECT_EQ(verdict("192.0.2.1", "a@p.test", zone), "fail");  // §5.5: fails to match
}

// Three names of a stranger's that do not exist would otherwise turn every fail into a permerror.
TEST(Spf, a_client_cannot_use_up_the_voids_of_a_record) {
  Zone zone;
  zone.txt("d.test", "v=spf1 ptr a:no1.test a:no2.test -all");
  for (int i = 0; i < 20; ++i) zone.name("1.2.0.192.in-addr.arpa", dns::Type::ptr, "h" + std::to_string(i) + ".d.test");
  const auto outcome = run(input("192.0.2.1", "a@d.test"), zone);
  EXPECT_EQ(outcome.result.result, Verdict::fail);
  EXPECT_FALSE(asked(outcome, "h10.d.test", dns::Type::a));  // §4.6.4: the first ten names
  EXPECT_TRUE(asked(outcome, "h9.d.test", dns::Type::a));
}

TEST(Spf, ptr_matches_whole_labels_below_the_target) {
  Zone zone;
  zone.txt("d.test", "v=spf1 ptr -all").name("1.2.0.192.in-addr.arpa", dns::Type::ptr, "evild.test");
  zone.address("evild.test", "192.0.2.1").address("ok.d.test", "192.0.2.2");
  zone.name("2.2.0.192.in-addr.arpa", dns::Type::ptr, "OK.d.test")
      .name("3.2.0.192.in-addr.arpa", dns::Type::ptr, "ok.d.test");
  EXPECT_EQ(verdict("192.0.2.1", "a@d.test", zone), "fail");
  EXPECT_EQ(verdict("192.0.2.2", "a@d.test", zone), "pass");
  EXPECT_EQ(verdict("192.0.2.3", "a@d.test", zone), "fail");  // the name does not confirm it
}

TEST(Spf, identities) {
  Zone zone;
  zone.txt("mail.test", "v=spf1 -all").txt("helo.test", "v=spf1 exists:%{l}.%{o}.%{h}.x.test -all");
  zone.address("postmaster.helo.test.helo.test.x.test", "127.0.0.2").txt("localhost", "v=spf1 +all");
  auto outcome = run(input("192.0.2.1", "a@Mail.Test", "helo.test"), zone);
  EXPECT_EQ(outcome.result.result, Verdict::fail);
  EXPECT_EQ(outcome.result.domain, "mail.test");
  EXPECT_FALSE(outcome.result.helo);
  outcome = run(input("192.0.2.1", "", "helo.test"), zone);  // §2.4: postmaster@HELO
  EXPECT_EQ(outcome.result.result, Verdict::pass);
  EXPECT_EQ(outcome.result.domain, "helo.test");
  EXPECT_TRUE(outcome.result.helo);
  outcome = run(input("192.0.2.1", "a@mail.test", "helo.test"), zone, auth::evaluate_spf_helo);
  EXPECT_EQ(outcome.result.result, Verdict::pass);
  for (const char* helo : {"", "localhost", "[192.0.2.1]", "a..b", "b\xc3\xbc.test", ".", "a b.test", "x\r\n.test"}) {
    outcome = run(input("192.0.2.1", "", helo), zone);
    EXPECT_EQ(outcome.result.result, Verdict::none) << helo;
    EXPECT_TRUE(outcome.questions.empty()) << helo;
  }
}

// RFC 8616 §4
TEST(Spf, internationalised_senders) {
  Zone zone;
  zone.txt("xn--bcher-kva.test", "v=spf1 exists:%{o}.%{d}.x.test -all");
  zone.address("xn--bcher-kva.test.xn--bcher-kva.test.x.test", "127.0.0.2");
  const auto outcome = run(input("192.0.2.1",
                                 "a@b\xc3\xbc"
                                 "cher.test"),
                           zone);
  EXPECT_EQ(outcome.result.result, Verdict::pass);
  EXPECT_EQ(outcome.result.domain, "xn--bcher-kva.test");
  EXPECT_EQ(verdict("192.0.2.1",
                    "a@b\xfc"
                    "cher.test",
                    zone),
            "none");
  // Terms with a local part that DNS cannot carry match nothing.
  zone.txt("l.test", "v=spf1 -exists:%{l}.x.test -exists:%{s}.x.test ip4:192.0.2.1 -all")
      .address("a.x.test", "127.0.0.2");
  EXPECT_EQ(verdict("192.0.2.1", "a@l.test", zone), "fail");
  EXPECT_EQ(verdict("192.0.2.1", "\xc3\xa4@l.test", zone), "pass");
}

// RFC 3492 §7.1 and names in use.
TEST(Spf, a_labels) {
  EXPECT_EQ(auth::spf_domain("\xe4\xbb\x96\xe4\xbb\xac\xe4\xb8\xba\xe4\xbb\x80\xe4\xb9\x88\xe4\xb8\x8d\xe8\xaf\xb4\xe4"
                             "\xb8\xad\xe6\x96\x87.x"),
            "xn--ihqwcrb4cv8a8dqg056pqjye.x");
  EXPECT_EQ(auth::spf_domain("pro\xc4\x8dprost\xc4\x9bnemluv\xc3\xad\xc4\x8d"
                             "esky"),
            "xn--proprostnemluvesky-uyb24dma41a");
  EXPECT_EQ(auth::spf_domain("m\xc3\xbcnchen.Example.\xd1\x80\xd1\x84"), "xn--mnchen-3ya.Example.xn--p1ai");
  EXPECT_EQ(auth::spf_domain("\xf0\x9f\x92\xa9.la."), "xn--ls8h.la");
  EXPECT_EQ(auth::spf_domain("a.b."), "a.b");
  for (const char* bad :
       {"", ".", "a..b", ".a", "[192.0.2.1]", "a b.c", "a\tb.c", "\xc3\xbc..x", "\xed\xa0\x80.x", "\xff.x"}) {
    EXPECT_FALSE(auth::spf_domain(bad)) << bad;
  }
  std::string label;
  for (int i = 0; i < 70; ++i) label += "\xc3\xbc";
  EXPECT_FALSE(auth::spf_domain(label + ".x"));
  EXPECT_FALSE(auth::spf_domain(std::string(64, 'a') + ".x"));
  EXPECT_TRUE(auth::spf_domain(std::string(63, 'a') + ".x"));
}

// The examples of RFC 7208 §7.4.
TEST(Spf, macro_examples) {
  auth::MacroValues values;
  values.client = core::IpAddress::parse("192.0.2.3").value();
  values.local = "strong-bad";
  values.sender_domain = values.domain = "email.example.com";
  const std::pair<const char*, const char*> kExamples[] = {
      {"%{s}", "strong-bad@email.example.com"},
      {"%{o}", "email.example.com"},
      {"%{d}", "email.example.com"},
      {"%{d4}", "email.example.com"},
      {"%{d3}", "email.example.com"},
      {"%{d2}", "example.com"},
      {"%{d1}", "com"},
      {"%{dr}", "com.example.email"},
      {"%{d2r}", "example.email"},
      {"%{l}", "strong-bad"},
      {"%{l-}", "strong.bad"},
      {"%{lr}", "strong-bad"},
      {"%{lr-}", "bad.strong"},
      {"%{l1r-}", "strong"},
      {"%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"},
      {"%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"},
      {"%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"},
      {"%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"},
      {"%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"},
  };
  for (const auto& [text, wanted] : kExamples) {
    EXPECT_TRUE(auth::is_macro_string(text, auth::MacroUse::domain)) << text;
    EXPECT_EQ(auth::expand_domain(text, values), wanted) << text;
  }
  values.client = core::IpAddress::parse("2001:db8::cb01").value();
  EXPECT_EQ(core::lower(auth::expand_domain("%{ir}.%{v}._spf.%{d2}", values)),
            "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com");
  EXPECT_EQ(auth::reverse_name(values.client),
            "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
  for (const char* bad : {"%", "%{", "%{}", "%{d", "%{x}", "%{d0}", "%{d00}", "%{dx}", "%{d-2}", "%{dr2}", "%a", "%{c}",
                          "%{r}", "%{t}", "a b", "\x7f", "\x80", "%{d:}"}) {
    EXPECT_FALSE(auth::is_macro_string(bad, auth::MacroUse::domain)) << bad;
  }
  EXPECT_TRUE(auth::is_macro_string("at %{t} by %{R}", auth::MacroUse::text));
}

// §7.3: labels off the left until the name fits.
TEST(Spf, long_names_lose_their_left_labels) {
  auth::MacroValues values;
  values.domain = std::string(50, 'a') + "." + std::string(50, 'b') + ".test";
  const auto short_enough = [&](const std::string& text) { return auth::expand_domain(text, values); };
  for (int count = 1; count < 300; ++count) {
    std::string text;
    std::string whole;
    for (int i = 0; i < count; ++i) {
      text += "%{d}.";
      whole += values.domain + ".";
    }
    text += "end";
    whole += "end";
    while (whole.size() > 253) whole.erase(0, whole.find('.') + 1);
    ASSERT_EQ(short_enough(text), whole);
  }
}

TEST(Spf, grammar) {
  const auto good = [](const std::string& term) { return auth::parse_spf_record("v=spf1 " + term).error.empty(); };
  for (const char* term : {"ALL",         "+all",          "A",           "a:%{d}",       "a:x.y",         "a:x.y/0",
                           "a:x.y//0",    "a:x.y/32//128", "a/24",        "mx//64",       "a:%{d}/24//64", "a:x/y.z",
                           "IP4:1.2.3.4", "ip4:1.2.3.4/0", "ip6:::",      "ip6:::1/128",  "ptr",           "ptr:x.y",
                           "exists:%%.x", "include:x.y.",  "exp=a.b",     "redirect=a.b", "foo=",          "foo=%{c}",
                           "a.b-c_d=e",   "   ",           "exists:%{d}", "a:x.1-a",      "foo=a/b:c"}) {
    EXPECT_TRUE(good(term)) << term;
  }
  for (const char* term : {"all:",
                           "all/1",
                           "+",
                           "-",
                           "++all",
                           "a:",
                           "a:x",
                           "a:x.",
                           "a:x.1",
                           "a:x.-a",
                           "a:x.a-",
                           "a/33",
                           "a//129",
                           "a/01",
                           "a/",
                           "a//",
                           "a/24/64",
                           "a///24",
                           "a/24//",
                           "a:x.y/024",
                           "a:x.y/4294967328",
                           "mx:x.y/24//0128",
                           "ip4",
                           "ip4:",
                           "ip4:1.2.3",
                           "ip4:01.2.3.4",
                           "ip4:1.2.3.4/33",
                           "ip4:1.2.3.4/",
                           "ip4:1.2.3.4//32",
                           "ip4:::1",
                           "ip6:1.2.3.4",
                           "ip6:::1/129",
                           "ip6:fe80::1%eth0",
                           "ptr/24",
                           "ptr:",
                           "exists",
                           "exists:",
                           "exists:x.y/24",
                           "include",
                           "include:",
                           "include:%",
                           "exp=",
                           "exp=x",
                           "redirect=",
                           "+exp=a.b",
                           "redirect=a.b redirect=a.b",
                           "exp=a.b exp=a.b",
                           "all redirect=",
                           "foo",
                           "=x",
                           "1a=b",
                           "foo=%",
                           "foo=\x80",
                           "all\tall",
                           "all\n",
                           "a:x.y\x01",
                           "exp=%{r}.x.y",
                           "moo"}) {
    EXPECT_FALSE(good(term)) << term;
  }
  EXPECT_FALSE(good(std::string("a:x.y\0", 6)));
  EXPECT_TRUE(auth::is_spf_record("V=SPF1"));
  EXPECT_FALSE(auth::is_spf_record("v=spf10"));
  EXPECT_FALSE(auth::is_spf_record("v=spf1\tall"));
  EXPECT_FALSE(auth::is_spf_record(" v=spf1"));
}

TEST(Spf, reasons_say_what_happened) {
  Zone zone;
  zone.txt("d.test", "v=spf1 include:i.test ~all").txt("i.test", "v=spf1 ip4:192.0.2.1 -all");
  zone.txt("e.test", "v=spf1 include:d.test include:f.test").txt("f.test", "v=spf1 nonsense\x80:x");
  zone.txt("n.test", "v=spf1");
  EXPECT_EQ(run(input("192.0.2.1", "a@d.test"), zone).result.reason, "include:i.test");
  EXPECT_EQ(run(input("192.0.2.2", "a@d.test"), zone).result.reason, "~all");
  EXPECT_EQ(run(input("192.0.2.2", "a@n.test"), zone).result.reason, "default");
  EXPECT_EQ(run(input("192.0.2.2", "a@e.test"), zone).result.reason,
            "include:f.test: syntax error in nonsense?:x at f.test");
}

}  // namespace
