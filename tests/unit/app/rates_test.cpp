// Rates of the last quarter of an hour.
#include "app/rates.hpp"

#include <gtest/gtest.h>

namespace app::test {
namespace {

using core::Steady;

const Steady::time_point kStart{std::chrono::hours(1)};

RateKeeper::Values all(std::uint64_t value) {
  RateKeeper::Values values;
  values.fill(value);
  return values;
}

TEST(Rates, needs_two_samples) {
  RateKeeper keeper;
  EXPECT_FALSE(keeper.per_minute(std::chrono::minutes(1)));
  keeper.sample(kStart, all(7));
  EXPECT_FALSE(keeper.per_minute(std::chrono::minutes(1)));
  keeper.sample(kStart, all(8));
  EXPECT_FALSE(keeper.per_minute(std::chrono::minutes(1))) << "no time has passed";
  keeper.sample(kStart + std::chrono::seconds(5), all(17));
  EXPECT_DOUBLE_EQ(keeper.per_minute(std::chrono::minutes(1))->front(), 120.0) << "since the first sample";
}

TEST(Rates, each_window_its_own) {
  RateKeeper keeper;
  std::uint64_t value = 0;
  for (int i = 0; i <= 20 * 12; ++i) {  // 20 minutes: 1 in 5 s, in the last minute 10 in 5 s
    keeper.sample(kStart + i * RateKeeper::kEvery, all(value));
    value += i >= 19 * 12 ? 10 : 1;
  }
  EXPECT_NEAR(keeper.per_minute(std::chrono::minutes(1))->back(), 120, 0.1);
  EXPECT_NEAR(keeper.per_minute(std::chrono::minutes(5))->back(), (120 + 4 * 12) / 5.0, 0.1);
  EXPECT_NEAR(keeper.per_minute(std::chrono::minutes(15))->back(), (120 + 14 * 12) / 15.0, 0.1);
  EXPECT_NEAR(keeper.per_minute(std::chrono::minutes(60))->back(), (120 + 14 * 12) / 15.0, 0.1)
      << "what is older than 15 minutes is gone";
}

TEST(Rates, a_gap) {
  RateKeeper keeper;
  keeper.sample(kStart, all(0));
  keeper.sample(kStart + std::chrono::hours(2), all(120));
  EXPECT_FALSE(keeper.per_minute(std::chrono::minutes(1))) << "the first sample is too old to count";
  keeper.sample(kStart + std::chrono::hours(2) + std::chrono::minutes(1), all(130));
  EXPECT_DOUBLE_EQ(keeper.per_minute(std::chrono::minutes(1))->front(), 10.0);
}

}  // namespace
}  // namespace app::test
