// Which next hops have had TLS with us within the last day: "opportunistic" does not let itself be talked out of it
// again by whoever breaks a handshake or strips STARTTLS (interface.md [delivery] tls_fallback). Bounded, in memory
// only, shared by the shards.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "core/clock.hpp"

namespace forwarder {

class TlsMemory {
 public:
  static constexpr std::chrono::hours kKept{24};
  static constexpr std::size_t kMost = 50'000;  // next hops; the one longest ago goes first
  using Time = core::Steady::time_point;

  // `host`: name and port.
  void note(const std::string& host, Time now);
  bool had_tls(const std::string& host, Time now) const;
  std::size_t size() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, Time> last_;
  std::multimap<Time, std::string> by_time_;
};

}  // namespace forwarder
