#include "queue/window.hpp"

#include <gtest/gtest.h>

namespace queue {
namespace {

constexpr Time kNow = 1'800'000'000'000;
constexpr Time kMinute = 60'000;

class Hop {
 public:
  void succeed(unsigned times = 1) {
    for (unsigned i = 0; i < times; ++i) {
      fill();
      window.succeeded(settings);
    }
  }
  void fail(unsigned times = 1, Time now = kNow) {
    for (unsigned i = 0; i < times; ++i) {
      if (window.in_flight() == 0) window.begin();
      window.failed(settings, now, 0);
    }
  }
  // Keeps it as busy as it may be.
  void fill() {
    while (window.allowed(kNow) > 0) window.begin();
  }
  WindowSettings settings{};
  Window window{settings};
};

TEST(Window, BeginsSmallAndGrowsByOneForAWindowOfSuccess) {
  Hop hop;
  EXPECT_EQ(hop.window.allowed(kNow), 5U);
  hop.succeed(4);
  EXPECT_EQ(hop.window.size(), 5U);
  hop.succeed();
  EXPECT_EQ(hop.window.size(), 6U);
  hop.succeed(6);
  EXPECT_EQ(hop.window.size(), 7U);
  hop.succeed(1000);
  EXPECT_EQ(hop.window.size(), hop.settings.most);
}

TEST(Window, DoesNotGrowBeyondWhatIsUsed) {
  Hop hop;
  for (int i = 0; i < 1000; ++i) {
    hop.window.begin();
    hop.window.succeeded(hop.settings);
  }
  EXPECT_LE(hop.window.size(), 1 + hop.settings.initial);
}

TEST(Window, ShrinksWithFailureAndASuccessBetweenKeepsItAlive) {
  Hop hop;
  hop.succeed(1000);
  auto size = hop.window.size();
  for (unsigned turn = 0; size > 2; ++turn) {
    ASSERT_LT(turn, 1000U);
    // More failures than successes, but never a whole window of them.
    hop.fill();
    for (unsigned i = 0; i + 1 < size; ++i) hop.window.failed(hop.settings, kNow, 0);
    hop.window.succeeded(hop.settings);
    EXPECT_FALSE(hop.window.dead());
    EXPECT_LE(hop.window.size(), size);
    size = hop.window.size();
  }
}

TEST(Window, AWindowOfFailuresIsDeath) {
  Hop hop;
  hop.fail(4);
  EXPECT_FALSE(hop.window.dead());
  hop.fail(1);
  EXPECT_TRUE(hop.window.dead());
  EXPECT_EQ(hop.window.dead_until(), kNow + kMinute);
  EXPECT_EQ(hop.window.allowed(kNow), 0U);
  EXPECT_EQ(hop.window.allowed(kNow + kMinute - 1), 0U);
  EXPECT_EQ(hop.window.allowed(kNow + kMinute), 1U) << "one probe";
  hop.window.begin();
  EXPECT_EQ(hop.window.allowed(kNow + kMinute), 0U) << "and no second one";
}

TEST(Window, PausesDoubleUpToALimitAndEndWithTheFirstSuccess) {
  Hop hop;
  hop.fail(5);
  auto now = kNow;
  Time last = kMinute;
  for (int i = 0; i < 12; ++i) {
    now = hop.window.dead_until();
    hop.fail(1, now);
    const auto pause = hop.window.dead_until() - now;
    EXPECT_EQ(pause, std::min<Time>(2 * last, hop.settings.longest_pause.count()));
    last = pause;
  }
  hop.window.begin();
  hop.window.succeeded(hop.settings);
  EXPECT_FALSE(hop.window.dead());
  EXPECT_EQ(hop.window.size(), hop.settings.initial);
  hop.fail(5, now);
  EXPECT_EQ(hop.window.dead_until(), now + kMinute);
}

TEST(Window, LateFailuresOfBeforeDeathCountOnce) {
  Hop hop;
  hop.fill();
  for (int i = 0; i < 5; ++i) hop.window.failed(hop.settings, kNow, 0);
  const auto until = hop.window.dead_until();
  hop.fail(3, kNow + 5);
  EXPECT_EQ(hop.window.dead_until(), until);
}

TEST(Window, SpreadIsATenthAtMost) {
  for (const std::uint64_t spread : {0ULL, 5'999ULL, 6'000ULL, 6'001ULL, ~0ULL}) {
    Window window{WindowSettings{}};
    for (int i = 0; i < 5; ++i) {
      window.begin();
      window.failed({}, kNow, spread);
    }
    EXPECT_GE(window.dead_until(), kNow + kMinute);
    EXPECT_LE(window.dead_until(), kNow + kMinute + kMinute / 10);
  }
}

TEST(Window, ForgivenItIsProbedAtOnce) {
  Hop hop;
  hop.fail(5);
  hop.window.forgive();
  EXPECT_EQ(hop.window.allowed(kNow), 1U);
  hop.fail(1);
  EXPECT_TRUE(hop.window.dead());
  EXPECT_EQ(hop.window.allowed(kNow), 0U);
}

TEST(Window, KnowsWhenThereIsNothingToRemember) {
  Hop hop;
  EXPECT_TRUE(hop.window.fresh(hop.settings));
  hop.window.begin();
  EXPECT_FALSE(hop.window.fresh(hop.settings));
  hop.window.abandoned();
  EXPECT_TRUE(hop.window.fresh(hop.settings));
  hop.fail(1);
  EXPECT_FALSE(hop.window.fresh(hop.settings));
}

TEST(Window, ASmallerLimitAfterAReloadIsReached) {
  Hop hop;
  hop.succeed(1000);
  hop.settings.most = 3;
  hop.settings.initial = 2;
  for (int i = 0; i < 40; ++i) {
    hop.fill();
    hop.window.succeeded(hop.settings);
  }
  EXPECT_LE(hop.window.size(), 3U);
}

}  // namespace
}  // namespace queue
