// Every gauge of the program, declared once with what it means and when to worry: states, where core/metrics.hpp has
// events. Whoever prints them reads the state when asked; nothing is kept here.
#pragma once

#include <array>
#include <optional>

#include "core/metrics.hpp"

namespace core {

enum class Gauge : std::size_t {
  start_time,
  memory,
  memory_limit,
  spill,
  spill_limit,
  pressure,
  draining,
  log_lines_dropped,
  domains,
  addresses,
  configuration_time,
  configuration_failed,
  certificate_end,
  upstream_connections,
  queue_active,
  queue_deferred,
  queue_hold,
  queue_oldest,
  dns_check_time,
  dns_check_failures,
  dns_check_warnings,
  dns_check_score,
  count_
};

// A name that ends in "_total" is a counter that somebody else keeps.
const CounterInfo& info(Gauge gauge);

// What is known of them now; those without a value are not printed.
using Gauges = std::array<std::optional<double>, static_cast<std::size_t>(Gauge::count_)>;
inline void set(Gauges& gauges, Gauge gauge, double value) {
  gauges[static_cast<std::size_t>(gauge)] = value;
}

}  // namespace core
