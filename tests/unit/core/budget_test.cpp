#include "core/budget.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace core {
namespace {

TEST(Budget, gives_up_to_its_limit_and_takes_back) {
  Budget budget(100);
  auto first = budget.take(60);
  EXPECT_TRUE(first);
  EXPECT_EQ(first.amount(), 60U);
  EXPECT_FALSE(budget.take(41)) << "refused, not blocked";
  {
    const auto second = budget.take(40);
    EXPECT_TRUE(second);
    EXPECT_EQ(budget.used(), 100U);
    EXPECT_FALSE(budget.take(1));
    EXPECT_TRUE(budget.take(0)) << "a lease of nothing can always be had";
  }
  EXPECT_EQ(budget.used(), 60U);
  first.release();
  EXPECT_EQ(budget.used(), 0U);
  EXPECT_FALSE(first);
  first.release();
  EXPECT_EQ(budget.used(), 0U) << "given back once";
}

TEST(Budget, resize) {
  Budget budget(100);
  auto lease = budget.take(0);
  EXPECT_TRUE(lease.resize(100));
  EXPECT_FALSE(lease.resize(101));
  EXPECT_EQ(lease.amount(), 100U) << "unchanged when refused";
  EXPECT_TRUE(lease.resize(30));
  EXPECT_EQ(budget.used(), 30U);
  Lease none;
  EXPECT_FALSE(none.resize(1));
  EXPECT_TRUE(none.resize(0));
}

TEST(Budget, amounts_near_the_end_of_the_number_do_not_wrap) {
  Budget budget(100);
  auto lease = budget.take(50);
  EXPECT_FALSE(budget.take(UINT64_MAX));
  EXPECT_FALSE(budget.take(UINT64_MAX - 49));
  EXPECT_FALSE(lease.resize(UINT64_MAX));
  EXPECT_EQ(budget.used(), 50U);
}

TEST(Budget, moved_leases_count_once) {
  Budget budget(100);
  auto a = budget.take(10);
  auto b = std::move(a);
  EXPECT_EQ(budget.used(), 10U);
  auto c = budget.take(20);
  c = std::move(b);
  EXPECT_EQ(budget.used(), 10U) << "what was held is given back";
  std::vector<Lease> all;
  for (int i = 0; i < 9; ++i) all.push_back(budget.take(10));
  EXPECT_EQ(budget.used(), 100U);
  all.clear();
  c.release();
  EXPECT_EQ(budget.used(), 0U);
}

TEST(Budget, smaller_limit_keeps_what_is_leased) {
  Budget budget(100);
  auto lease = budget.take(80);
  budget.set_limit(50);
  EXPECT_EQ(budget.used(), 80U);
  EXPECT_FALSE(budget.take(1));
  EXPECT_TRUE(lease.resize(40));
  EXPECT_TRUE(budget.take(10));
}

TEST(Budget, pressure_levels) {
  Budget budget(3200);
  auto lease = budget.take(0);
  const std::vector<std::pair<std::uint64_t, int>> rows = {{0, 0},    {1599, 0}, {1600, 1}, {2799, 1},
                                                           {2800, 2}, {3099, 2}, {3100, 3}, {3200, 3}};
  for (const auto& [used, level] : rows) {
    ASSERT_TRUE(lease.resize(used));
    EXPECT_EQ(budget.pressure(), level) << used;
  }
}

// RS-06: shards share one budget; at no time is more given than there is, and all of it comes back.
TEST(Threats, RS_06_shared_by_threads_without_overdraft) {
  Budget budget(1000);
  std::atomic<bool> overdrawn{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20'000; ++i) {
        auto lease = budget.take(static_cast<std::uint64_t>(i % 700));
        if (budget.used() > 1000) overdrawn = true;
        if (lease && !lease.resize(static_cast<std::uint64_t>(i % 300)) && i % 300 < i % 700) overdrawn = true;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_FALSE(overdrawn);
  EXPECT_EQ(budget.used(), 0U);
}

}  // namespace
}  // namespace core
