// What the program counts, as text: the Prometheus exposition format 0.0.4 for machines, and docs/metrics.md for
// people, both out of the tables of core/metrics, core/gauges and core/timings. No label ever comes from a peer
// (threats OP-10). Pure.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/gauges.hpp"
#include "core/metrics.hpp"

namespace app {

struct MetricsSnapshot {
  std::string version;
  std::array<std::uint64_t, static_cast<std::size_t>(core::Counter::count_)> counters{};
  core::Gauges gauges;
  std::array<core::Histogram, static_cast<std::size_t>(core::Timing::count_)> timings{};
};

inline constexpr std::string_view kMetricsType = "text/plain; version=0.0.4; charset=utf-8";
std::string prometheus_text(const MetricsSnapshot& snapshot);

// The page docs/metrics.md.
std::string metrics_page();

}  // namespace app
