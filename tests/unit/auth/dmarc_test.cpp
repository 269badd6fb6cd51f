// DMARC evaluation: the tree walk, alignment, policies, DNS trouble, and the spoofs that libopendmarc alone lets pass.
#include "auth/dmarc.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "auth/dmarc_discovery.hpp"
#include "auth/dmarc_policy.hpp"
#include "dmarc_support.hpp"

namespace {

using namespace auth;
using namespace dmarc_test;

constexpr auto kReject = "v=DMARC1; p=reject";

Walk walk(const std::string& domain, const Zone& zone, const PublicSuffixList* list = nullptr) {
  return settle(zone, [&](dns::Lookup& lookup) -> std::optional<Walk> {
    auto result = walk_tree(domain, list, lookup);
    if (result.organization_known == Knowledge::pending) return std::nullopt;
    return result;
  });
}

// ---- the walk (RFC 9989 §4.10)

TEST(DmarcWalk, names_asked) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(walk_targets("com"), (Names{"com"}));
  EXPECT_EQ(walk_targets("a.mail.example.com"),
            (Names{"a.mail.example.com", "mail.example.com", "example.com", "com"}));
  EXPECT_EQ(walk_targets("a.b.c.d.e.f.g.com").size(), 8U);  // eight labels: none is left out
  EXPECT_EQ(walk_targets("a.b.c.d.e.f.g.com")[1], "b.c.d.e.f.g.com");
  EXPECT_EQ(walk_targets("a.b.c.d.e.f.g.h.i.j.mail.example.com"),
            (Names{"a.b.c.d.e.f.g.h.i.j.mail.example.com", "g.h.i.j.mail.example.com", "h.i.j.mail.example.com",
                   "i.j.mail.example.com", "j.mail.example.com", "mail.example.com", "example.com", "com"}));
}

TEST(DmarcWalk, organization) {
  // The examples of RFC 9989 §4.10.2.
  EXPECT_EQ(
      walk("a.mail.example.com", {{"_dmarc.mail.example.com", kReject}, {"_dmarc.example.com", kReject}}).organization,
      "example.com");
  EXPECT_EQ(walk("a.mail.example.com",
                 {{"_dmarc.mail.example.com", "v=DMARC1; p=none; psd=n"}, {"_dmarc.example.com", kReject}})
                .organization,
            "mail.example.com");
  EXPECT_EQ(walk("a.mail.example.com", {{"_dmarc.com", "v=DMARC1; p=none; psd=y"}}).organization, "example.com");
  // The start's own psd=y makes nobody else the organization.
  EXPECT_EQ(
      walk("example.com", {{"_dmarc.example.com", "v=DMARC1; p=none; psd=y"}, {"_dmarc.com", kReject}}).organization,
      "example.com");
  EXPECT_EQ(walk("a.example.com", {}).organization, "a.example.com");
  EXPECT_EQ(walk("a.b.c.d.e.f.g.h.example.com", {{"_dmarc.h.example.com", "v=DMARC1; p=none; psd=y"}}).organization,
            "g.h.example.com");
}

TEST(DmarcWalk, policy_is_the_authors_the_organizations_or_the_suffixs) {
  const Zone zone{{"_dmarc.bank.example", "v=DMARC1; p=reject; psd=y"},
                  {"_dmarc.giant.bank.example", "v=DMARC1; p=quarantine; sp=none"}};
  Message message{"giant.bank.example", {}, {}};
  EXPECT_EQ(message.evaluate(zone).policy, DmarcPolicy::quarantine);
  message.author = "mail.giant.bank.example";
  EXPECT_EQ(message.evaluate(zone).policy, DmarcPolicy::none);
  EXPECT_EQ(message.evaluate(zone).policy_domain, "giant.bank.example");
  message.author = "mail.tiny.bank.example";
  EXPECT_EQ(message.evaluate(zone).policy, DmarcPolicy::reject);
  EXPECT_EQ(message.evaluate(zone).policy_domain, "bank.example");
  message.author = "bank.example";
  EXPECT_EQ(message.evaluate(zone).policy, DmarcPolicy::reject);
  // What lies between the author and the organization is nobody's policy.
  const Zone between{{"_dmarc.b.example.com", kReject}, {"_dmarc.example.com", "v=DMARC1; p=none"}};
  message.author = "a.b.example.com";
  EXPECT_EQ(message.evaluate(between).policy_domain, "example.com");
}

TEST(DmarcWalk, several_records_at_one_name_are_none) {
  Zone zone{{"_dmarc.example.com", kReject}, {"_dmarc.example.com", kReject}};
  Message message{"example.com", {}, {}};
  EXPECT_EQ(message.evaluate(zone).result, Verdict::none);
  // RFC 9989 §4.10: and the walk goes on.
  message.author = "mail.example.com";
  Zone above{
      {"_dmarc.mail.example.com", kReject}, {"_dmarc.mail.example.com", kReject}, {"_dmarc.example.com", kReject}};
  EXPECT_EQ(message.evaluate(above).policy_domain, "example.com");
  message.discovery = Discovery::psl;
  EXPECT_EQ(message.evaluate(above).result, Verdict::none) << "RFC 7489 §6.6.3 stops";
}

TEST(DmarcWalk, np_needs_proof_of_absence) {
  Zone zone{{"_dmarc.example.com", "v=DMARC1; p=quarantine; sp=none; np=reject"}};
  Message message{"a.example.com", {}, {}};
  EXPECT_EQ(message.evaluate(zone).disposition, DmarcPolicy::reject);
  zone.exists("a.example.com");
  EXPECT_EQ(message.evaluate(zone).policy, DmarcPolicy::none);
  zone.broken("a.example.com");
  const auto unknown = message.evaluate(zone);
  EXPECT_EQ(unknown.result, Verdict::temperror);
  EXPECT_EQ(unknown.at_worst, DmarcPolicy::reject);
  message.dkim = {signed_by("example.com")};
  EXPECT_EQ(message.evaluate(zone).result, Verdict::pass);
  message = {"example.com", {}, {}};
  std::vector<dns::Question> asked;
  EXPECT_EQ(message.evaluate(zone, &asked).policy, DmarcPolicy::quarantine);
  for (const auto& question : asked) EXPECT_EQ(question.type, dns::Type::txt) << question.name;
}

// ---- what counts

TEST(Dmarc, dkim_counts_when_it_passed_for_the_whole_body) {
  const Zone zone{{"_dmarc.example.com", kReject}};
  Message message{"example.com", {signed_by("example.com")}, {}};
  EXPECT_EQ(message.evaluate(zone).result, Verdict::pass);
  EXPECT_EQ(message.evaluate(zone).disposition, DmarcPolicy::none);
  for (const auto verdict :
       {Verdict::none, Verdict::fail, Verdict::softfail, Verdict::neutral, Verdict::policy, Verdict::permerror}) {
    message.dkim = {signed_by("example.com", verdict)};
    EXPECT_EQ(message.evaluate(zone).result, Verdict::fail) << to_string(verdict);
    EXPECT_EQ(message.evaluate(zone).disposition, DmarcPolicy::reject);
  }
}

TEST(Threats, CR_03_a_partly_signed_body_is_no_dmarc_pass) {
  const Zone zone{{"_dmarc.example.com", kReject}};
  Message message{"example.com", {signed_by("example.com")}, {}};
  message.dkim[0].whole_body = false;
  EXPECT_EQ(message.evaluate(zone).result, Verdict::fail);
}

TEST(Dmarc, spf_counts_for_the_envelope_sender) {
  const Zone zone{{"_dmarc.example.com", kReject}};
  Message message{"example.com", {}, sent_by("bounce.example.com")};
  EXPECT_TRUE(message.evaluate(zone).spf_aligned);
  message.spf.helo = true;
  EXPECT_EQ(message.evaluate(zone).result, Verdict::fail) << "a HELO name says nothing about a sender";
  message.null_sender = true;
  EXPECT_EQ(message.evaluate(zone).result, Verdict::pass);
  message.spf.result = Verdict::softfail;
  EXPECT_EQ(message.evaluate(zone).result, Verdict::fail);
}

TEST(Dmarc, one_good_signature_among_bad_ones_is_enough) {
  const Zone zone{{"_dmarc.example.com", kReject}};
  const Message message{"m.example.com",
                        {signed_by("n.example.com", Verdict::fail), signed_by("evil.example"), signed_by("example.com"),
                         signed_by("example.com", Verdict::temperror)},
                        {}};
  EXPECT_EQ(message.evaluate(zone).result, Verdict::pass);
}

TEST(Dmarc, names_are_compared_in_one_form) {
  const Zone zone{{"_dmarc.xn--bcher-kva.example", "v=DMARC1; p=reject; adkim=s"}};
  const Message message{
      "b\xc3\xbc"
      "cher.example",
      {signed_by("XN--BCHER-KVA.Example")},
      {}};
  const auto got = message.evaluate(zone);
  EXPECT_EQ(got.result, Verdict::pass);
  EXPECT_EQ(got.domain, "xn--bcher-kva.example");
}

TEST(Dmarc, an_address_literal_has_no_policy) {
  dns::Lookup lookup;
  DmarcInput input;
  input.author_domain = "[192.0.2.1]";
  const auto got = evaluate_dmarc(input, lookup);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->result, Verdict::none);
  EXPECT_TRUE(lookup.wanted().empty());
}

TEST(Dmarc, testing_lowers_by_one_step) {
  Message message{"example.com", {}, {}};
  const auto got = message.evaluate({{"_dmarc.example.com", "v=DMARC1; p=reject; t=y"}});
  EXPECT_EQ(got.policy, DmarcPolicy::reject);
  EXPECT_EQ(got.disposition, DmarcPolicy::quarantine);
  EXPECT_EQ(message.evaluate({{"_dmarc.example.com", "v=DMARC1; p=quarantine; t=y"}}).disposition, DmarcPolicy::none);
}

TEST(Dmarc, no_questions_about_signers_that_cannot_align) {
  const Zone zone{{"_dmarc.example.com", "v=DMARC1; p=reject; aspf=s"}};
  const Message message{"example.com", {signed_by("example.org"), signed_by("other.com")}, sent_by("a.example.com")};
  std::vector<dns::Question> asked;
  EXPECT_EQ(message.evaluate(zone, &asked).result, Verdict::fail);
  EXPECT_EQ(asked.size(), 2U);
}

// ---- libraries.md §3: what libopendmarc gets wrong

TEST(Dmarc, spoofs_of_neighbours_are_refused) {
  struct Spoof {
    std::string author, signer;
    const char* tags = "";
  };
  const Spoof spoofs[] = {{"x.com", "evil.com"},
                          {"victim.com", "x.com"},
                          {"t.co", "evil.co"},
                          {"g.co.uk", "evil.co.uk"},
                          {"github.io", "evil.github.io"},
                          {"a.github.io", "github.io"},
                          {"victim.github.io", "evil.github.io"},
                          {"v.foo.ck", "e.foo.ck"},
                          {"v.kobe.jp", "e.kobe.jp"},
                          {"example.com", "com"},
                          {"example.co.uk", "co.uk"},
                          {"example.co.uk", "uk"},
                          {"www.xn--85x722f.xn--55qx5d.cn", "xn--55qx5d.cn"},
                          {"xn--85x722f.xn--55qx5d.cn", "shishi.xn--55qx5d.cn"},
                          {"example.com", "example.com.evil.example"},
                          {"example.com", "badexample.com"},
                          {"example.com", "example.co"},
                          {"example.com", "mail.example.com", "; adkim=s; aspf=s"},
                          {"mail.example.com", "example.com", "; adkim=s; aspf=s"},
                          {"example.com", "example.com(.evil.example"},
                          {"example.com", std::string("example.com\0.evil.example", 25)},
                          {"example.com", "example.com."},
                          {"example.com", ""}};
  for (const auto& spoof : spoofs) {
    for (const auto discovery : {Discovery::tree_walk, Discovery::psl}) {
      for (const bool signer_has_record : {false, true}) {
        Zone zone;
        zone.txt("_dmarc." + spoof.author, kReject + std::string(spoof.tags));
        if (signer_has_record) zone.txt("_dmarc." + spoof.signer, kReject);
        const Message message{spoof.author, {signed_by(spoof.signer)}, sent_by(spoof.signer), discovery};
        const auto got = message.evaluate(zone);
        EXPECT_EQ(got.result, Verdict::fail) << spoof.author << " by " << spoof.signer;
        EXPECT_EQ(got.disposition, DmarcPolicy::reject) << spoof.author << " by " << spoof.signer;
      }
    }
  }
}

// A public suffix that publishes without psd=y does not make its customers one organization.
TEST(Dmarc, a_record_on_a_public_suffix_is_a_suffixs) {
  Zone zone{{"_dmarc.github.io", kReject}};
  Message message{"victim.github.io", {signed_by("evil.github.io")}, {}};
  EXPECT_EQ(message.evaluate(zone).result, Verdict::fail);
  EXPECT_EQ(message.evaluate(zone).policy_domain, "github.io");
  message.dkim = {signed_by("mail.victim.github.io")};
  EXPECT_EQ(message.evaluate(zone).result, Verdict::pass);
  message.dkim = {signed_by("evil.github.io")};
  message.fence = false;
  EXPECT_EQ(message.evaluate(zone).result, Verdict::pass) << "the letter of RFC 9989 §4.10.2";
  // It says that it is none: RFC 9989 rule 1.
  message.fence = true;
  EXPECT_EQ(message.evaluate({{"_dmarc.github.io", "v=DMARC1; p=reject; psd=n"}}).result, Verdict::pass);
}

// ---- DNS trouble

TEST(Threats, DN_05_failure_matters_where_it_decides) {
  Message message{"mail.example.com", {}, {}};
  Zone zone;
  zone.fail("_dmarc.mail.example.com");
  auto got = message.evaluate(zone);
  EXPECT_EQ(got.result, Verdict::temperror);
  EXPECT_EQ(got.at_worst, DmarcPolicy::reject);
  EXPECT_EQ(got.disposition, DmarcPolicy::none);
  message.dkim = {signed_by("mail.example.com")};
  got = message.evaluate(zone);
  EXPECT_EQ(got.result, Verdict::temperror) << "there may be no policy at all";
  EXPECT_EQ(got.at_worst, DmarcPolicy::none) << "but no record could refuse this";

  // The author's own record is there; the organization is in doubt.
  zone = {{"_dmarc.mail.example.com", kReject}};
  zone.fail("_dmarc.example.com");
  EXPECT_EQ(message.evaluate(zone).result, Verdict::pass);
  message.dkim = {signed_by("example.com")};
  EXPECT_EQ(message.evaluate(zone).result, Verdict::temperror);
  EXPECT_EQ(message.evaluate(zone).at_worst, DmarcPolicy::reject);
  message.dkim = {signed_by("evil.org")};
  EXPECT_EQ(message.evaluate(zone).result, Verdict::fail) << "no organization is common to both";
  message.dkim.clear();
  EXPECT_EQ(message.evaluate(zone).result, Verdict::fail);
}

TEST(Dmarc, a_stumbling_top_level_domain_holds_up_nobody) {
  Zone zone{{"_dmarc.example.com", kReject}};
  zone.fail("_dmarc.com");
  Message message{"mail.example.com", {signed_by("news.example.com")}, {}};
  EXPECT_EQ(message.evaluate(zone).result, Verdict::pass);
  message.dkim.clear();
  EXPECT_EQ(message.evaluate(zone).disposition, DmarcPolicy::reject);
  message.fence = false;
  EXPECT_EQ(message.evaluate(zone).result, Verdict::temperror) << "without a list com may be anything";
  message = {"sub.other.com", {}, {}};
  EXPECT_EQ(message.evaluate(zone).result, Verdict::temperror) << "only com's record could speak for it";
}

// RFC 9989 §5.3.6: SPF or DKIM might have passed.
TEST(Dmarc, temporary_errors_of_the_mechanisms) {
  const Zone zone{{"_dmarc.example.com", "v=DMARC1; p=reject; t=y"}};
  Message message{"example.com", {signed_by("example.com", Verdict::temperror)}, {}};
  EXPECT_EQ(message.evaluate(zone).result, Verdict::temperror);
  EXPECT_EQ(message.evaluate(zone).at_worst, DmarcPolicy::quarantine);
  message.dkim = {signed_by("evil.example", Verdict::temperror)};
  EXPECT_EQ(message.evaluate(zone).result, Verdict::fail);
  message.spf = sent_by("a.example.com", Verdict::temperror);
  EXPECT_EQ(message.evaluate(zone).result, Verdict::temperror);
  message.dkim = {signed_by("example.com")};
  EXPECT_EQ(message.evaluate(zone).result, Verdict::pass);
  message.author = "no-policy.example";
  EXPECT_EQ(message.evaluate(zone).result, Verdict::none);
}

TEST(Threats, DN_06_questions_are_bounded) {
  Zone zone;
  const std::string deep = "a.b.c.d.e.f.g.h.i.j.";
  zone.txt("_dmarc.example.com", "v=DMARC1; p=none; np=reject");
  Message message{deep + "example.com", {}, sent_by("s." + deep + "example.com")};
  for (int i = 0; i < 50; ++i) message.dkim.push_back(signed_by("k" + std::to_string(i) + "." + deep + "example.com"));
  std::vector<dns::Question> asked;
  message.evaluate(zone, &asked);
  EXPECT_LE(asked.size(), kMaxWalkQueries * (1 + kMaxAlignmentWalks) + 1);
}

// ---- several authors (interface.md §6.7)

TEST(Dmarc, the_strictest_of_several_authors) {
  const Zone zone{{"_dmarc.strict.example", kReject}, {"_dmarc.loose.example", "v=DMARC1; p=none"}};
  const std::vector<DkimResult> dkim = {signed_by("loose.example")};
  DmarcInput input;
  input.dkim = dkim;
  const auto of = [&](const std::vector<std::string>& domains) {
    return settle(zone, [&](dns::Lookup& lookup) { return evaluate_authors(input, domains, lookup); });
  };
  EXPECT_EQ(of({"loose.example"}).result, Verdict::pass);
  EXPECT_EQ(of({"loose.example", "strict.example"}).disposition, DmarcPolicy::reject);
  EXPECT_EQ(of({"strict.example", "loose.example"}).domain, "strict.example");
  EXPECT_EQ(of({"silent.example", "loose.example"}).result, Verdict::pass);
  EXPECT_EQ(of({"silent.example", "[192.0.2.1]"}).result, Verdict::none);
  EXPECT_EQ(of({}).result, Verdict::none);
}

// ---- libopendmarc (libraries.md decision 5)

// Its answer, on generated messages, is what our own reading of the standard says.
TEST(Dmarc, libopendmarc_decides_as_we_would) {
  for (const auto policy : {DmarcPolicy::none, DmarcPolicy::quarantine, DmarcPolicy::reject}) {
    for (const bool spf : {false, true}) {
      for (const bool dkim : {false, true}) {
        EXPECT_EQ(enforce_dmarc(policy, spf, dkim), spf || dkim ? DmarcPolicy::none : policy);
      }
    }
  }
  std::mt19937 random(7);
  const auto pick = [&random](const auto& list) { return list[random() % std::size(list)]; };
  const std::string names[] = {"example.com", "mail.example.com", "a.b.example.com", "x.com", "evil.com", "com",
                               "t.co"};
  const std::string policies[] = {"none", "quarantine", "reject"};
  const std::string modes[] = {"r", "s"};
  const Verdict verdicts[] = {Verdict::pass, Verdict::fail, Verdict::none};
  std::size_t passes = 0, rejects = 0;
  for (int i = 0; i < 4000; ++i) {
    Zone zone;
    for (const auto& name : names) {
      if (random() % 2 == 0) continue;
      auto record = "v=DMARC1; p=" + pick(policies) + "; sp=" + pick(policies) + "; np=" + pick(policies) +
                    "; adkim=" + pick(modes) + "; aspf=" + pick(modes);
      if (random() % 4 == 0) record += "; t=y";
      zone.txt("_dmarc." + name, record);
    }
    if (random() % 2 == 0) zone.exists("a.b.example.com");
    const Message message{pick(names),
                          {signed_by(pick(names), pick(verdicts)), signed_by(pick(names), pick(verdicts))},
                          sent_by(pick(names), pick(verdicts)),
                          random() % 2 == 0 ? Discovery::tree_walk : Discovery::psl};
    const auto got = message.evaluate(zone);
    const bool aligned = got.spf_aligned || got.dkim_aligned;
    const auto want = aligned ? DmarcPolicy::none : got.testing ? lowered(got.policy) : got.policy;
    ASSERT_EQ(got.disposition, want) << got.record;
    ASSERT_EQ(got.result == Verdict::pass, aligned);
    ASSERT_EQ(got.result == Verdict::none, got.policy_domain.empty());
    passes += aligned;
    rejects += got.disposition == DmarcPolicy::reject;
  }
  EXPECT_GT(passes, 200U);
  EXPECT_GT(rejects, 200U);
}

}  // namespace
