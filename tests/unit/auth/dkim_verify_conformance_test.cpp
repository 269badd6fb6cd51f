// The recorded suites of OpenDKIM, Mail::DKIM, dkimpy and mail-auth (GUIDE.md §2.2), in both columns: as RFC 8301 has
// it, and with the switch for rsa-sha1 and small keys, which shows that canonicalisation is right in the old ones too.
#include <gtest/gtest.h>

#include "auth/dkim_verify_support.hpp"
#include "core/text.hpp"
#include "mail/jsonl.hpp"
#include "support/score.hpp"
#include "support/verdicts.hpp"

namespace {

dkim::Zone zone_of(const nlohmann::json& names) {
  dkim::Zone zone;
  for (const auto& [name, value] : names.items()) {
    dns::Answer answer;
    if (value.is_array()) {
      answer = dkim::texts(value.get<std::vector<std::string>>());
    } else if (value == "NXDOMAIN" || value == "NODATA") {
      answer.status = dns::Status::nx_domain;
    } else {
      answer = dkim::failure(value.get<std::string>());
    }
    zone[core::lower(name)] = std::move(answer);
  }
  return zone;
}

auth::DkimSettings settings_of(const nlohmann::json& entry) {
  auth::DkimSettings settings;
  if (entry["time"].is_number()) settings.now = core::Wall::time_point(core::Seconds(entry["time"].get<long>()));
  return settings;
}

std::string message_of(const nlohmann::json& entry) {
  return messages::to_wire(core::base64_decode(entry["raw_b64"].get<std::string>()).value());
}

// A key record with a real g= tag (RFC 4871 §3.6.1), of one of the signatures. RFC 6376 §C.2 took the tag away, and
// what is not known is ignored (§3.6.1).
bool has_granularity(const dkim::Zone& zone, const std::vector<auth::DkimResult>& results) {
  for (const auto& result : results) {
    const auto it = zone.find(core::lower(result.selector + "._domainkey." + result.domain));
    if (it == zone.end()) continue;
    for (const auto& text : it->second.texts) {
      for (const auto tag : core::split(text, ';')) {
        if (core::trim(tag).starts_with("g=") && core::trim(tag) != "g=*") return true;
      }
    }
  }
  return false;
}

// Only signatures of drafts before RFC 4871, without v=1: RFC 6376 §6.1.1, a required tag is missing, "the Verifier
// MUST ignore the DKIM-Signature header field and return PERMFAIL". (dkimpy and libopendkim do.)
bool is_draft_only(std::string_view message) {
  const auto headers = mail::Headers::parse(messages::split(message).section);
  if (!headers || headers->count("dkim-signature") == 0) return false;
  for (const auto* field : headers->all("dkim-signature")) {
    for (const auto tag : core::split(field->value(), ';')) {
      if (mail::unfold(tag) == "v=1") return false;
    }
  }
  return true;
}

// A blank before the colon: such a header never gets as far as DKIM (SM-06).
bool is_ambiguous(std::string_view message) {
  return !mail::Headers::parse(messages::split(message).section);
}

class Suite : public testing::TestWithParam<const char*> {
 protected:
  static std::string name() { return std::string(GetParam()).substr(0, std::string(GetParam()).find('/')); }
};

TEST_P(Suite, as_rfc_8301_has_it) {
  const auto entries = read_jsonl(GetParam());
  if (entries.empty()) GTEST_SKIP() << "no conformance folder";
  Score score(name() + ", RFC 8301");
  for (const auto& entry : entries) {
    const auto message = message_of(entry);
    const auto results = dkim::verify(message, zone_of(entry["dns"]), settings_of(entry));
    if (!is_ambiguous(message)) verdicts::write(GetParam(), entry["id"], {{"dkim", verdicts::of(results)}});
    const bool pass = dkim::any_pass(results), want = entry["expect_rfc8301"] == "pass";
    if (!entry.value("score", true)) {
      score.leave_out();
    } else if (want && is_draft_only(message)) {
      EXPECT_TRUE(score.overrule(!pass)) << entry["id"] << "\n" << dkim::describe(results);
    } else {
      EXPECT_TRUE(score.count(pass == want)) << entry["id"] << "\n" << dkim::describe(results);
    }
  }
}

TEST_P(Suite, with_old_algorithms_allowed) {
  const auto entries = read_jsonl(GetParam());
  if (entries.empty()) GTEST_SKIP() << "no conformance folder";
  Score score(name() + ", rsa-sha1 and small keys allowed");
  for (const auto& entry : entries) {
    if (!entry.value("score", true)) {
      score.leave_out();
      continue;
    }
    auto settings = settings_of(entry);
    settings.allow_rsa_sha1 = true;
    settings.min_key_bits = 384;
    const auto message = message_of(entry);
    const auto zone = zone_of(entry["dns"]);
    const auto results = dkim::verify(message, zone, settings);
    const auto want = entry["expect"].get<std::string>();
    const bool pass = dkim::any_pass(results);
    bool right = pass == (want == "pass");
    if (want == "temperror") right = !results.empty() && results.front().result == auth::Verdict::temperror;
    SCOPED_TRACE(entry["id"].get<std::string>() + "\n" + dkim::describe(results));
    if (want == "pass" && (is_draft_only(message) || is_ambiguous(message))) {
      EXPECT_TRUE(score.overrule(!pass));
    } else if (want != "pass" && has_granularity(zone, results)) {
      EXPECT_TRUE(score.overrule(pass));
    } else {
      EXPECT_TRUE(score.count(right));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(DkimConformance, Suite,
                         testing::Values("dkim-opendkim/cases.jsonl", "dkim-mail-dkim/cases.jsonl",
                                         "dkim-dkimpy/cases.jsonl", "dkim-mail-auth/cases.jsonl"),
                         [](const auto& info) {
                           std::string name(info.param);
                           name.resize(name.find('/'));
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
