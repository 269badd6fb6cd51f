// How fast counters have risen lately, as a load average tells it: samples of the last quarter of an hour. Pure; one
// thread.
#pragma once

#include <array>
#include <deque>
#include <optional>

#include "core/clock.hpp"
#include "core/metrics.hpp"

namespace app {

// What `onward status` shows rates of, in its order.
inline constexpr std::array kRated{core::Counter::connections,        core::Counter::messages_accepted,
                                   core::Counter::messages_forwarded, core::Counter::messages_queued,
                                   core::Counter::messages_rejected,  core::Counter::messages_deferred,
                                   core::Counter::queue_delivered,    core::Counter::queue_deferred};

class RateKeeper {
 public:
  using Values = std::array<std::uint64_t, kRated.size()>;
  using Rates = std::array<double, kRated.size()>;
  static constexpr core::Milliseconds kEvery{std::chrono::seconds(5)};
  static constexpr core::Milliseconds kMost{std::chrono::minutes(15)};

  // To be called each kEvery; what is older than kMost goes.
  void sample(core::Steady::time_point now, const Values& values);
  // A minute, over `window` (at most kMost) before the last sample, or since the first one when that is later. Nothing:
  // there are no two samples yet.
  std::optional<Rates> per_minute(core::Milliseconds window) const;

 private:
  struct Sample {
    core::Steady::time_point time;
    Values values;
  };
  std::deque<Sample> samples_;
};

}  // namespace app
