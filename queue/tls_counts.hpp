// What became of TLS with each destination, counted by day: what reports of RFC 8460 are made of. A table of
// activity.db beside the log (queue/activity.hpp), with what that file promises. The words are forwarder/tls_report's.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace queue {

// One session with a destination. Equal ones are one row with a count.
struct TlsSighting {
  std::int64_t day = 0;  // of Unix days, UTC
  std::string domain;    // of the policy; compared without ASCII case
  std::string policy;    // at most kMaxTlsPolicy octets
  std::string result, sending_ip, receiving_host, receiving_ip, reason;
  friend auto operator<=>(const TlsSighting&, const TlsSighting&) = default;
};

// Where a domain has its rows of a day, what would be a new one is counted without its addresses and its reason; and
// where it has those too, or the table has its rows, not at all.
inline constexpr std::size_t kMaxTlsPolicy = 4096;
inline constexpr std::int64_t kMaxTlsRowsOfDomain = 1'000, kMaxTlsShortRows = 100;
inline constexpr std::int64_t kMaxTlsRows = 50'000;
inline constexpr std::int64_t kTlsDaysKept = 3;  // today included

struct TlsCount {
  TlsSighting what;
  std::uint64_t count = 0;
};

struct TlsQuery {
  std::string domain{};            // "": of all
  std::int64_t until = INT64_MAX;  // days before this one
};

// A report of it has gone out: its rows go.
struct TlsReported {
  std::int64_t day = 0;
  std::string domain;
  friend auto operator<=>(const TlsReported&, const TlsReported&) = default;
};

}  // namespace queue
