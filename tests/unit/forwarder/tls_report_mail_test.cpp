// Where reports go and how they travel: URIs of TLSRPT records (RFC 8460 §3), the mail, its size.
#include "forwarder/tls_report_mail.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/text.hpp"

namespace forwarder {
namespace {

TlsReportHeader header() {
  TlsReportHeader out;
  out.organization = "mx.forward.test";
  out.contact = "postmaster@mx.forward.test";
  out.id = "2026-11-27.abc@mx.forward.test";
  out.day = TlsDay(std::chrono::days(20'784));
  return out;
}

TEST(TlsReportMail, uris) {
  EXPECT_EQ(parse_tls_report_uri("mailto:tls@inbox.test")->mail->to_string(), "tls@inbox.test");
  EXPECT_EQ(parse_tls_report_uri("MAILTO:tls%2Breports@inbox.test?subject=x")->mail->to_string(),
            "tls+reports@inbox.test");
  const auto plain = parse_tls_report_uri("https://Reports.Inbox.test");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->host, "reports.inbox.test");
  EXPECT_EQ(plain->path, "/");
  EXPECT_EQ(plain->port, 443);
  const auto full = parse_tls_report_uri("https://inbox.test:8443/v1/tls?to=a#part");
  ASSERT_TRUE(full);
  EXPECT_EQ(full->port, 8443);
  EXPECT_EQ(full->path, "/v1/tls?to=a");
  for (const char* bad : {"", "mailto:", "mailto:nobody", "mailto:a%0d%0aRCPT@inbox.test", "mailto:a%4",
                          "mailto:a@[127.0.0.1]", "https:", "https://", "https:/x", "https://user@inbox.test/",
                          "https://127.0.0.1/", "https://[::1]/", "https://inbox.test:0/", "https://inbox.test:65536/",
                          "https://inbox.test:x/", "http://inbox.test/", "ftp://inbox.test/"}) {
    EXPECT_FALSE(parse_tls_report_uri(bad)) << bad;
  }
}

TEST(TlsReportMail, says_whom_it_is_about_and_that_tls_is_not_required) {
  Config config;
  config.hostname = "mx.forward.test";
  const std::string report = R"({"organization-name": "mx.forward.test"})";
  const auto made =
      make_tls_report_mail(config, header(), "inbox.test", report, {"tls", "reports.test"}, {1000, 1'800'000'000});
  ASSERT_TRUE(made);
  const auto& text = made->octets;
  for (const char* wanted :
       {"To: <tls@reports.test>\r\n", "TLS-Required: No\r\n", "TLS-Report-Domain: inbox.test\r\n",
        "TLS-Report-Submitter: mx.forward.test\r\n", "report-type=\"tlsrpt\"", "application/tlsrpt+gzip"}) {
    EXPECT_NE(text.find(wanted), std::string::npos) << wanted << text;
  }
  EXPECT_NE(text.find(core::base64_encode(report)), std::string::npos);
  EXPECT_EQ(text.find("\n\n"), std::string::npos);
  const auto& envelope = made->message.envelope;
  EXPECT_TRUE(envelope.sender.null());
  EXPECT_TRUE(envelope.tls_optional);
  EXPECT_EQ(envelope.size, text.size());
  EXPECT_EQ(text.substr(envelope.header_size, 2), "\r\n");
  ASSERT_EQ(made->message.recipients.size(), 1U);
  EXPECT_EQ(made->message.recipients.front().hop, "mx:reports.test");
}

// Python's gzip reads it in tests/e2e/tlsrpt_test.py.
TEST(TlsReportMail, compressed_it_is_small_and_always_the_same) {
  std::string report;
  for (int i = 0; i < 5000; ++i) report += "{\"receiving-ip\": \"192.0.2." + std::to_string(i % 250) + "\"}";
  const auto compressed = compress_tls_report(report);
  EXPECT_EQ(compressed.substr(0, 3), "\x1f\x8b\x08");
  EXPECT_LT(compressed.size(), report.size() / 10);
  EXPECT_EQ(compressed, compress_tls_report(report));
  EXPECT_FALSE(compress_tls_report("").empty());
}

TEST(TlsReportMail, two_are_never_one) {
  Config config;
  config.hostname = "mx.forward.test";
  const auto one = make_tls_report_mail(config, header(), "inbox.test", "{}", {"tls", "a.test"}, {1000, 1});
  const auto other = make_tls_report_mail(config, header(), "inbox.test", "{}", {"tls", "b.test"}, {1000, 1});
  EXPECT_NE(one->message.envelope.id, other->message.envelope.id);
}

TEST(TlsReportMail, too_large_a_report_loses_details_not_sums) {
  TlsPolicyResults results;
  results.policy.domain = "inbox.test";
  results.failures = 5000;
  for (int i = 0; i < 100; ++i) {
    TlsFailure failure;
    failure.result = TlsResult::validation_failure;
    failure.reason = std::string(100, 'x') + std::to_string(i);
    results.details.emplace_back(failure, i == 77 ? 1000 : 1);
  }
  const auto whole = fit_tls_report(header(), {results}, 1'000'000);
  const auto cut = fit_tls_report(header(), {results}, 4000);
  EXPECT_GT(whole.size(), 10'000U);
  EXPECT_LE(cut.size(), 4000U);
  const auto read = nlohmann::json::parse(cut)["policies"][0];
  EXPECT_EQ(read["summary"]["total-failure-session-count"], 5000);
  EXPECT_EQ(read["failure-details"][0]["failed-session-count"], 1000) << "the most frequent ones stay";
}

}  // namespace
}  // namespace forwarder
