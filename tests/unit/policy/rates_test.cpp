// Token buckets, greylisting and the count of repeats: what they let through, at the limit and one above, and that
// their memory is bounded whatever strangers do.
#include "policy/rates.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "policy/greylist.hpp"
#include "policy/repeats.hpp"

namespace {

using namespace std::chrono_literals;
using policy::RateKind;
using policy::RateLimit;

class RatesTest : public ::testing::Test {
 protected:
  bool take(std::string_view key, RateLimit limit, RateKind kind = RateKind::messages_of_client) {
    return rates_.take(kind, key, limit, now_);
  }
  core::SeededRandom random_{7};
  policy::Rates rates_{random_, 1024};
  core::Steady::time_point now_{1h};
};

TEST_F(RatesTest, AllAtOnceAndThenEvenly) {
  const RateLimit limit{3, 60s};
  EXPECT_TRUE(take("a", limit));
  EXPECT_TRUE(take("a", limit));
  EXPECT_TRUE(take("a", limit));
  EXPECT_FALSE(take("a", limit));
  EXPECT_TRUE(take("b", limit)) << "another key has a bucket of its own";
  now_ += 19s;
  EXPECT_FALSE(take("a", limit));
  now_ += 1s;
  EXPECT_TRUE(take("a", limit));
  EXPECT_FALSE(take("a", limit)) << "refused ones take nothing, and one third of a minute gives one";
  now_ += 1h;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(take("a", limit));
  EXPECT_FALSE(take("a", limit)) << "a bucket does not grow beyond its size";
}

TEST_F(RatesTest, KindsAreApart) {
  const RateLimit limit{1, 60s};
  EXPECT_TRUE(take("a", limit, RateKind::messages_of_client));
  EXPECT_TRUE(take("a", limit, RateKind::recipients_of_client));
  EXPECT_FALSE(take("a", limit, RateKind::recipients_of_client));
  EXPECT_EQ(rates_.in_use(now_), 2U);
  now_ += 61s;
  EXPECT_EQ(rates_.in_use(now_), 0U);
}

TEST_F(RatesTest, OffAndHugeLimits) {
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(take("a", RateLimit{}));
  const RateLimit huge{1'000'000'000, 1s};
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(take("a", huge));
  const RateLimit odd{7, 60s};
  for (int i = 0; i < 7; ++i) ASSERT_TRUE(take("odd", odd)) << i;
  EXPECT_FALSE(take("odd", odd));
}

TEST_F(RatesTest, SeveralTokensOrNone) {
  const RateLimit limit{10, 10s};
  EXPECT_TRUE(rates_.take(RateKind::recipients_of_client, "a", limit, now_, 8));
  EXPECT_FALSE(rates_.take(RateKind::recipients_of_client, "a", limit, now_, 3));
  EXPECT_TRUE(rates_.take(RateKind::recipients_of_client, "a", limit, now_, 2));
  EXPECT_FALSE(rates_.take(RateKind::recipients_of_client, "a", limit, now_, 1));
  EXPECT_TRUE(rates_.take(RateKind::recipients_of_client, "b", limit, now_, 1000)) << "no more than the whole bucket";
}

TEST_F(RatesTest, AReloadMayChangeTheLimit) {
  EXPECT_TRUE(take("a", {1, 24h}));
  EXPECT_FALSE(take("a", {1, 24h}));
  EXPECT_FALSE(take("a", {60, 60s})) << "an empty bucket";
  now_ += 1s;
  EXPECT_TRUE(take("a", {60, 60s})) << "that fills at the new rate";
}

TEST_F(RatesTest, AFloodOfStrangersDoesNotFreeTheOneWhoIsLimited) {
  const RateLimit limit{5, 60s};
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(take("greedy", limit));
  for (int i = 0; i < 100'000; ++i) EXPECT_TRUE(take("stranger" + std::to_string(i), limit));
  EXPECT_FALSE(take("greedy", limit));
  EXPECT_LE(rates_.in_use(now_), rates_.capacity());
  EXPECT_EQ(rates_.capacity(), 1024U);
}

TEST(Rates, ManyThreadsTakeNoMoreThanThereIs) {
  core::SeededRandom random(1);
  policy::Rates rates(random);
  const core::Steady::time_point now{1h};
  std::atomic<unsigned> taken{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5000; ++i) {
        if (rates.take(RateKind::messages_of_client, "shared", {1000, 60s}, now)) ++taken;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(taken, 1000U);
}

// ---- greylisting

class GreylistTest : public ::testing::Test {
 protected:
  core::Milliseconds wait(std::string_view sender = "a@b.example", std::string_view origin = "client.example") {
    return greylist_.wait_of({origin, sender, "example.org/sales"}, settings_, now_);
  }
  core::SeededRandom random_{7};
  policy::Greylist greylist_{random_, 1024};
  policy::GreylistSettings settings_{true, 5min, 30 * 24h};
  core::Steady::time_point now_{1h};
};

TEST_F(GreylistTest, ComeAgain) {
  EXPECT_EQ(wait(), 5min);
  now_ += 4min;
  EXPECT_EQ(wait(), 1min);
  EXPECT_EQ(wait("other@b.example"), 5min);
  now_ += 1min;
  EXPECT_EQ(wait(), 0min);
  EXPECT_EQ(wait("A@B.EXAMPLE"), 0min) << "case does not matter";
  now_ += 29 * 24h;
  EXPECT_EQ(wait(), 0min) << "kept, and counted anew from here";
  now_ += 29 * 24h;
  EXPECT_EQ(wait(), 0min);
  now_ += 31 * 24h;
  EXPECT_EQ(wait(), 5min) << "forgotten";
}

TEST_F(GreylistTest, WhoWaitsTooLongBeginsAnew) {
  EXPECT_EQ(wait(), 5min);
  now_ += 48h;
  EXPECT_EQ(wait(), 5min);
}

TEST_F(GreylistTest, AFloodPushesOutTheWaitingNotTheKnown) {
  EXPECT_EQ(wait(), 5min);
  now_ += 5min;
  EXPECT_EQ(wait(), 0min);
  for (int i = 0; i < 50'000; ++i) EXPECT_EQ(wait(std::to_string(i) + "@spam.example"), 5min);
  EXPECT_EQ(wait(), 0min);
}

TEST_F(GreylistTest, WhereAClientBelongs) {
  const auto origin = [](std::string_view name, const char* ip) {
    return policy::greylist_origin(name, *core::IpAddress::parse(ip));
  };
  EXPECT_EQ(origin("mail-17.Prod.Outlook.example", "192.0.2.9"), "outlook.example");
  EXPECT_EQ(origin("a.b.co.uk", "192.0.2.9"), "b.co.uk");
  EXPECT_EQ(origin("b.com.au", "192.0.2.9"), "b.com.au");
  EXPECT_EQ(origin("example.de", "192.0.2.9"), "example.de");
  EXPECT_EQ(origin("", "192.0.2.9"), "192.0.2.0");
  EXPECT_EQ(origin("localhost", "192.0.2.9"), "192.0.2.0");
  EXPECT_EQ(origin("", "2001:db8:1:2:3::9"), "2001:db8:1:2::");
}

// ---- LP-04

class RepeatsTest : public ::testing::Test {
 protected:
  policy::Repeats::Passage enter(std::string_view id = "<1@a>", std::string_view to = "x@y") {
    return repeats_.enter({id, to, "hash"}, now_);
  }
  core::SeededRandom random_{7};
  policy::Repeats repeats_{random_, 64};
  core::Steady::time_point now_{1h};
};

TEST_F(RepeatsTest, LP_04_TwentyAnHourAndNoMore) {
  for (int i = 0; i < 20; ++i) {
    auto passage = enter();
    ASSERT_TRUE(passage) << i;
    passage.keep();
  }
  EXPECT_FALSE(enter());
  EXPECT_TRUE(enter("<2@a>"));
  EXPECT_TRUE(enter("<1@a>", "z@y"));
  EXPECT_FALSE(enter("<1@a>", "x@y"));
  now_ += 59min;
  EXPECT_FALSE(enter());
  now_ += 1min;
  EXPECT_TRUE(enter());
}

TEST_F(RepeatsTest, LP_04_WhatWasPutOffDoesNotCount) {
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(enter()) << i;
}

TEST_F(RepeatsTest, LP_04_TurnsWithinOneAnotherCount) {
  std::vector<policy::Repeats::Passage> nested;
  for (int i = 0; i < 20; ++i) {
    nested.push_back(enter());
    ASSERT_TRUE(nested.back()) << i;
  }
  EXPECT_FALSE(enter());
  nested.pop_back();
  EXPECT_TRUE(enter());
}

TEST_F(RepeatsTest, PartsAreNotRunTogether) {
  for (int i = 0; i < 20; ++i) repeats_.enter({"ab", "c", "d"}, now_).keep();
  EXPECT_FALSE(repeats_.enter({"ab", "c", "d"}, now_));
  EXPECT_TRUE(repeats_.enter({"a", "bc", "d"}, now_));
}

}  // namespace
