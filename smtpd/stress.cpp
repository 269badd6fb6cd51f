#include "smtpd/stress.hpp"

namespace smtpd {

void Stress::update(std::size_t used, std::size_t limit, int pressure, core::Metrics& metrics) {
  const bool begins = used * 100 >= limit * kOnPercent || pressure >= kOnPressure;
  const bool ends = used * 100 < limit * kOffPercent && pressure <= kOffPressure;
  bool expected = on();
  if (expected ? !ends : !begins) return;
  // Of several shards that see it at once, one counts it. The gauge may go up on one shard and down on another: sums
  // are what is read.
  if (!on_.compare_exchange_strong(expected, !expected, std::memory_order_relaxed)) return;
  if (expected) {
    metrics.subtract(core::Counter::stress);
  } else {
    metrics.add(core::Counter::stress);
    metrics.add(core::Counter::stress_begun);
  }
}

}  // namespace smtpd
