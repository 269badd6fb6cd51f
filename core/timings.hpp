// How long things take: a histogram for each, declared once with what it means, as core/metrics.hpp has counters. Fixed
// bounds, so that shards can be summed; relaxed atomics, written by a shard's thread, read by any.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "core/clock.hpp"

namespace core {

enum class Timing : std::size_t {
  answer,   // the end of a message until our reply is decided
  connect,  // an upstream connection that came about
  dns,      // a question to one server, answered or given up
  count_
};

struct TimingInfo {
  std::string_view name;  // Prometheus name without the prefix "onward_"
  std::string_view help;
  std::string_view alarm;  // when an operator should look
};
const TimingInfo& info(Timing timing);

// Upper bounds, included; what is longer comes last.
inline constexpr std::array<Milliseconds, 12> kTimingBounds{
    Milliseconds(5),     Milliseconds(10),     Milliseconds(25),     Milliseconds(50),
    Milliseconds(100),   Milliseconds(250),    Milliseconds(500),    Milliseconds(1'000),
    Milliseconds(2'500), Milliseconds(10'000), Milliseconds(60'000), Milliseconds(540'000)};

// What was measured; values of several shards are added with +=.
struct Histogram {
  std::array<std::uint64_t, kTimingBounds.size() + 1> counts{};  // each of its own bucket alone
  std::uint64_t sum_us = 0;

  std::uint64_t count() const;
  // The bound below which a share of `part` (0 to 1) lies, in seconds: of the bucket, so never less than the truth, and
  // the last bound for what is beyond. 0 when nothing was measured.
  double quantile(double part) const;
  Histogram& operator+=(const Histogram& other);
};

class Timings {
 public:
  void add(Timing timing, Steady::duration took);
  Histogram get(Timing timing) const;

 private:
  struct One {
    std::array<std::atomic<std::uint64_t>, kTimingBounds.size() + 1> counts{};
    std::atomic<std::uint64_t> sum_us{0};
  };
  std::array<One, static_cast<std::size_t>(Timing::count_)> all_{};
};

}  // namespace core
