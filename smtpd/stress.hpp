// Overload, noticed and ended by itself (threats RS-01, RS-16; Postfix's stress-adaptive behaviour): while nearly all
// connections are in use, or memory is nearly used up, clients get short timeouts, so that those who only sit there
// make room for those who write. Shared by the shards, thread-safe.
#pragma once

#include <atomic>
#include <cstddef>

#include "core/metrics.hpp"

namespace smtpd {

class Stress {
 public:
  // On from 80 % of the connections, or with memory at the level where MAIL is refused; off below 60 % with memory
  // below half (core::Budget::pressure).
  static constexpr std::size_t kOnPercent = 80, kOffPercent = 60;
  static constexpr int kOnPressure = 2, kOffPressure = 0;

  bool on() const { return on_.load(std::memory_order_relaxed); }
  // After every change of these. `metrics`: the caller's own.
  void update(std::size_t used, std::size_t limit, int pressure, core::Metrics& metrics);

 private:
  std::atomic<bool> on_{false};
};

}  // namespace smtpd
