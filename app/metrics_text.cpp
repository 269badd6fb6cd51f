#include "app/metrics_text.hpp"

#include <fmt/format.h>

namespace app {
namespace {

std::string_view kind_of(std::string_view name) {
  return name.ends_with("_total") ? "counter" : "gauge";
}

// The format's escapes in HELP: backslash and line end.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '\n') out += '\\';
    out += c == '\n' ? 'n' : c;
  }
  return out;
}

void write(std::string& out, const core::CounterInfo& info, const std::string& value) {
  out += fmt::format("# HELP onward_{0} {1}\n# TYPE onward_{0} {2}\nonward_{0} {3}\n", info.name, escaped(info.help),
                     kind_of(info.name), value);
}

// Seconds, cumulative, as the format has them.
void write(std::string& out, const core::TimingInfo& info, const core::Histogram& histogram) {
  out += fmt::format("# HELP onward_{0} {1}\n# TYPE onward_{0} histogram\n", info.name, escaped(info.help));
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < core::kTimingBounds.size(); ++i) {
    below += histogram.counts[i];
    out += fmt::format("onward_{}_bucket{{le=\"{}\"}} {}\n", info.name,
                       static_cast<double>(core::kTimingBounds[i].count()) / 1000.0, below);
  }
  out += fmt::format("onward_{0}_bucket{{le=\"+Inf\"}} {1}\nonward_{0}_sum {2:.6f}\nonward_{0}_count {1}\n", info.name,
                     histogram.count(), static_cast<double>(histogram.sum_us) / 1e6);
}

std::string row(const core::TimingInfo& info) {
  return fmt::format("| `onward_{}` | histogram | {} | {} |\n", info.name, info.help, info.alarm);
}

std::string row(const core::CounterInfo& info) {
  return fmt::format("| `onward_{}` | {} | {} | {} |\n", info.name, kind_of(info.name), info.help, info.alarm);
}

template <class Enum, class Each>
void for_all(const Each& each) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(Enum::count_); ++i) each(static_cast<Enum>(i), i);
}

}  // namespace

std::string prometheus_text(const MetricsSnapshot& snapshot) {
  std::string out = fmt::format(
      "# HELP onward_build_info 1, with the program's version\n# TYPE onward_build_info gauge\n"
      "onward_build_info{{version=\"{}\"}} 1\n",
      snapshot.version);
  for_all<core::Counter>([&](core::Counter counter, std::size_t i) {
    write(out, core::info(counter), std::to_string(snapshot.counters[i]));
  });
  for_all<core::Gauge>([&](core::Gauge gauge, std::size_t i) {
    if (snapshot.gauges[i]) write(out, core::info(gauge), fmt::format("{}", *snapshot.gauges[i]));
  });
  for_all<core::Timing>(
      [&](core::Timing timing, std::size_t i) { write(out, core::info(timing), snapshot.timings[i]); });
  return out;
}

std::string metrics_page() {
  std::string out =
      "<!-- Written by `onward docs metrics` from core/metrics.cpp, core/gauges.cpp and core/timings.cpp; do not edit. "
      "-->\n"
      "# Metrics\n\n"
      "`metrics.listen` (default `127.0.0.1:9254`) answers HTTP: `/metrics` in Prometheus's text format, `/healthz` "
      "(200 while\nthe program runs), `/readyz` (200 while it takes mail; 503 with the reason otherwise). Counters are "
      "sums over all\nshards since the process started; a name that ends in `_total` never falls. There are no labels "
      "but the version and a histogram's bounds.\n`onward status --json` has the same counters under `counters`.\n\n"
      "`conf/onward.rules.yml` holds alert rules, `conf/grafana-onward.json` a dashboard. What to do when an alert "
      "fires:\n[operations.md](operations.md#alerts).\n\n"
      "| metric | kind | meaning | look when |\n|---|---|---|---|\n";
  for_all<core::Counter>([&](core::Counter counter, std::size_t) { out += row(core::info(counter)); });
  for_all<core::Gauge>([&](core::Gauge gauge, std::size_t) { out += row(core::info(gauge)); });
  for_all<core::Timing>([&](core::Timing timing, std::size_t) { out += row(core::info(timing)); });
  out += row(core::CounterInfo{"build_info", "1, with the program's version as a label", ""});
  return out;
}

}  // namespace app
