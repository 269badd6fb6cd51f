// The recorded suites of OpenDKIM, Mail::DKIM, dkimpy and mail-auth (GUIDE.md §2.2), in both columns: as RFC 8301 has
// it, and with the switch for rsa-sha1 and small keys, which shows that canonicalisation is right in the old ones too.
#include <gtest/gtest.h>

#include "auth/dkim_verify_support.hpp"
#include "core/text.hpp"
#include "mail/jsonl.hpp"

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

// Key records with a real g= tag (RFC 4871): RFC 6376 dropped it, and what is not known is ignored.
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

// Only signatures of drafts before RFC 4871, without v=1: a MUST NOT of RFC 6376 §6.1.1 (dkimpy and libopendkim agree).
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

class Suite : public testing::TestWithParam<const char*> {};

TEST_P(Suite, as_rfc_8301_has_it) {
  const auto entries = read_jsonl(GetParam());
  if (entries.empty()) GTEST_SKIP() << "no conformance folder";
  for (const auto& entry : entries) {
    if (!entry.value("score", true)) continue;
    const auto message = messages::to_wire(core::base64_decode(entry["raw_b64"].get<std::string>()).value());
    const auto results = dkim::verify(message, zone_of(entry["dns"]), settings_of(entry));
    EXPECT_EQ(dkim::any_pass(results), entry["expect_rfc8301"] == "pass" && !is_draft_only(message))
        << entry["id"] << "\n"
        << dkim::describe(results);
  }
}

TEST_P(Suite, with_old_algorithms_allowed) {
  const auto entries = read_jsonl(GetParam());
  if (entries.empty()) GTEST_SKIP() << "no conformance folder";
  for (const auto& entry : entries) {
    if (!entry.value("score", true)) continue;
    auto settings = settings_of(entry);
    settings.allow_rsa_sha1 = true;
    settings.min_key_bits = 384;
    const auto message = messages::to_wire(core::base64_decode(entry["raw_b64"].get<std::string>()).value());
    const auto zone = zone_of(entry["dns"]);
    const auto results = dkim::verify(message, zone, settings);
    // No results: blanks before the colon of a field, which never reach this far (SM-06).
    if (results.empty() || has_granularity(zone, results)) continue;
    const auto want = entry["expect"].get<std::string>();
    EXPECT_EQ(dkim::any_pass(results), want == "pass" && !is_draft_only(message)) << entry["id"] << "\n"
                                                                                  << dkim::describe(results);
    if (want == "temperror") {
      EXPECT_EQ(results.at(0).result, auth::Verdict::temperror) << entry["id"] << "\n" << dkim::describe(results);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(DkimVerify, Suite,
                         testing::Values("dkim-opendkim/cases.jsonl", "dkim-mail-dkim/cases.jsonl",
                                         "dkim-dkimpy/cases.jsonl", "dkim-mail-auth/cases.jsonl"),
                         [](const auto& info) {
                           std::string name(info.param);
                           name.resize(name.find('/'));
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
