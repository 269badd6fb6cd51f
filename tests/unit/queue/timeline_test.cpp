#include "queue/timeline.hpp"

#include <gtest/gtest.h>

namespace queue {
namespace {

using namespace std::chrono_literals;

constexpr core::Milliseconds kTenYears = 24h * 3652;

std::int64_t wall_of(const core::Clock& clock) {
  return std::chrono::duration_cast<core::Milliseconds>(clock.wall().time_since_epoch()).count();
}

TEST(Timeline, BeginsAtUnixTime) {
  core::ManualClock clock;
  const Timeline timeline(clock, {});
  EXPECT_EQ(timeline.now(), wall_of(clock));
  clock.advance(90s);
  EXPECT_EQ(timeline.now(), wall_of(clock));
  EXPECT_EQ(timeline.wall_of(timeline.now()), wall_of(clock));
  EXPECT_EQ(timeline.wall_of(0), 0);
}

TEST(Timeline, DoesNotFollowAClockThatIsSet) {  // DU-11
  for (const core::Milliseconds jump : {core::Milliseconds(1h), core::Milliseconds(-1h), kTenYears, -kTenYears}) {
    core::ManualClock clock;
    const Timeline timeline(clock, {});
    const auto before = timeline.now();
    clock.advance(10s);
    clock.set_wall(clock.wall() + jump);
    EXPECT_EQ(timeline.now(), before + 10'000);
    // People are shown the time as their clock says it now.
    EXPECT_EQ(timeline.wall_of(before), wall_of(clock) - 10'000);
  }
}

TEST(Timeline, GoesOnAfterARestartWhateverTheClockSays) {  // DU-11
  for (const core::Milliseconds gap : {core::Milliseconds(0), core::Milliseconds(1h), core::Milliseconds(-1h),
                                       core::Milliseconds(24h * 30), kTenYears, -kTenYears}) {
    core::ManualClock clock;
    Timeline::Tick tick;
    {
      const Timeline timeline(clock, {});
      clock.advance(5s);
      tick = timeline.tick();
    }
    clock.set_wall(clock.wall() + gap);
    const Timeline again(clock, tick);
    EXPECT_GE(again.now(), tick.queue);
    EXPECT_LE(again.now(), tick.queue + Timeline::kMaxCredit.count());
  }
}

TEST(Timeline, AProgramThatIsRestartedAllTheTimeGetsOn) {
  core::ManualClock clock;
  Timeline::Tick tick = Timeline(clock, {}).tick();
  const auto begin = tick.queue;
  for (int i = 0; i < 100; ++i) {  // killed so early that it never writes a second tick
    clock.advance(2s);
    tick = Timeline(clock, tick).tick();
  }
  EXPECT_EQ(tick.queue, begin + 200'000);
}

TEST(Timeline, ClocksOutOfAllReasonDoNotOverflow) {
  core::ManualClock clock;
  clock.set_wall(core::Wall::time_point::min());
  EXPECT_GE(Timeline(clock, {}).now(), 1);
  const Timeline::Tick last{1'700'000'000'000, INT64_MAX};
  EXPECT_EQ(Timeline(clock, last).now(), last.queue);
  clock.set_wall(core::Wall::time_point::max());
  EXPECT_EQ(Timeline(clock, {1'700'000'000'000, INT64_MIN}).now(), last.queue + Timeline::kMaxCredit.count());
}

}  // namespace
}  // namespace queue
