// Histograms of how long things take: bounds, sums over shards, quantiles.
#include "core/timings.hpp"

#include <gtest/gtest.h>

namespace core::test {
namespace {

TEST(Timings, at_each_bound_and_above) {
  Timings timings;
  for (const auto bound : kTimingBounds) {
    timings.add(Timing::dns, bound);
    timings.add(Timing::dns, bound + std::chrono::microseconds(1));
  }
  const auto got = timings.get(Timing::dns);
  EXPECT_EQ(got.counts.front(), 1U);
  for (std::size_t i = 1; i < kTimingBounds.size(); ++i) EXPECT_EQ(got.counts[i], 2U) << i;
  EXPECT_EQ(got.counts.back(), 1U) << "beyond the last bound";
  EXPECT_EQ(got.count(), 2 * kTimingBounds.size());
  EXPECT_EQ(timings.get(Timing::answer).count(), 0U);
}

TEST(Timings, quantiles_and_sums) {
  Timings one, two;
  EXPECT_EQ(one.get(Timing::answer).quantile(0.5), 0.0) << "nothing measured";
  for (int i = 0; i < 90; ++i) one.add(Timing::answer, Milliseconds(7));
  for (int i = 0; i < 10; ++i) two.add(Timing::answer, Milliseconds(700));
  auto all = one.get(Timing::answer);
  all += two.get(Timing::answer);
  EXPECT_EQ(all.count(), 100U);
  EXPECT_EQ(all.sum_us, 90U * 7'000 + 10U * 700'000);
  EXPECT_EQ(all.quantile(0.5), 0.01);
  EXPECT_EQ(all.quantile(0.9), 0.01);
  EXPECT_EQ(all.quantile(0.91), 1.0);
  EXPECT_EQ(all.quantile(1), 1.0);
  two.add(Timing::connect, std::chrono::hours(1));
  EXPECT_EQ(two.get(Timing::connect).quantile(0.5), 540.0);
  one.add(Timing::dns, Milliseconds(-5));  // never; but no wrap either
  EXPECT_EQ(one.get(Timing::dns).sum_us, 0U);
}

}  // namespace
}  // namespace core::test
