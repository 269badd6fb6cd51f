#include "queue/schedule.hpp"

#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;

constexpr std::int64_t kMinute = 60'000;
constexpr std::int64_t kHour = 60 * kMinute;
constexpr std::int64_t kCreated = 1'800'000'000'000;

TEST(Schedule, StepsThenTheLastRepeated) {
  const queue::Schedule schedule;
  EXPECT_EQ(queue::next_attempt(schedule, kCreated, kCreated, 1, 0), kCreated + kMinute);
  EXPECT_EQ(queue::next_attempt(schedule, kCreated, kCreated, 2, 0), kCreated + 5 * kMinute);
  EXPECT_EQ(queue::next_attempt(schedule, kCreated, kCreated, 3, 0), kCreated + 15 * kMinute);
  EXPECT_EQ(queue::next_attempt(schedule, kCreated, kCreated, 4, 0), kCreated + kHour);
  EXPECT_EQ(queue::next_attempt(schedule, kCreated, kCreated, 400, 0), kCreated + kHour);
}

TEST(Schedule, SpreadIsATenthAtMost) {
  const queue::Schedule schedule;
  for (std::uint64_t spread : {0ULL, 1ULL, 5'999ULL, 6'000ULL, 6'001ULL, ~0ULL}) {
    const auto next = queue::next_attempt(schedule, kCreated, kCreated, 1, spread);
    ASSERT_TRUE(next);
    EXPECT_GE(*next, kCreated + kMinute);
    EXPECT_LE(*next, kCreated + kMinute + kMinute / 10);
  }
}

TEST(Schedule, OneLastAttemptAtTheEndAndNoneAfterIt) {
  queue::Schedule schedule;
  schedule.lifetime = 2h;
  EXPECT_EQ(queue::next_attempt(schedule, kCreated, kCreated + kHour + 1, 4, 0), kCreated + 2 * kHour);
  EXPECT_EQ(queue::next_attempt(schedule, kCreated, kCreated + 2 * kHour - 1, 9, 0), kCreated + 2 * kHour);
  EXPECT_FALSE(queue::next_attempt(schedule, kCreated, kCreated + 2 * kHour, 9, 0));
}

TEST(Schedule, AClockThatWentBackExpiresNothingEarly) {  // DU-11
  queue::Schedule schedule;
  schedule.lifetime = 2h;
  EXPECT_EQ(queue::next_attempt(schedule, kCreated, kCreated - 10 * kHour, 1, 0), kCreated - 10 * kHour + kMinute);
}

}  // namespace
