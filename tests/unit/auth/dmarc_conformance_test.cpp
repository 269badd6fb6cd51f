// DMARC against other people's cases (shared/conformance, GUIDE.md §2.4): the suites of mailauth, mox, OpenDMARC and
// the Public Suffix List. What a suite says about both ways of discovery runs in both; where a suite and the RFC
// differ, the test says which is followed and counts the cases (support/score.hpp).
#include "auth/author.hpp"
#include "auth/dmarc_discovery.hpp"
#include "auth/dmarc_record.hpp"
#include "dmarc_support.hpp"
#include "mail/jsonl.hpp"
#include "support/score.hpp"

namespace {

using namespace auth;
using namespace dmarc_test;
using nlohmann::json;

std::string text_or_empty(const json& value) {
  return value.is_string() ? value.get<std::string>() : std::string();
}

Verdict verdict_of(const std::string& word) {
  for (const auto verdict : {Verdict::none, Verdict::pass, Verdict::fail, Verdict::softfail, Verdict::neutral,
                             Verdict::policy, Verdict::temperror, Verdict::permerror}) {
    if (to_string(verdict) == word) return verdict;
  }
  ADD_FAILURE() << "no such verdict: " << word;
  return Verdict::none;
}

constexpr const char* name_of(Discovery discovery) {
  return discovery == Discovery::psl ? "PSL" : "tree walk";
}

// ---- dmarc-psl

TEST(DmarcConformance, public_suffix_list) {
  const auto cases = read_jsonl("dmarc-psl/cases.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no dmarc-psl in " ONWARD_CONFORMANCE;
  // The suite's own list: its cases follow its date.
  const auto list = PublicSuffixList::load(ONWARD_CONFORMANCE "/dmarc-psl/public_suffix_list.dat");
  ASSERT_TRUE(list);
  Score score("dmarc-psl");
  for (const auto& c : cases) {
    const auto name = normal_domain(text_or_empty(c.at("input")));
    const auto want = text_or_empty(c.at("registrable_domain"));
    const auto got = name ? list->registrable_domain(*name) : std::nullopt;
    EXPECT_TRUE(score.count(got.value_or("") == normal_domain(want).value_or(""))) << c.dump() << got.value_or("");
  }
}

// ---- dmarc-mailauth

Zone mailauth_zone(const json& records) {
  Zone zone;
  for (const auto& [name, entry] : records.items()) {
    if (entry.contains("_error")) {
      const auto error = entry.at("_error").get<std::string>();
      if (error == "ENODATA") zone.exists(name);
      if (error != "ENODATA" && error != "ENOTFOUND") zone.fail(name);
      continue;
    }
    zone.exists(name);
    if (!entry.contains("TXT")) continue;
    for (const auto& strings : entry.at("TXT")) {
      std::string text;
      for (const auto& part : strings) text += part.get<std::string>();
      zone.txt(name, text);
    }
  }
  return zone;
}

std::string domain_part(const std::string& address) {
  return address.substr(address.rfind('@') + 1);
}

// What differs, "" when nothing does.
std::string mailauth_difference(const json& c, Discovery discovery) {
  const auto& expect = c.at("expect");
  const auto want = expect.value("result", std::string());
  if (c.at("header_from").is_array() && c.at("header_from").size() > 1) {
    // "not evaluated: more than one author address": what becomes of those is evaluate_authors' matter.
    return want.starts_with("(not evaluated") ? "" : "several authors with a result";
  }
  const auto& from = c.at("header_from").is_array() ? c.at("header_from").front() : c.at("header_from");
  std::vector<DkimResult> dkim;
  for (const auto& domain : c.at("dkim_pass")) dkim.push_back(signed_by(domain));
  SpfResult spf;
  if (!c.at("spf_pass").empty()) spf = sent_by(c.at("spf_pass").front());
  const Message message{domain_part(from), dkim, spf, discovery};
  const auto zone = mailauth_zone(c.at("zone"));
  std::vector<dns::Question> asked;
  const auto got = message.evaluate(zone, &asked);

  if (!want.empty() && got.result != verdict_of(want)) return "result " + std::string(to_string(got.result));
  const auto policy = got.testing ? lowered(got.policy) : got.policy;
  if (expect.contains("policy") && to_string(policy) != expect.at("policy").get<std::string>()) {
    return "policy " + std::string(to_string(policy));
  }
  if (expect.contains("record_or_org_domain")) {
    const auto organization = listed_organization(got.domain, suffixes());  // what mailauth calls the domain
    const auto name = expect.at("record_or_org_domain").get<std::string>();
    if (got.policy_domain != name && organization != name) return "domain " + got.policy_domain;
  }
  if (expect.contains("dmarc_queries")) {
    std::vector<std::string> names;
    for (const auto& question : asked) {
      if (question.name.starts_with("_dmarc.")) names.push_back(question.name);
    }
    if (names != expect.at("dmarc_queries").get<std::vector<std::string>>()) return "queries";
  }
  return "";
}

// Several records at the author's name, and one further up. RFC 9989 §4.10 step 2: "they are all discarded"; then there
// is "no valid DMARC Policy Record" and §4.10.1 goes on to the organization. The suite's mailauth stopped there, as RFC
// 7489 §6.6.3 step 5 has it; later versions of it go on.
bool has_several_at_author(const json& c) {
  if (!c.at("header_from").is_string()) return false;
  const auto name = "_dmarc." + domain_part(c.at("header_from"));
  const auto& zone = c.at("zone");
  return zone.size() > 1 && zone.contains(name) && zone.at(name).contains("TXT") &&
         zone.at(name).at("TXT").size() > 1 && is_dmarc_record(zone.at(name).at("TXT")[0][0].get<std::string>()) &&
         is_dmarc_record(zone.at(name).at("TXT")[1][0].get<std::string>());
}

void run_mailauth(Discovery discovery) {
  const auto cases = read_jsonl("dmarc-mailauth/cases.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no dmarc-mailauth in " ONWARD_CONFORMANCE;
  Score score(std::string("dmarc-mailauth, ") + name_of(discovery));
  for (const auto& c : cases) {
    if (discovery == Discovery::psl && c.at("spec") != "both") {
      score.leave_out();  // RFC 9989 only
      continue;
    }
    const auto difference = mailauth_difference(c, discovery);
    if (has_several_at_author(c)) {
      EXPECT_TRUE(score.overrule(difference == "result fail")) << difference << "\n" << c.dump();
    } else {
      EXPECT_TRUE(score.count(difference.empty())) << difference << "\n" << c.dump();
    }
  }
}

TEST(DmarcConformance, mailauth_tree_walk) {
  run_mailauth(Discovery::tree_walk);
}
TEST(DmarcConformance, mailauth_psl) {
  run_mailauth(Discovery::psl);
}

// ---- dmarc-mox

Zone mox_zone(const json& records) {
  Zone zone;
  for (const auto& [name, entry] : records.items()) {
    if (!entry.is_array()) {
      zone.fail(name);
      continue;
    }
    for (const auto& text : entry) zone.txt(name, text.get<std::string>());
  }
  return zone;
}

TEST(DmarcConformance, mox_parse) {
  const auto cases = read_jsonl("dmarc-mox/parse.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no dmarc-mox in " ONWARD_CONFORMANCE;
  Score score("dmarc-mox, parse, RFC 7489");
  for (const auto& c : cases) {
    const auto record = parse_dmarc_record(c.at("record").get<std::string>(), Dialect::rfc7489);
    EXPECT_TRUE(score.count(record.has_value() == (c.at("expect") == "valid"))) << c.dump();
  }
}

TEST(DmarcConformance, mox_lookup) {
  const auto cases = read_jsonl("dmarc-mox/lookup.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no dmarc-mox in " ONWARD_CONFORMANCE;
  Score score("dmarc-mox, lookup, PSL");
  for (const auto& c : cases) {
    const auto zone = mox_zone(c.at("zone_txt"));
    const auto got = settle(zone, [&](dns::Lookup& lookup) -> std::optional<ListedPolicy> {
      auto policy = find_listed_policy(text_or_empty(c.at("domain")), suffixes(), lookup);
      if (policy.known == Knowledge::pending) return std::nullopt;
      return policy;
    });
    const auto& expect = c.at("expect");
    const std::string status = got.known == Knowledge::failed ? "temperror" : got.broken ? "permerror" : "none";
    const bool same = status == text_or_empty(expect.at("status")) &&
                      got.record.has_value() == expect.at("record_found").get<bool>() &&
                      (!got.record || got.record->domain == text_or_empty(expect.at("record_domain")));
    EXPECT_TRUE(score.count(same)) << c.dump();
  }
}

// What depends on RFC 7489 alone: pct, and a record that is void because of one bad tag (RFC 9989 §4.7: only the tag
// is).
bool is_of_rfc7489(const json& c) {
  const auto name = "_dmarc." + c.at("from_domain").get<std::string>();
  const auto& zone = c.at("zone_txt");
  if (!zone.contains(name) || !zone.at(name).is_array()) return false;
  const auto text = zone.at(name)[0].get<std::string>();
  return text.find("pct=") != std::string::npos || !parse_dmarc_record(text, Dialect::rfc7489);
}

void run_mox_verify(Discovery discovery) {
  const auto cases = read_jsonl("dmarc-mox/verify.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no dmarc-mox in " ONWARD_CONFORMANCE;
  Score score(std::string("dmarc-mox, verify, ") + name_of(discovery));
  for (const auto& c : cases) {
    if (discovery == Discovery::tree_walk && is_of_rfc7489(c)) {
      score.leave_out();
      continue;
    }
    std::vector<DkimResult> dkim;
    for (const auto& d : c.at("dkim")) dkim.push_back(signed_by(d.at("domain"), verdict_of(d.at("result"))));
    const auto spf = sent_by(text_or_empty(c.at("spf").at("domain")), verdict_of(c.at("spf").at("result")));
    const Message message{c.at("from_domain"), dkim, spf, discovery};
    const auto got = message.evaluate(mox_zone(c.at("zone_txt")));
    const auto& expect = c.at("expect");
    const bool reject = got.result == Verdict::fail && got.policy == DmarcPolicy::reject;  // before pct
    const bool same = to_string(got.result) == text_or_empty(expect.at("result")) &&
                      got.spf_aligned == expect.at("aligned_spf").get<bool>() &&
                      got.dkim_aligned == expect.at("aligned_dkim").get<bool>() &&
                      reject == expect.at("reject").get<bool>() &&
                      (got.policy_domain.empty() || got.policy_domain == text_or_empty(expect.at("record_domain"))) &&
                      (got.policy_domain.empty() || got.testing != expect.at("apply_policy(pct)").get<bool>());
    EXPECT_TRUE(score.count(same)) << c.dump() << to_string(got.result);
  }
}

TEST(DmarcConformance, mox_verify_psl) {
  run_mox_verify(Discovery::psl);
}
TEST(DmarcConformance, mox_verify_tree_walk) {
  run_mox_verify(Discovery::tree_walk);
}

// ---- dmarc-opendmarc

std::string without_outer_dots(std::string name) {
  while (!name.empty() && name.front() == '.') name.erase(0, 1);
  while (!name.empty() && name.back() == '.') name.pop_back();
  return name;
}

bool opendmarc_agrees(const json& c, Discovery discovery) {
  const std::string kind = c.at("kind");
  if (kind == "tld") {
    return listed_organization(text_or_empty(c.at("domain")), suffixes()) == text_or_empty(c.at("expect_org_domain"));
  }
  if (kind == "alignment") {
    // The suite's names with empty labels are no names here: they align with nothing but are equal without them.
    const auto a = without_outer_dots(c.at("a")), b = without_outer_dots(c.at("b"));
    const std::string record = c.at("mode") == "strict" ? "v=DMARC1; p=none; adkim=s" : "v=DMARC1; p=none";
    // The record is where an organization has it: the tree walk has nothing else to go by.
    const auto organization = normal_domain(a) ? listed_organization(a, suffixes()) : a;
    for (const auto& [author, other] : {std::pair(a, b), std::pair(b, a)}) {
      const Message message{author, {signed_by(other)}, {}, discovery};
      const Zone zone{{"_dmarc." + organization, record}};
      if (message.evaluate(zone).dkim_aligned != c.at("aligned").get<bool>()) return false;
    }
    return true;
  }
  if (kind == "parse") {
    const bool valid = parse_dmarc_record(c.at("record").get<std::string>(), Dialect::rfc7489).has_value();
    return valid == (c.at("expect") == "OKAY");
  }
  ADD_FAILURE() << "unknown kind " << kind;
  return false;
}

void run_opendmarc(const std::string& suite, const std::vector<std::string>& kinds, Discovery discovery) {
  const auto cases = read_jsonl("dmarc-opendmarc/cases.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no dmarc-opendmarc in " ONWARD_CONFORMANCE;
  Score score("dmarc-opendmarc, " + suite);
  for (const auto& c : cases) {
    if (std::find(kinds.begin(), kinds.end(), c.at("kind").get<std::string>()) == kinds.end()) continue;
    const bool same = opendmarc_agrees(c, discovery);
    // SOURCE.txt: "Lenient points of OpenDMARC: p=n is accepted". RFC 7489 §6.4 dmarc-request knows three words.
    const bool lenient = c.at("kind") == "parse" && c.at("record").get<std::string>().find("p=n;") != std::string::npos;
    EXPECT_TRUE(lenient ? score.overrule(!same) : score.count(same)) << c.dump();
  }
}

TEST(DmarcConformance, opendmarc_psl) {
  run_opendmarc("parse, alignment, organizational domain, PSL", {"parse", "alignment", "tld"}, Discovery::psl);
}
TEST(DmarcConformance, opendmarc_tree_walk) {
  run_opendmarc("alignment, tree walk", {"alignment"}, Discovery::tree_walk);
}

// OpenDMARC finds some domain in any From. The Author Domain is that of a field that RFC 5322 §3.4 allows (RFC 9989
// §4.2: without one the message is out of its scope), and threats RL-15 wants the others refused: two readers may see
// two authors there. When it is read it is never another domain.
TEST(DmarcConformance, opendmarc_author_domains) {
  const auto cases = read_jsonl("dmarc-opendmarc/cases.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no dmarc-opendmarc in " ONWARD_CONFORMANCE;
  Score score("dmarc-opendmarc, author domain");
  for (const auto& c : cases) {
    if (c.at("kind") != "finddomain") continue;
    const auto authors = parse_authors(c.at("header_value").get<std::string>());
    if (authors.ok()) {
      EXPECT_TRUE(score.count(authors.domains.front() == text_or_empty(c.at("expect_domain")))) << c.dump();
    } else {
      EXPECT_TRUE(score.overrule(authors.fault == AuthorFault::unparsable)) << c.dump();
    }
  }
  EXPECT_GE(score.scored(), 4U);
}

}  // namespace
