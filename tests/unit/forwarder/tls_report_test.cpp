// TLS reports (RFC 8460): what is counted, the JSON that comes of it, held to the same schema as the reports of others
// in
// ../shared/conformance/tlsrpt-mtasts, and the records that say where reports go.
#include "forwarder/tls_report.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>

#include "forwarder/mta_sts.hpp"
#include "mail/jsonl.hpp"
#include "support/score.hpp"

namespace forwarder {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

const core::Wall::time_point kNoon = std::chrono::sys_days(std::chrono::year(2026) / 3 / 14) + 12h;

// RFC 8460 §4.4, as strict as its samples allow: "mx-host" is a string there, an array elsewhere. "" when it holds.
class Schema {
 public:
  std::string check(const json& report) {
    need_text(report, "organization-name", "contact-info", "report-id");
    const auto range = report.value("date-range", json::object());
    for (const auto* key : {"start-datetime", "end-datetime"}) {
      const auto text = range.value(key, std::string());
      need(text.size() == 20 && text[10] == 'T' && text.back() == 'Z', key);
    }
    need(report.contains("policies") && report["policies"].is_array(), "policies");
    for (const auto& entry : report.value("policies", json::array())) check_policy(entry);
    return wrong_;
  }

 private:
  void check_policy(const json& entry) {
    static const std::set<std::string> kTypes{"tlsa", "sts", "no-policy-found"};
    const auto policy = entry.value("policy", json::object());
    need(kTypes.contains(policy.value("policy-type", std::string())), "policy-type");
    need_text(policy, "policy-domain");
    if (policy.contains("policy-string")) need(policy["policy-string"].is_array(), "policy-string");
    if (policy.contains("mx-host")) need(policy["mx-host"].is_array() || policy["mx-host"].is_string(), "mx-host");
    const auto summary = entry.value("summary", json::object());
    need_count(summary, "total-successful-session-count", "total-failure-session-count");
    for (const auto& detail : entry.value("failure-details", json::array())) check_detail(detail);
  }
  void check_detail(const json& detail) {
    static const std::set<std::string> kResults{"starttls-not-supported", "certificate-host-mismatch",
                                                "certificate-expired",    "certificate-not-trusted",
                                                "validation-failure",     "tlsa-invalid",
                                                "dnssec-invalid",         "dane-required",
                                                "sts-policy-fetch-error", "sts-policy-invalid",
                                                "sts-webpki-invalid"};
    static const std::set<std::string> kTexts{"result-type",           "sending-mta-ip", "receiving-mx-hostname",
                                              "receiving-mx-helo",     "receiving-ip",   "failure-reason-code",
                                              "additional-information"};
    need(kResults.contains(detail.value("result-type", std::string())), "result-type " + detail.dump());
    need_count(detail, "failed-session-count");
    for (const auto& [key, value] : detail.items()) {
      if (key == "failed-session-count") continue;
      need(kTexts.contains(key) && value.is_string() && !value.get<std::string>().empty(), key);
    }
  }
  void need(bool good, const std::string& what) {
    if (!good && wrong_.empty()) wrong_ = what;
  }
  template <class... Keys>
  void need_text(const json& object, Keys... keys) {
    (need(object.contains(keys) && object[keys].is_string() && !object[keys].template get<std::string>().empty(), keys),
     ...);
  }
  template <class... Keys>
  void need_count(const json& object, Keys... keys) {
    (need(object.contains(keys) && object[keys].is_number_unsigned(), keys), ...);
  }
  std::string wrong_;
};

TEST(TlsReportConformance, the_schema_takes_the_reports_of_others) {
  const std::filesystem::path folder = ONWARD_CONFORMANCE "/tlsrpt-mtasts/tlsrpt";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no ../shared/conformance";
  Score score("tlsrpt-mtasts, reports by our schema");
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder)) {
    if (file.path().extension() != ".json") continue;
    std::ifstream in(file.path());
    const auto report = json::parse(in);
    const auto wrong = Schema().check(report);
    if (report.dump().find("invalid-policy-type") != std::string::npos) {  // written to be broken
      EXPECT_TRUE(score.overrule(!wrong.empty())) << file.path();
    } else {
      EXPECT_TRUE(score.count(wrong.empty())) << file.path() << ": " << wrong;
    }
  }
}

TEST(TlsReportConformance, records) {
  const auto cases = read_jsonl("tlsrpt-mtasts/tlsrpt-records.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no ../shared/conformance";
  Score score("tlsrpt-mtasts, TLSRPT records");
  for (const auto& c : cases) {
    const auto uris = parse_tlsrpt_record(c.at("txt").get<std::string>());
    EXPECT_TRUE(score.count(uris.has_value() == c.at("valid").get<bool>())) << c;
  }
}

TEST(TlsReport, where_reports_go) {
  using List = std::vector<std::string>;
  EXPECT_EQ(parse_tlsrpt_record("v=TLSRPTv1; rua=mailto:a@b.example , https://c.example/x%20y; rua=ftp://d; x=y"),
            (List{"mailto:a@b.example", "https://c.example/x%20y"}));
  EXPECT_EQ(parse_tlsrpt_record("v=TLSRPTv1;rua=gopher:x"), List{});
  EXPECT_EQ(parse_tlsrpt_record(own_tlsrpt_record("tls@forward.example")), List{"mailto:tls@forward.example"});
  for (const std::string_view bad :
       {"", "v=TLSRPTv1", " v=TLSRPTv1; rua=mailto:a@b", "v=TLSRPTv1; rua=mailto:", "v=TLSRPTv1; rua=mailto:a@b!10m",
        "v=TLSRPTv1; rua=https://a/%2", "v=TLSRPTv1; rua"}) {
    EXPECT_FALSE(parse_tlsrpt_record(bad)) << bad;
  }
}

TlsPolicyUsed sts(const std::string& domain) {
  TlsPolicyUsed policy;
  policy.type = TlsPolicyUsed::Type::sts;
  policy.domain = domain;
  policy.strings = {"version: STSv1", "mode: enforce", "mx: mx.a.example", "max_age: 86400"};
  policy.mx_hosts = {"mx.a.example"};
  return policy;
}

TlsFailure failure(TlsResult result, const std::string& host = "mx.a.example") {
  TlsFailure f;
  f.result = result;
  f.sending_ip = "192.0.2.1";
  f.receiving_host = host;
  f.receiving_ip = "192.0.2.2";
  return f;
}

// What the store makes of it: sorted, equal ones together.
struct Seen {
  std::map<queue::TlsSighting, std::uint64_t> rows;
  void record(const TlsPolicyUsed& policy, const TlsFailure& failure, core::Wall::time_point now = kNoon) {
    ++rows[to_sighting(policy, failure, now)];
  }
  std::vector<TlsDomainResults> results() const {
    std::vector<queue::TlsCount> out;
    for (const auto& [what, count] : rows) out.push_back({what, count});
    return by_domain(out);
  }
};

TEST(TlsReport, counts_by_policy_and_day_and_writes_valid_json) {
  Seen seen;
  for (int i = 0; i < 3; ++i) seen.record(sts("a.example"), {});
  for (int i = 0; i < 2; ++i) seen.record(sts("a.example"), failure(TlsResult::certificate_expired));
  seen.record(sts("a.example"), failure(TlsResult::starttls_not_supported));
  TlsFailure fetch;
  fetch.result = TlsResult::sts_policy_fetch_error;
  fetch.reason = "status 404 \xff";
  TlsPolicyUsed none;
  none.domain = "a.example";
  seen.record(none, fetch);
  TlsPolicyUsed tlsa;
  tlsa.type = TlsPolicyUsed::Type::tlsa;
  tlsa.domain = "mx.b.example";
  tlsa.strings = {"3 1 1 00"};
  seen.record(tlsa, failure(TlsResult::validation_failure));
  seen.record(tlsa, {}, kNoon + 24h);

  const auto today = std::chrono::floor<std::chrono::days>(kNoon);
  const auto results = seen.results();
  ASSERT_EQ(results.size(), 3U);
  EXPECT_EQ(results[0].domain + results[1].domain + results[2].domain, "a.examplemx.b.examplemx.b.example");
  EXPECT_EQ(results[0].day, today);
  EXPECT_EQ(results[1].day, today);
  EXPECT_EQ(results[2].day, today + std::chrono::days(1));
  EXPECT_EQ(results[1].policies.at(0).policy, tlsa);
  TlsReportHeader header{"Forward Ltd.", "tls@forward.example", "2026-03-14-a.example@mx.forward.example", today};
  const auto text = write_tls_report(header, results[0].policies);
  const auto report = json::parse(text);
  EXPECT_EQ(Schema().check(report), "") << text;
  EXPECT_EQ(report["date-range"]["start-datetime"], "2026-03-14T00:00:00Z");
  EXPECT_EQ(report["date-range"]["end-datetime"], "2026-03-14T23:59:59Z");
  ASSERT_EQ(report["policies"].size(), 2U);
  const auto& by_sts = report["policies"][0];
  EXPECT_EQ(by_sts["policy"]["policy-type"], "sts");
  EXPECT_EQ(by_sts["policy"]["mx-host"], json({"mx.a.example"}));
  EXPECT_EQ(by_sts["summary"]["total-successful-session-count"], 3);
  EXPECT_EQ(by_sts["summary"]["total-failure-session-count"], 3);
  ASSERT_EQ(by_sts["failure-details"].size(), 2U);
  EXPECT_EQ(by_sts["failure-details"][0]["result-type"], "certificate-expired");
  EXPECT_EQ(by_sts["failure-details"][0]["failed-session-count"], 2);
  EXPECT_EQ(report["policies"][1]["policy"]["policy-type"], "no-policy-found");
  EXPECT_EQ(Schema().check(json::parse(write_tls_report(header, results[1].policies))), "");
  EXPECT_EQ(Schema().check(json::parse(write_tls_report(header, {}))), "");
}

TEST(TlsReport, every_result_has_a_name_of_the_schema) {
  Seen seen;
  for (int i = 1; i <= static_cast<int>(TlsResult::sts_webpki_invalid); ++i) {
    seen.record(sts("a.example"), failure(static_cast<TlsResult>(i)));
  }
  const auto results = seen.results().at(0);
  EXPECT_EQ(results.policies.at(0).details.size(), 10U) << "and each is read again";
  TlsReportHeader header{"o", "c@o.example", "id", results.day};
  EXPECT_EQ(Schema().check(json::parse(write_tls_report(header, results.policies))), "");
}

TEST(TlsReport, a_long_policy_is_kept_in_part) {
  auto policy = sts("a.example");
  for (int i = 0; i < 1000; ++i) policy.strings.push_back("mx: host" + std::to_string(i) + ".a.example");
  const auto sighting = to_sighting(policy, {}, kNoon);
  EXPECT_LE(sighting.policy.size(), queue::kMaxTlsPolicy);
  const auto read = by_domain({{sighting, 1}}).at(0).policies.at(0).policy;
  EXPECT_GT(read.strings.size(), 10U);
  EXPECT_EQ(read.mx_hosts, policy.mx_hosts);
  policy.strings = {std::string(5000, 'x')};
  EXPECT_TRUE(by_domain({{to_sighting(policy, {}, kNoon), 1}}).at(0).policies.at(0).policy.strings.empty());
}

TEST(TlsReport, rows_that_are_none_of_ours_are_left_out) {
  const auto good = to_sighting(sts("a.example"), {}, kNoon);
  std::vector<queue::TlsCount> rows(5, {good, 1});
  rows[0].what.policy = "";
  rows[1].what.policy = R"({"type": "sts", "strings": 7, "hosts": []})";
  rows[2].what.policy = R"({"type": "other", "strings": [], "hosts": []})";
  rows[3].what.result = "other";
  const auto found = by_domain(rows);
  ASSERT_EQ(found.size(), 1U);
  ASSERT_EQ(found[0].policies.size(), 1U);
  EXPECT_EQ(found[0].policies[0].successes, 1U);
}

}  // namespace
}  // namespace forwarder
