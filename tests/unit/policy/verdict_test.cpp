// What is done about SPF, DKIM, DMARC and ARC: one table a rule.
#include "policy/verdict.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using auth::DmarcPolicy;
using policy::AuthSettings;
using policy::Check;
using policy::Verdict;
using ::testing::HasSubstr;
using Kind = Verdict::Kind;
using Word = auth::Verdict;

// A message that passes everything; each test breaks what it is about.
struct Message {
  Message() {
    results.spf.result = Word::pass;
    results.spf.domain = "sender.example";
    results.dmarc.result = Word::pass;
    results.dmarc.domain = "sender.example";
    results.dmarc.policy = DmarcPolicy::reject;
    sender.mailbox = *mail::parse_mailbox("ann@sender.example");
    author("ann@sender.example");
  }
  void author(const std::string& address) {
    authors.fault = auth::AuthorFault::none;
    authors.mailboxes = {*mail::parse_mailbox(address)};
    authors.domains = {authors.mailboxes[0].domain};
  }
  void dkim(Word result, std::string domain = "sender.example", bool whole_body = true) {
    auth::DkimResult one;
    one.result = result;
    one.domain = std::move(domain);
    one.whole_body = whole_body;
    results.dkim.push_back(one);
  }
  void dmarc(Word result, DmarcPolicy disposition = DmarcPolicy::none, DmarcPolicy at_worst = DmarcPolicy::none) {
    results.dmarc.result = result;
    results.dmarc.disposition = disposition;
    results.dmarc.at_worst = at_worst;
  }
  void nothing_passes() {
    results.spf.result = Word::none;
    dmarc(Word::none);
  }
  Verdict decide() const { return policy::decide(settings, {results, authors, sender, skipped, bounce}); }
  std::string said() const {
    const auto verdict = decide();
    if (verdict.kind == Kind::accept) return verdict.quarantine ? "tag" : verdict.overridden ? "override" : "accept";
    return std::to_string(verdict.code) + " " + verdict.enhanced.to_string() + " " + std::string(verdict.reason);
  }

  AuthSettings settings;
  auth::Results results;
  auth::Authors authors;
  mail::ReversePath sender;
  policy::Checks skipped;
  bool bounce = false;
};

TEST(Verdict, WhatPassesIsAccepted) {
  EXPECT_EQ(Message().said(), "accept");
}

TEST(Verdict, DmarcByItsDisposition) {
  struct Case {
    Word result;
    DmarcPolicy disposition, at_worst;
    AuthSettings::Quarantine quarantine;
    const char* said;
  };
  constexpr auto kTag = AuthSettings::Quarantine::tag, kReject = AuthSettings::Quarantine::reject;
  const std::vector<Case> cases = {
      {Word::fail, DmarcPolicy::reject, DmarcPolicy::none, kTag, "550 5.7.1 dmarc"},
      {Word::fail, DmarcPolicy::quarantine, DmarcPolicy::none, kTag, "tag"},
      {Word::fail, DmarcPolicy::quarantine, DmarcPolicy::none, kReject, "550 5.7.1 dmarc"},
      {Word::fail, DmarcPolicy::none, DmarcPolicy::none, kReject, "accept"},
      // 4xx only where the outcome could have been a refusal.
      {Word::temperror, DmarcPolicy::none, DmarcPolicy::reject, kTag, "451 4.7.1 dmarc-temperror"},
      {Word::temperror, DmarcPolicy::none, DmarcPolicy::quarantine, kTag, "accept"},
      {Word::temperror, DmarcPolicy::none, DmarcPolicy::quarantine, kReject, "451 4.7.1 dmarc-temperror"},
      {Word::temperror, DmarcPolicy::none, DmarcPolicy::none, kReject, "accept"},
      {Word::permerror, DmarcPolicy::none, DmarcPolicy::none, kReject, "accept"},
      {Word::none, DmarcPolicy::none, DmarcPolicy::none, kReject, "accept"},
  };
  for (const auto& c : cases) {
    Message message;
    message.settings.quarantine = c.quarantine;
    message.dmarc(c.result, c.disposition, c.at_worst);
    EXPECT_EQ(message.said(), c.said) << auth::to_string(c.result) << " " << auth::to_string(c.disposition);
    for (const auto dmarc : {AuthSettings::Dmarc::monitor, AuthSettings::Dmarc::off}) {
      auto watched = message;
      watched.settings.dmarc = dmarc;
      EXPECT_EQ(watched.said(), "accept");
    }
    auto excepted = message;
    excepted.skipped.add(Check::dmarc);
    EXPECT_EQ(excepted.said(), "accept");
    // A bounce to a valid SRS address is reported, not refused (interface.md §6.21).
    auto bounce = message;
    bounce.sender = {};
    bounce.bounce = true;
    EXPECT_EQ(bounce.said(), "accept");
  }
}

TEST(Verdict, TheTextNamesTheDomain) {
  Message message;
  message.dmarc(Word::fail, DmarcPolicy::reject);
  EXPECT_THAT(message.decide().text, HasSubstr("sender.example"));
}

TEST(Verdict, Authors) {  // interface.md §6.7, RL-15
  for (const auto fault :
       {auth::AuthorFault::missing, auth::AuthorFault::several_fields, auth::AuthorFault::unparsable}) {
    Message message;
    message.authors = {};
    message.authors.fault = fault;
    message.dmarc(Word::permerror);
    EXPECT_EQ(message.said(), "550 5.7.1 bad-from");
    message.settings.dmarc = AuthSettings::Dmarc::monitor;
    EXPECT_EQ(message.said(), "accept");
    message.settings.dmarc = AuthSettings::Dmarc::enforce;
    message.sender = {};
    EXPECT_EQ(message.said(), "accept") << "not for the null sender (§6.21)";
  }
  Message several;
  several.authors.mailboxes.push_back(*mail::parse_mailbox("bob@sender.example"));
  EXPECT_EQ(several.said(), "accept") << "several mailboxes of one domain";
  several.authors.domains.emplace_back("other.example");
  EXPECT_EQ(several.said(), "550 5.7.1 bad-from") << "a pass of all of them does not help";
  several.dmarc(Word::none);
  EXPECT_EQ(several.said(), "accept") << "no policy anywhere";
}

TEST(Verdict, OneProofIsRequired) {
  struct Case {
    Word spf, dkim;
    bool whole_body;
    const char* said;
  };
  for (const auto& c : std::vector<Case>{
           {Word::pass, Word::none, true, "accept"},
           {Word::none, Word::pass, true, "accept"},
           {Word::fail, Word::pass, true, "accept"},
           {Word::none, Word::pass, false, "550 5.7.26 unauthenticated"},  // CR-03
           {Word::none, Word::none, true, "550 5.7.26 unauthenticated"},
           {Word::softfail, Word::fail, true, "550 5.7.26 unauthenticated"},
           {Word::permerror, Word::policy, true, "550 5.7.26 unauthenticated"},
           {Word::temperror, Word::none, true, "451 4.7.24 spf-temperror"},
           {Word::none, Word::temperror, true, "451 4.7.1 dkim-temperror"},
           {Word::temperror, Word::pass, true, "accept"},
       }) {
    Message message;
    message.dmarc(Word::none);
    message.results.spf.result = c.spf;
    message.dkim(c.dkim, "any.example", c.whole_body);
    EXPECT_EQ(message.said(), c.said) << auth::to_string(c.spf) << " " << auth::to_string(c.dkim);
    auto without = message;
    without.settings.require = AuthSettings::Require::none;
    EXPECT_EQ(without.said(), "accept");
    auto excepted = message;
    excepted.skipped.add(Check::require_auth);
    EXPECT_EQ(excepted.said(), "accept");
    auto null_sender = message;
    null_sender.sender = {};
    EXPECT_EQ(null_sender.said(), "accept");
  }
}

TEST(Verdict, SpfOfHeloIsNoProofOfTheSender) {
  Message message;
  message.dmarc(Word::none);
  message.results.spf.helo = true;
  EXPECT_EQ(message.said(), "550 5.7.26 unauthenticated");
}

TEST(Verdict, SpfRefusesWhereTheOperatorWantsIt) {
  Message message;
  message.results.spf.result = Word::fail;
  message.results.spf.explanation = "see http://sender.example";
  message.dkim(Word::pass);
  EXPECT_EQ(message.said(), "accept") << "by default SPF only feeds DMARC";
  message.settings.spf = AuthSettings::Spf::reject;
  EXPECT_EQ(message.said(), "550 5.7.23 spf");
  EXPECT_THAT(message.decide().text, HasSubstr("see http://sender.example"));
  message.results.spf.result = Word::temperror;
  EXPECT_EQ(message.said(), "451 4.7.24 spf-temperror");
  message.results.spf.result = Word::softfail;
  EXPECT_EQ(message.said(), "accept");
  message.results.spf.result = Word::fail;
  message.skipped.add(Check::spf);
  EXPECT_EQ(message.said(), "accept");
}

TEST(Verdict, TrustedSealersExcuse) {
  Message message;
  message.settings.trusted_sealers = {"list.example", "relay.example"};
  message.dkim(Word::pass, "list.example");
  message.dmarc(Word::fail, DmarcPolicy::reject);
  message.results.arc.result = Word::pass;
  message.results.arc.sealers = {"list.example", "relay.example"};
  EXPECT_EQ(message.said(), "550 5.7.1 dmarc") << "the first sealer saw nothing that passed";
  message.results.arc.first_passed = true;
  EXPECT_EQ(message.said(), "override");
  message.dmarc(Word::temperror, DmarcPolicy::none, DmarcPolicy::reject);
  EXPECT_EQ(message.said(), "override");
  message.dmarc(Word::fail, DmarcPolicy::reject);
  message.results.arc.sealers.emplace_back("stranger.example");
  EXPECT_EQ(message.said(), "550 5.7.1 dmarc") << "one stranger in the chain may have lied";
  message.results.arc.sealers.pop_back();
  message.results.arc.result = Word::fail;
  EXPECT_EQ(message.said(), "550 5.7.1 dmarc");
}

TEST(Verdict, Forecast) {
  AuthSettings settings;
  settings.forecast = AuthSettings::Forecast::reject;
  auth::DmarcResult expected;
  expected.domain = "sender.example";
  const auto said = [&](policy::Checks skipped = {}) {
    const auto verdict = policy::decide_forecast(settings, expected, skipped);
    return verdict.kind == Kind::accept ? std::string("accept")
                                        : std::to_string(verdict.code) + " " + verdict.enhanced.to_string();
  };
  EXPECT_EQ(said(), "accept");
  EXPECT_EQ(policy::forecast_word(expected), "none");
  expected.result = Word::fail;
  expected.disposition = DmarcPolicy::reject;
  EXPECT_EQ(said(), "550 5.7.26");
  EXPECT_EQ(policy::forecast_word(expected), "fail-reject");
  policy::Checks skipped;
  skipped.add(Check::forecast);
  EXPECT_EQ(said(skipped), "accept");
  settings.forecast = AuthSettings::Forecast::warn;
  EXPECT_EQ(said(), "accept");
  settings.forecast = AuthSettings::Forecast::reject;
  expected.disposition = DmarcPolicy::quarantine;
  EXPECT_EQ(said(), "accept") << "a folder for junk is no refusal";
  EXPECT_EQ(policy::forecast_word(expected), "fail-quarantine");
  expected.disposition = DmarcPolicy::none;
  EXPECT_EQ(policy::forecast_word(expected), "fail-none");
  expected.result = Word::temperror;
  EXPECT_EQ(said(), "accept");
  EXPECT_EQ(policy::forecast_word(expected), "unknown");
}

TEST(Ownable, ByPromise) {  // LP-06
  Message message;
  EXPECT_TRUE(policy::is_ownable(message.sender, message.results, message.authors)) << "SPF passed";
  EXPECT_TRUE(policy::is_ownable(message.sender, message.results.spf));
  message.results.spf.helo = true;
  EXPECT_FALSE(policy::is_ownable(message.sender, message.results.spf)) << "HELO's, not the sender's";
  message.results.spf = {};
  EXPECT_FALSE(policy::is_ownable(message.sender, message.results, message.authors));
  message.dkim(Word::pass);
  EXPECT_TRUE(policy::is_ownable(message.sender, message.results, message.authors)) << "the author signed and sent it";
  auto replayed = message;
  replayed.sender.mailbox = *mail::parse_mailbox("victim@elsewhere.example");
  EXPECT_FALSE(policy::is_ownable(replayed.sender, replayed.results, replayed.authors)) << "a replayed signature";
  auto colleague = message;
  colleague.sender.mailbox = *mail::parse_mailbox("boss@sender.example");
  EXPECT_FALSE(policy::is_ownable(colleague.sender, colleague.results, colleague.authors));
  auto two = message;
  two.authors.mailboxes.push_back(*mail::parse_mailbox("boss@sender.example"));
  EXPECT_FALSE(policy::is_ownable(two.sender, two.results, two.authors));
  auto part = message;
  part.results.dkim.clear();
  part.dkim(Word::pass, "sender.example", false);
  EXPECT_FALSE(policy::is_ownable(part.sender, part.results, part.authors));
  auto other = message;
  other.results.dkim.clear();
  other.dkim(Word::pass, "mailer.example");
  EXPECT_FALSE(policy::is_ownable(other.sender, other.results, other.authors));
  other.results.dmarc.dkim_aligned = true;  // relaxed, by the organization
  EXPECT_TRUE(policy::is_ownable(other.sender, other.results, other.authors));
  message.sender = {};
  EXPECT_FALSE(policy::is_ownable(message.sender, message.results, message.authors)) << "never the null sender";
}

TEST(Summary, OneWordForAllSignatures) {
  const auto of = [](std::initializer_list<Word> words) {
    std::vector<auth::DkimResult> signatures;
    for (const auto word : words) signatures.emplace_back().result = word;
    return policy::summary(signatures);
  };
  EXPECT_EQ(of({}), Word::none);
  EXPECT_EQ(of({Word::fail, Word::pass, Word::permerror}), Word::pass);
  EXPECT_EQ(of({Word::neutral, Word::fail, Word::temperror}), Word::fail);
  EXPECT_EQ(of({Word::policy, Word::permerror}), Word::permerror);
}

}  // namespace
