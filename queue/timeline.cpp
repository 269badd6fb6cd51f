#include "queue/timeline.hpp"

#include <algorithm>

namespace queue {
namespace {

std::int64_t unix_milliseconds(core::Wall::time_point time) {
  return std::chrono::duration_cast<core::Milliseconds>(time.time_since_epoch()).count();
}

Time start_at(std::int64_t wall, Timeline::Tick last) {
  if (last.queue <= 0) return std::max<Time>(wall, 1);
  // A wall clock that was set over years may not overflow the subtraction: both ends are clamped to sane values.
  constexpr std::int64_t kFar = std::int64_t{1} << 50;
  const auto passed = std::clamp(wall, -kFar, kFar) - std::clamp(last.wall, -kFar, kFar);
  return last.queue + std::clamp<std::int64_t>(passed, 0, Timeline::kMaxCredit.count());
}

}  // namespace

Timeline::Timeline(const core::Clock& clock, Tick last)
    : clock_(clock), begin_(clock.steady()), base_(start_at(unix_milliseconds(clock.wall()), last)) {}

Time Timeline::now() const {
  return base_ + std::chrono::duration_cast<core::Milliseconds>(clock_.steady() - begin_).count();
}

Timeline::Tick Timeline::tick() const {
  return {now(), unix_milliseconds(clock_.wall())};
}

std::int64_t Timeline::wall_of(Time time) const {
  if (time == 0) return 0;
  return time + (unix_milliseconds(clock_.wall()) - now());
}

}  // namespace queue
