#include "core/timings.hpp"

#include <algorithm>
#include <cmath>

namespace core {
namespace {

constexpr std::array<TimingInfo, static_cast<std::size_t>(Timing::count_)> kInfo{{
    {"answer_seconds", "From the end of a message to our answer", "half of them above 60 s: destinations are slow"},
    {"upstream_connect_seconds", "To open a connection to a destination", ""},
    {"dns_answer_seconds", "A DNS question to one server", "half of them above 1 s: the resolver"},
}};

}  // namespace

const TimingInfo& info(Timing timing) {
  return kInfo[static_cast<std::size_t>(timing)];
}

std::uint64_t Histogram::count() const {
  std::uint64_t all = 0;
  for (const auto one : counts) all += one;
  return all;
}

double Histogram::quantile(double part) const {
  const auto all = count();
  if (all == 0) return 0;
  const auto wanted =
      std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(part * static_cast<double>(all))));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < kTimingBounds.size(); ++i) {
    seen += counts[i];
    if (seen >= wanted) return static_cast<double>(kTimingBounds[i].count()) / 1000.0;
  }
  return static_cast<double>(kTimingBounds.back().count()) / 1000.0;
}

Histogram& Histogram::operator+=(const Histogram& other) {
  for (std::size_t i = 0; i < counts.size(); ++i) counts[i] += other.counts[i];
  sum_us += other.sum_us;
  return *this;
}

void Timings::add(Timing timing, Steady::duration took) {
  auto& one = all_[static_cast<std::size_t>(timing)];
  const auto bound = std::find_if(kTimingBounds.begin(), kTimingBounds.end(), [took](auto b) { return took <= b; });
  one.counts[static_cast<std::size_t>(bound - kTimingBounds.begin())].fetch_add(1, std::memory_order_relaxed);
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(took).count();
  one.sum_us.fetch_add(us > 0 ? static_cast<std::uint64_t>(us) : 0, std::memory_order_relaxed);
}

Histogram Timings::get(Timing timing) const {
  const auto& one = all_[static_cast<std::size_t>(timing)];
  Histogram out;
  for (std::size_t i = 0; i < out.counts.size(); ++i) out.counts[i] = one.counts[i].load(std::memory_order_relaxed);
  out.sum_us = one.sum_us.load(std::memory_order_relaxed);
  return out;
}

}  // namespace core
