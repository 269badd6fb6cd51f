// SMTP TLS Reporting (RFC 8460): what became of each session's TLS, and the report made of it. It is counted by policy
// and day in the store (queue/tls_counts.hpp). Reading a destination's TLSRPT record and writing the JSON are pure; who
// sends reports is another's matter.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.hpp"
#include "queue/activity.hpp"

namespace forwarder {

// RFC 8460 §4.2: what was in force.
struct TlsPolicyUsed {
  enum class Type { none, tlsa, sts } type = Type::none;
  std::string domain;                 // of the policy (§1.1): the recipient's, or the TLSA base domain
  std::vector<std::string> strings;   // the TLSA records, or the lines of the policy file
  std::vector<std::string> mx_hosts;  // patterns of the policy file
  friend auto operator<=>(const TlsPolicyUsed&, const TlsPolicyUsed&) = default;
};

// RFC 8460 §4.3
enum class TlsResult {
  success,
  starttls_not_supported,
  certificate_host_mismatch,
  certificate_expired,
  certificate_not_trusted,
  validation_failure,
  tlsa_invalid,
  dnssec_invalid,
  sts_policy_fetch_error,
  sts_policy_invalid,
  sts_webpki_invalid,
};
std::string_view to_string(TlsResult result);

// What one session came to. Equal failures are counted together.
struct TlsFailure {
  TlsResult result = TlsResult::success;
  std::string sending_ip, receiving_host, receiving_ip;  // "" where there was none
  std::string reason;                                    // our words; "" when the result says it all
  friend auto operator<=>(const TlsFailure&, const TlsFailure&) = default;
};

using TlsDay = std::chrono::sys_days;  // UTC

class TlsResultSink {
 public:
  virtual ~TlsResultSink() = default;
  // By any shard; must not block. `failure.result` may be success.
  virtual void record(const TlsPolicyUsed& policy, const TlsFailure& failure, core::Wall::time_point now) = 0;
};

// All that was seen of one policy on one day.
struct TlsPolicyResults {
  TlsPolicyUsed policy;
  std::uint64_t successes = 0, failures = 0;
  std::vector<std::pair<TlsFailure, std::uint64_t>> details;  // with their counts
};

// Into the store. A full buffer loses a count, never time.
class TlsResultLog final : public TlsResultSink {
 public:
  explicit TlsResultLog(queue::ActivityLog& log) : log_(log) {}
  void record(const TlsPolicyUsed& policy, const TlsFailure& failure, core::Wall::time_point now) override;

 private:
  queue::ActivityLog& log_;
};

// How the store has it: of a policy longer than queue::kMaxTlsPolicy only the first records, lines and hosts.
queue::TlsSighting to_sighting(const TlsPolicyUsed& policy, const TlsFailure& failure, core::Wall::time_point now);

// What one report is about.
struct TlsDomainResults {
  TlsDay day{};
  std::string domain;
  std::vector<TlsPolicyResults> policies;
};
// Of rows as a query gives them. Rows that are none of ours are left out.
std::vector<TlsDomainResults> by_domain(const std::vector<queue::TlsCount>& rows);

// RFC 8460 §4.4. `id` must be unique; `contact` is an address.
struct TlsReportHeader {
  std::string organization, contact, id;
  TlsDay day{};
};
std::string write_tls_report(const TlsReportHeader& header, const std::vector<TlsPolicyResults>& results);

// The TXT record at _smtp._tls.DOMAIN (§3): where reports go, "mailto:..." and "https://..." in its order; URIs of
// other schemes are left out. Nothing: no such record, or one that breaks the grammar.
std::optional<std::vector<std::string>> parse_tlsrpt_record(std::string_view txt);

}  // namespace forwarder
