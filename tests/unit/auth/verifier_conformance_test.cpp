// Whole messages with client, envelope and DNS of rspamd's functional tests (GUIDE.md §2.4, auth-rspamd), through the
// Verifier: SPF, DKIM, ARC and DMARC together, in both ways of DMARC's discovery.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "auth/dmarc_discovery.hpp"
#include "auth/messages.hpp"
#include "auth/verify.hpp"
#include "core/text.hpp"
#include "mail/jsonl.hpp"
#include "support/score.hpp"
#include "support/verdicts.hpp"

namespace {

using nlohmann::json;

constexpr std::pair<const char*, dns::Type> kTypes[] = {
    {"A", dns::Type::a},     {"AAAA", dns::Type::aaaa},   {"MX", dns::Type::mx},    {"TXT", dns::Type::txt},
    {"PTR", dns::Type::ptr}, {"CNAME", dns::Type::cname}, {"TLSA", dns::Type::tlsa}};

dns::Answer answer_of(const json& values, dns::Type type) {
  dns::Answer answer;
  if (!values.is_array()) {
    if (values == "NODATA") answer.status = dns::Status::no_data;
    if (values == "NXDOMAIN") answer.status = dns::Status::nx_domain;
    return answer;  // TIMEOUT, SERVFAIL, REFUSED
  }
  answer.status = values.empty() ? dns::Status::no_data : dns::Status::ok;
  for (const auto& value : values) {
    const auto text = value.get<std::string>();
    const auto blank = text.find(' ');
    if (type == dns::Type::a || type == dns::Type::aaaa)
      answer.addresses.push_back(core::IpAddress::parse(text).value());
    if (type == dns::Type::txt) answer.texts.push_back(text);
    if (type == dns::Type::ptr || type == dns::Type::cname) answer.names.push_back(core::lower(text));
    if (type == dns::Type::mx) {
      answer.mx.push_back({static_cast<std::uint16_t>(std::stoi(text.substr(0, blank))), text.substr(blank + 1)});
    }
  }
  return answer;
}

// Unlisted name: it does not exist; listed name without the type: no data.
dns::Answer resolve(const json& zone, const dns::Question& question) {
  dns::Answer none;
  none.status = dns::Status::nx_domain;
  const auto* const type = std::find_if(std::begin(kTypes), std::end(kTypes),
                                        [&](const auto& entry) { return entry.second == question.type; });
  for (const auto& [name, records] : zone.items()) {
    if (!core::iequals(name, question.name)) continue;
    if (records.contains(type->first)) return answer_of(records.at(type->first), question.type);
    none.status = dns::Status::no_data;
  }
  return none;
}

std::string text_or_empty(const json& value) {
  return value.is_string() ? value.get<std::string>() : std::string();
}

const auth::PublicSuffixList& suffixes() {
  static const auto list = auth::PublicSuffixList::load().value();
  return list;
}

struct Verified {
  auth::Results results;
  auth::Authors authors;
};

Verified verify(const json& c, const json& zone, auth::Discovery discovery) {
  auth::SpfInput envelope;
  if (const auto ip = core::IpAddress::parse(text_or_empty(c.at("client_ip")))) envelope.client = *ip;
  envelope.helo = text_or_empty(c.at("helo"));
  const auto from = text_or_empty(c.at("mail_from"));
  if (const auto at = from.rfind('@'); at != std::string::npos) {
    envelope.mail_from.mailbox = {from.substr(0, at), from.substr(at + 1)};
  }
  const auto message = messages::to_wire(core::base64_decode(c.at("raw_b64").get<std::string>()).value());
  const auto [section, body] = messages::split(message);
  auth::DkimLibrary library;
  auth::VerifySettings settings;
  settings.discovery = discovery;
  settings.suffixes = &suffixes();
  auth::Verifier verifier(library, settings, envelope);
  verifier.headers(mail::Headers::parse(section).value());
  verifier.body(body);
  dns::Lookup lookup;
  for (;;) {
    if (auto results = verifier.finish(lookup)) return {*results, verifier.authors()};
    for (const auto& question : std::vector<dns::Question>(lookup.wanted())) {
      lookup.answer(question, resolve(zone, question));
    }
  }
}

// {"spf": "fail"}, {"dkim": "pass"}, {"dmarc": "fail p=reject"}, {"arc": "pass"}. Of several DKIM signatures any may be
// meant.
bool holds(const json& means, const auth::Results& results) {
  for (const auto& [method, value] : means.items()) {
    const auto text = value.get<std::string>();
    const auto word = text.substr(0, text.find(' '));
    bool same = false;
    if (method == "spf") same = to_string(results.spf.result) == word;
    if (method == "arc") same = to_string(results.arc.result) == word;
    if (method == "dkim") {
      same = std::any_of(results.dkim.begin(), results.dkim.end(),
                         [&](const auth::DkimResult& dkim) { return to_string(dkim.result) == word; });
    }
    if (method == "dmarc") {
      const auto policy = text.find("p=");
      same = to_string(results.dmarc.result) == word &&
             (policy == std::string::npos || to_string(results.dmarc.policy) == text.substr(policy + 2));
    }
    if (!same) return false;
  }
  return true;
}

std::string describe(const auth::Results& results) {
  std::string out = "spf=" + std::string(to_string(results.spf.result)) + " (" + results.spf.reason + ")";
  for (const auto& dkim : results.dkim)
    out += " dkim=" + std::string(to_string(dkim.result)) + " (" + dkim.reason + ")";
  return out + " dmarc=" + std::string(to_string(results.dmarc.result)) +
         " p=" + std::string(to_string(results.dmarc.policy)) + " (" + results.dmarc.reason +
         ") arc=" + std::string(to_string(results.arc.result)) + " (" + results.arc.reason + ")";
}

// rspamd goes by the Public Suffix List. Where the domain that the list calls the organization has no record of its
// own, the tree walk cannot find it: RFC 9989 §4.10.2 then takes the author's domain alone for the organization.
bool has_silent_organization(const auth::Authors& authors, const json& zone) {
  if (authors.domains.size() != 1) return false;
  const auto organization = auth::listed_organization(authors.domains.front(), suffixes());
  return organization != authors.domains.front() &&
         auth::select_dmarc_record(resolve(zone, {"_dmarc." + organization, dns::Type::txt}).texts).found ==
             auth::Found::none;
}

bool wants_dmarc_pass(const json& c) {
  const auto& expect = c.at("expect");
  return std::any_of(expect.begin(), expect.end(),
                     [](const json& one) { return one.at("means").value("dmarc", "") == "pass"; });
}

void run_rspamd(auth::Discovery discovery) {
  const auto cases = read_jsonl("auth-rspamd/cases.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no auth-rspamd in " ONWARD_CONFORMANCE;
  std::map<std::string, json> zones;
  Score score(std::string("auth-rspamd, ") + (discovery == auth::Discovery::psl ? "PSL" : "tree walk"));
  for (const auto& c : cases) {
    const auto file = c.at("zone_file").get<std::string>();
    if (!zones.contains(file)) zones[file] = json::parse(std::ifstream(ONWARD_CONFORMANCE "/auth-rspamd/" + file));
    const auto [results, authors] = verify(c, zones[file], discovery);
    if (discovery == auth::Discovery::tree_walk) {
      verdicts::write("auth-rspamd/cases.jsonl", c.at("id"),
                      {{"spf", verdicts::of(results.spf)},
                       {"dkim", verdicts::of(results.dkim)},
                       {"dmarc", verdicts::of(results.dmarc)},
                       {"arc", verdicts::of(results.arc)}});
    }
    if (!c.at("score").get<bool>()) {
      score.leave_out();
      continue;
    }
    SCOPED_TRACE(c.at("id").get<std::string>() + " wants " + c.at("expect").dump() + ", not " + c.at("forbid").dump() +
                 "\n" + describe(results));
    if (discovery == auth::Discovery::tree_walk && wants_dmarc_pass(c) &&
        has_silent_organization(authors, zones[file])) {
      EXPECT_TRUE(score.overrule(results.dmarc.result == auth::Verdict::fail));
      continue;
    }
    bool right = true;
    for (const auto& expect : c.at("expect")) right = right && holds(expect.at("means"), results);
    for (const auto& forbid : c.at("forbid")) right = right && !holds(forbid.at("means"), results);
    EXPECT_TRUE(score.count(right));
  }
}

TEST(VerifierConformance, rspamd_tree_walk) {
  run_rspamd(auth::Discovery::tree_walk);
}
TEST(VerifierConformance, rspamd_psl) {
  run_rspamd(auth::Discovery::psl);
}

}  // namespace
