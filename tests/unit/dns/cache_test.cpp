#include "dns/cache.hpp"

#include <gtest/gtest.h>

namespace dns {
namespace {

using namespace std::chrono_literals;

Question q(const std::string& name) {
  return {name, Type::a};
}
Answer answer(const std::string& text = "x") {
  Answer a;
  a.status = Status::ok;
  a.texts = {text};
  a.ttl = 300;
  return a;
}

TEST(Cache, keeps_until_the_ttl_ends_and_counts_it_down) {
  core::ManualClock clock;
  Cache cache(10, 100'000);
  EXPECT_FALSE(cache.find(q("a"), clock.steady()));
  cache.put(q("a"), answer(), 10s, clock.steady());
  EXPECT_EQ(cache.find(q("a"), clock.steady())->ttl, 10U);
  EXPECT_FALSE(cache.find({"a", Type::mx}, clock.steady()));
  clock.advance(9'500ms);
  EXPECT_EQ(cache.find(q("a"), clock.steady())->ttl, 1U);
  EXPECT_EQ(cache.find(q("a"), clock.steady())->texts, answer().texts);
  clock.advance(500ms);
  EXPECT_FALSE(cache.find(q("a"), clock.steady()));
  EXPECT_EQ(cache.size(), 0U);
  EXPECT_EQ(cache.octets(), 0U);
}

TEST(Cache, a_ttl_is_at_least_a_second_and_at_most_a_day) {
  core::ManualClock clock;
  Cache cache(10, 100'000);
  cache.put(q("zero"), answer(), 0s, clock.steady());
  EXPECT_TRUE(cache.find(q("zero"), clock.steady()));
  clock.advance(1s);
  EXPECT_FALSE(cache.find(q("zero"), clock.steady()));
  cache.put(q("year"), answer(), 365 * 24h, clock.steady());
  clock.advance(24h - 1s);
  EXPECT_TRUE(cache.find(q("year"), clock.steady()));
  clock.advance(1s);
  EXPECT_FALSE(cache.find(q("year"), clock.steady()));
}

TEST(Threats, DN_06_the_cache_is_bounded_in_entries_least_recently_used_first) {
  core::ManualClock clock;
  Cache cache(3, 100'000);
  for (const auto* name : {"a", "b", "c"}) cache.put(q(name), answer(), 60s, clock.steady());
  EXPECT_TRUE(cache.find(q("a"), clock.steady()));  // used: b is the oldest now
  cache.put(q("d"), answer(), 60s, clock.steady());
  EXPECT_EQ(cache.size(), 3U);
  EXPECT_FALSE(cache.find(q("b"), clock.steady()));
  EXPECT_TRUE(cache.find(q("a"), clock.steady()));
  cache.put(q("a"), answer("new"), 60s, clock.steady());  // replaces, needs no room
  EXPECT_EQ(cache.size(), 3U);
  EXPECT_EQ(cache.find(q("a"), clock.steady())->texts[0], "new");
  cache.clear();
  EXPECT_EQ(cache.size(), 0U);
  EXPECT_FALSE(cache.find(q("a"), clock.steady()));
}

TEST(Threats, DN_06_the_cache_is_bounded_in_octets) {
  core::ManualClock clock;
  Cache cache(1000, 20'000);
  for (int i = 0; i < 100; ++i) {
    cache.put(q("n" + std::to_string(i)), answer(std::string(3000, 'x')), 60s, clock.steady());
    EXPECT_LE(cache.octets(), 20'000U);
  }
  EXPECT_EQ(cache.size(), 5U);
  cache.put(q("huge"), answer(std::string(64'000, 'x')), 60s, clock.steady());
  EXPECT_FALSE(cache.find(q("huge"), clock.steady()));
  EXPECT_EQ(cache.size(), 5U);
  Cache none(0, 0);
  none.put(q("a"), answer(), 60s, clock.steady());
  EXPECT_FALSE(none.find(q("a"), clock.steady()));
}

}  // namespace
}  // namespace dns
