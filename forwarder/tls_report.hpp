// SMTP TLS Reporting (RFC 8460): what became of each session's TLS, counted by policy and day, and the report made of
// it. Records are taken by an interface, so that they can go to a durable store; TlsResults keeps them in memory.
// Reading a destination's TLSRPT record and writing the JSON are pure; who sends reports is another's matter.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.hpp"

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

// In memory, bounded: what comes when a table is full is only counted in the sums, or not at all.
class TlsResults final : public TlsResultSink {
 public:
  static constexpr std::size_t kMaxDomains = 10'000;                        // a day
  static constexpr std::size_t kMaxPolicies = 20;                           // of a domain
  static constexpr std::size_t kMaxDetails = 100;                           // of a policy
  static constexpr unsigned kDaysKept = 3;                                  // today included
  static constexpr std::size_t kMaxOctets = std::size_t{16} * 1024 * 1024;  // of all policies and details, about

  void record(const TlsPolicyUsed& policy, const TlsFailure& failure, core::Wall::time_point now) override;

  std::vector<TlsDay> days() const;
  std::vector<std::string> domains(TlsDay day) const;
  std::vector<TlsPolicyResults> results(TlsDay day, const std::string& domain) const;
  void forget(TlsDay day, const std::string& domain);

  // All of it as text, for a file; and back, into an empty table. False: it is none of ours (then nothing is known).
  std::string write() const;
  bool read(std::string_view text);
  // Counts what has changed: a file is written again when it is another number than before.
  std::uint64_t changes() const;

 private:
  struct Counts {
    std::uint64_t successes = 0, failures = 0;
    std::map<TlsFailure, std::uint64_t> details;
  };
  using Domain = std::map<TlsPolicyUsed, Counts>;
  mutable std::mutex mutex_;
  std::map<TlsDay, std::map<std::string, Domain>> days_;
  std::uint64_t changes_ = 0;
  std::size_t octets_ = 0;
  static std::size_t octets_of(const Domain& domain);
  void shrink();
};

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
