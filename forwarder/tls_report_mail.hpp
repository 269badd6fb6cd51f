// A TLS report on its way (RFC 8460 §5): where a destination wants it, and the message for the queue that carries it.
// Pure but for the keys. Who sends reports, and when, is app/tls_reporter.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "forwarder/reports.hpp"
#include "forwarder/tls_report.hpp"

namespace forwarder {

// Where a report goes: one of the two.
struct TlsReportTarget {
  std::optional<mail::Mailbox> mail;  // "mailto:"
  std::string host, path;             // "https:"
  std::uint16_t port = 443;
};
// One URI of a TLSRPT record. Nothing: it is none that we can use (another scheme, no address, a user name or an
// address literal as its host).
std::optional<TlsReportTarget> parse_tls_report_uri(std::string_view uri);

// The report as it travels, by mail and by HTTPS (RFC 8460 §5.2: application/tlsrpt+gzip). The same octets for the same
// report. Throws std::bad_alloc, no more.
std::string compress_tls_report(std::string_view report);
inline constexpr std::string_view kTlsReportType = "application/tlsrpt+gzip";

// The signed message around a compressed report, with "TLS-Required: No", since a report about broken TLS must arrive
// all the same (RFC 8460 §3). From the null sender: nobody is told when it fails. Errors: Errc::exhausted (no signature
// could be made, or the report is larger than queue::kMaxReport).
core::Result<queue::Composed> make_tls_report_mail(const Config& config, const TlsReportHeader& header,
                                                   const std::string& domain, const std::string& compressed,
                                                   const mail::Mailbox& to, ReportTime time);

// The whole report in at most `octets`: details are left out where it would be larger, never sums.
std::string fit_tls_report(const TlsReportHeader& header, std::vector<TlsPolicyResults> results, std::size_t octets);

}  // namespace forwarder
