// Whole messages of an attacker through the Verifier: he sends from his own client, signs with his own keys, and owns
// evil.example and its like. Whatever he writes, DMARC never passes for a domain that did not sign or send (threats
// RL-15; espoofer, "Composition Kills"; libraries.md §3).
#include <gtest/gtest.h>

#include <map>

#include "auth/dkim_verify_signer.hpp"
#include "auth/evasions.hpp"
#include "auth/verify.hpp"
#include "core/text.hpp"

namespace {

using auth::Discovery;
using auth::DmarcPolicy;
using auth::Verdict;

const dkim::Key& evil_key() {
  static const auto key = dkim::ed25519_key();
  return key;
}
const dkim::Key& bank_key() {
  static const auto key = dkim::ed25519_key();
  return key;
}

constexpr const char* kEvilClient = "203.0.113.66";
constexpr const char* kBankClient = "192.0.2.1";

using Texts = std::map<std::string, std::string>;

Texts world() {
  return {{"bank.example", "v=spf1 ip4:192.0.2.1 -all"},
          {"_dmarc.bank.example", "v=DMARC1; p=reject"},
          {"sel._domainkey.bank.example", dkim::record_of(bank_key())},
          {"evil.example", "v=spf1 ip4:203.0.113.66 -all"},
          {"_dmarc.evil.example", "v=DMARC1; p=none"},
          {"sel._domainkey.evil.example", dkim::record_of(evil_key())}};
}

struct Mail {
  std::string message;
  std::string mail_from = "a@evil.example", helo = "mail.evil.example";
  std::string client = kEvilClient;
};

struct Verified {
  auth::Results results;
  auth::Authors authors;
  bool header = true;  // false: no header that would be let in (SM-06)
};

Verified verify(const Mail& mail, const Texts& texts, Discovery discovery) {
  static auth::DkimLibrary library;
  static const auto suffixes = auth::PublicSuffixList::load().value();
  const auto [section, body] = messages::split(mail.message);
  const auto headers = mail::Headers::parse(section);
  if (!headers) return {{}, {}, false};
  auth::SpfInput envelope;
  envelope.client = core::IpAddress::parse(mail.client).value();
  envelope.helo = mail.helo;
  if (const auto at = mail.mail_from.rfind('@'); at != std::string::npos) {
    envelope.mail_from.mailbox = {mail.mail_from.substr(0, at), mail.mail_from.substr(at + 1)};
  }
  auth::VerifySettings settings;
  settings.discovery = discovery;
  settings.suffixes = &suffixes;
  auth::Verifier verifier(library, settings, envelope);
  verifier.headers(*headers);
  verifier.body(body);
  dns::Lookup lookup;
  for (;;) {
    if (auto results = verifier.finish(lookup)) return {std::move(*results), verifier.authors(), true};
    for (const auto& question : std::vector<dns::Question>(lookup.wanted())) {
      dns::Answer answer;
      const auto found = texts.find(question.name);
      answer.status = found == texts.end() ? dns::Status::nx_domain : dns::Status::ok;
      if (found != texts.end() && question.type == dns::Type::txt) answer.texts = {found->second};
      lookup.answer(question, std::move(answer));
    }
  }
}

dkim::Wanted by_evil() {
  return {.d = "evil.example", .a = "ed25519-sha256", .h = "from:to:subject"};
}

std::string with_from(const std::string& from) {
  return from + "To: c@forward.example\r\nSubject: your account\r\n\r\nClick here.\r\n";
}
const std::string kFromBank = with_from("From: Bank <b@bank.example>\r\n");

// What the receiver would do under `dmarc = "enforce"` (interface.md §6.7).
bool is_let_in(const Verified& verified) {
  return verified.header && verified.authors.ok() && verified.results.dmarc.disposition != DmarcPolicy::reject;
}

void expect_refused(const std::string& name, const Mail& mail, const Texts& texts = world()) {
  for (const auto discovery : {Discovery::tree_walk, Discovery::psl}) {
    const auto got = verify(mail, texts, discovery);
    EXPECT_NE(got.results.dmarc.result, Verdict::pass) << name;
    EXPECT_FALSE(is_let_in(got)) << name << ": " << to_string(got.results.dmarc.result) << " for "
                                 << got.results.dmarc.domain;
  }
}

// The same world lets honest mail in, by each of the two ways.
TEST(Threats, RL_15_honest_mail_passes) {
  const dkim::Wanted by_bank{.d = "bank.example", .a = "ed25519-sha256", .h = "from:to:subject"};
  const Mail honest[] = {{kFromBank, "b@bank.example", "mail.bank.example", kBankClient},
                         {dkim::sign(bank_key(), kFromBank, by_bank)},
                         {dkim::sign(bank_key(), with_from("From: <b@BANK.Example>\r\n"), by_bank)},
                         {dkim::sign(bank_key(), with_from("From: <b@mail.bank.example>\r\n"), by_bank)}};
  for (const auto& mail : honest) {
    for (const auto discovery : {Discovery::tree_walk, Discovery::psl}) {
      const auto got = verify(mail, world(), discovery);
      EXPECT_EQ(got.results.dmarc.result, Verdict::pass) << mail.message;
      EXPECT_TRUE(is_let_in(got));
    }
  }
  // and an internationalised name, whichever way it is written
  auto texts = world();
  texts["_dmarc.xn--bnk-qla.example"] = "v=DMARC1; p=reject; adkim=s";
  texts["sel._domainkey.xn--bnk-qla.example"] = dkim::record_of(bank_key());
  const dkim::Wanted by_idn{.d = "xn--bnk-qla.example", .a = "ed25519-sha256", .h = "from:to:subject"};
  for (const auto* domain : {"b\xc3\xa4nk.example", "xn--bnk-qla.example", "XN--BNK-QLA.EXAMPLE"}) {
    const auto message = with_from("From: <b@" + std::string(domain) + ">\r\n");
    const auto got = verify({dkim::sign(bank_key(), message, by_idn)}, texts, Discovery::tree_walk);
    EXPECT_EQ(got.results.dmarc.result, Verdict::pass) << domain;
    EXPECT_EQ(got.results.dmarc.domain, "xn--bnk-qla.example");
  }
}

TEST(Threats, RL_15_evasions_signed_and_sent_by_somebody_else) {
  std::size_t evaluated = 0;
  for (const auto& evasion : evasions::all()) {
    const auto plain = with_from(evasion.header);
    const bool readable = mail::Headers::parse(messages::split(plain).section).has_value();
    for (const auto* names : {"from:to:subject", "from:from:to:subject"}) {
      auto wanted = by_evil();
      wanted.h = names;
      const Mail mail{readable ? dkim::sign(evil_key(), plain, wanted) : plain};
      for (const auto discovery : {Discovery::tree_walk, Discovery::psl}) {
        const auto got = verify(mail, world(), discovery);
        evaluated += got.header && got.authors.ok();
        const auto& dmarc = got.results.dmarc;
        if (dmarc.result == Verdict::pass) {
          EXPECT_EQ(evasion.expect, evasions::Evasion::evils) << evasion.name;
          EXPECT_EQ(dmarc.domain, "evil.example") << evasion.name;
        }
        if (evasion.expect == evasions::Evasion::refused || evasion.expect == evasions::Evasion::banks) {
          EXPECT_FALSE(is_let_in(got)) << evasion.name;
        }
      }
    }
  }
  EXPECT_GT(evaluated, 40U);
}

TEST(Threats, RL_15_envelopes_that_lend_no_name) {
  struct Envelope {
    const char *name, *mail_from, *helo;
    const char* client = kEvilClient;
  };
  const Envelope envelopes[] = {
      {"evil's own", "a@evil.example", "mail.evil.example"},
      {"bounce with evil's HELO", "", "evil.example"},
      {"bounce with the bank's HELO", "", "bank.example"},
      {"bank's MAIL FROM from elsewhere", "b@bank.example", "evil.example"},
      {"a name below the bank that does not exist (espoofer A1)", "x@none.bank.example", "evil.example"},
      {"a sender that is no name (espoofer A2)", "x@(bank.example", "evil.example"},
      {"bank in the local part", "b@bank.example@evil.example", "evil.example"},
      {"quoted", "\"b@bank.example\"@evil.example", "evil.example"},
      {"bank below evil", "b@bank.example.evil.example", "bank.example.evil.example"},
      {"HELO with the bank's name and more", "", "bank.example evil.example"},
      {"address literal", "b@[192.0.2.1]", "[192.0.2.1]"},
      {"the bank's client as an IPv4-mapped stranger", "b@bank.example", "bank.example", "::ffff:203.0.113.66"},
      {"loopback", "b@bank.example", "bank.example", "127.0.0.1"}};
  auto texts = world();
  texts["bank.example.evil.example"] = "v=spf1 +all";
  for (const auto& one : envelopes) {
    expect_refused(one.name, {kFromBank, one.mail_from, one.helo, one.client}, texts);
    expect_refused(one.name, {dkim::sign(evil_key(), kFromBank, by_evil()), one.mail_from, one.helo, one.client},
                   texts);
  }
}

TEST(Threats, RL_15_signatures_that_lend_no_name) {
  struct Forgery {
    const char* name;
    dkim::Wanted wanted;
  };
  using namespace std::string_literals;
  const auto wanted = [](const std::string& d, const std::string& s = "sel", const std::string& more = "",
                         const std::string& h = "from:to:subject") {
    return dkim::Wanted{.d = d, .s = s, .a = "ed25519-sha256", .h = h, .more = more};
  };
  const Forgery forgeries[] = {
      {"the bank's name, evil's key", wanted("bank.example")},
      {"a selector of the bank that is not there", wanted("bank.example", "none")},
      {"evil's key by way of the selector", wanted("bank.example", "sel._domainkey.evil.example")},
      {"NUL behind the selector (espoofer A4)", wanted("bank.example", "sel._domainkey.evil.example.\0.x"s)},
      {"NUL in the domain (espoofer A3)", wanted("bank.example\0.evil.example"s)},
      {"bracket in the domain", wanted("bank.example(.evil.example")},
      {"quote in the domain", wanted("bank.example'.evil.example")},
      {"identity of the bank", wanted("evil.example", "sel", "i=b@bank.example; ")},
      {"identity by encoding", wanted("evil.example", "sel", "i=b=40bank.example=00@evil.example; ")},
      {"d= twice", wanted("evil.example", "sel", "d=bank.example; ")},
      {"d= in capitals too", wanted("evil.example", "sel", "D=bank.example; ")},
      {"a parent of the bank", wanted("example")},
      {"a name below the bank, evil's key", wanted("x.bank.example")},
      {"From not signed", wanted("bank.example", "sel", "", "to:subject")},
      {"expired", wanted("bank.example", "sel", "t=1; x=2; ")},
      {"nothing of the body", wanted("evil.example", "sel", "l=0; ")},
      {"rsa-sha1 by name", {.d = "bank.example", .a = "rsa-sha1", .h = "from"}}};
  auto texts = world();
  texts["sel._domainkey.bank.example(.evil.example"] = dkim::record_of(evil_key());
  texts["sel._domainkey.bank.example'.evil.example"] = dkim::record_of(evil_key());
  texts["sel._domainkey.evil.example._domainkey.bank.example"] = "v=DMARC1; p=none";
  for (const auto& forgery : forgeries) {
    const auto forged = dkim::sign(evil_key(), kFromBank, forgery.wanted);
    expect_refused(forgery.name, {forged}, texts);
    if (!mail::Headers::parse(messages::split(forged).section)) continue;  // NUL: never let in
    // together with one that is good, but evil's
    expect_refused(forgery.name, {dkim::sign(evil_key(), forged, by_evil())}, texts);
  }
}

// What the bank did sign does not stand for what was added later.
TEST(Threats, RL_15_the_banks_own_signature_used_again) {
  const dkim::Wanted once{.d = "bank.example", .a = "ed25519-sha256", .h = "from:to:subject"};
  const auto signed_once = dkim::sign(bank_key(), kFromBank, once);
  expect_refused("second From on top", {"From: a@evil.example\r\n" + signed_once});
  auto below = signed_once;
  below.insert(below.find("To:"), "From: a@evil.example\r\n");
  expect_refused("second From below", {below});
  expect_refused("another body", {signed_once + "And here.\r\n"});
  auto other = signed_once;
  other.replace(other.find("b@bank"), 1, "c");
  expect_refused("another mailbox", {other});
  // l=0 and a body of one's own (CR-03)
  auto wanted = once;
  wanted.more = "l=0; ";
  wanted.limit = 0;
  expect_refused("a signature over no body", {dkim::sign(bank_key(), kFromBank, wanted)});
}

// What a message says about itself is nobody's verdict.
TEST(Threats, RL_15_results_in_the_message_count_for_nothing) {
  const std::string claims =
      "Authentication-Results: mx.example.net; spf=pass smtp.mailfrom=bank.example; dkim=pass header.d=bank.example; "
      "dmarc=pass header.from=bank.example\r\n"
      "Received-SPF: pass (mx.example.net: domain of b@bank.example designates 203.0.113.66 as permitted sender)\r\n"
      "ARC-Authentication-Results: i=1; mx.example.net; dmarc=pass header.from=bank.example\r\n"
      "ARC-Message-Signature: i=1; a=rsa-sha256; d=bank.example; s=sel; h=from; "
      "bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n"
      "ARC-Seal: i=1; a=rsa-sha256; cv=none; d=bank.example; s=sel; b=AAAA\r\n";
  expect_refused("claims", {claims + kFromBank});
  expect_refused("claims, signed", {dkim::sign(evil_key(), claims + kFromBank, by_evil())});
}

// libraries.md §3: what libopendmarc takes for the same organization. Here the neighbour really signs and sends.
TEST(Threats, RL_15_neighbours) {
  struct Neighbours {
    const char *author, *signer;
    const char* from = nullptr;  // as written in From, when that is another form
    const char* tags = "";
  };
  const Neighbours neighbours[] = {
      {"x.com", "evil.com"},
      {"victim.com", "x.com"},
      {"t.co", "evil.co"},
      {"github.io", "evil.github.io"},
      {"victim.github.io", "evil.github.io"},
      {"v.foo.ck", "e.foo.ck"},
      {"v.kobe.jp", "e.kobe.jp"},
      {"v.compute.amazonaws.com", "e.compute.amazonaws.com"},
      {"xn--85x722f.xn--55qx5d.cn", "shishi.xn--55qx5d.cn", "\u98df\u72ee.\u516c\u53f8.cn"},
      {"bank.example", "mail.bank.example", nullptr, "; adkim=s; aspf=s"},
      {"mail.bank.example", "bank.example", nullptr, "; adkim=s; aspf=s"},
      {"xn--bnk-qla.example", "bank.example", "b\u00e4nk.example"},
      {"bank.example", "xn--bnk-qla.example"},
      {"bank.example", "xn--bak-gge.example"}};  // Cyrillic a
  for (const auto& one : neighbours) {
    const std::string author = one.author, signer = one.signer;
    Texts texts{{"_dmarc." + author, "v=DMARC1; p=reject" + std::string(one.tags)},
                {"_dmarc." + signer, "v=DMARC1; p=none"},
                {signer, "v=spf1 ip4:203.0.113.66 -all"},
                {"sel._domainkey." + signer, dkim::record_of(evil_key())}};
    const auto message = with_from("From: <b@" + (one.from ? std::string(one.from) : author) + ">\r\n");
    const dkim::Wanted wanted{.d = signer, .a = "ed25519-sha256", .h = "from:to:subject"};
    const Mail mail{dkim::sign(evil_key(), message, wanted), "a@" + signer, signer};
    const auto got = verify(mail, texts, Discovery::tree_walk);
    EXPECT_EQ(got.results.spf.result, Verdict::pass) << signer;
    EXPECT_EQ(got.results.dkim.front().result, Verdict::pass) << signer;
    EXPECT_EQ(got.results.dmarc.domain, author);
    expect_refused(author + " by " + signer, mail, texts);
  }
}

}  // namespace
