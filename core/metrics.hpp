// Every counter of the program, declared once with what it means and when to worry. One Metrics a shard; readers sum.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "core/timings.hpp"

namespace core {

enum class Counter : std::size_t {
  connections,
  connections_refused,
  sessions_open,
  commands_bad,
  commands_bare_line_end,
  smuggling_attempts,
  messages_accepted,
  messages_forwarded,
  messages_queued,
  messages_rejected,
  messages_deferred,
  messages_dropped,
  recipients_unknown,
  queue_delivered,
  queue_deferred,
  queue_failed,
  double_bounces,
  auth_rejected,
  auth_deferred,
  auth_quarantined,
  auth_overridden,
  forecast_failed,
  early_talkers,
  proxy_headers_bad,
  access_blocked,
  dnsbl_refused,
  dnsbl_failures,
  dnsbl_outages,
  rdns_refused,
  helo_refused,
  sender_domain_refused,
  rate_limited,
  greylisted,
  dns_budget_refused,
  loops,
  stress,
  stress_begun,
  dup_possible,
  tls_in,
  tls_in_failed,
  tls_out,
  tls_out_failed,
  tls_out_verified,
  tls_out_refused,
  upstream_clear,
  sts_fetches,
  sts_fetch_failed,
  upstream_connects,
  upstream_reused,
  upstream_connect_failed,
  upstream_replies_bad,
  upstream_about_us,
  upstream_family_retries,
  dns_queries,
  dns_cache_hits,
  dns_timeouts,
  dns_bad_answers,
  spilled_messages,
  memory_refused,
  internal_errors,
  count_
};

struct CounterInfo {
  std::string_view name;  // Prometheus name without the prefix "onward_"
  std::string_view help;
  std::string_view alarm;  // when an operator should look
};

// What `counter` means.
const CounterInfo& info(Counter counter);

// Counters of one shard. Written by its thread, read by any.
class Metrics {
 public:
  void add(Counter counter, std::uint64_t n = 1) { at(counter).fetch_add(n, std::memory_order_relaxed); }
  // For gauges such as sessions_open.
  void subtract(Counter counter, std::uint64_t n = 1) { at(counter).fetch_sub(n, std::memory_order_relaxed); }
  std::uint64_t get(Counter counter) const {
    return values_[static_cast<std::size_t>(counter)].load(std::memory_order_relaxed);
  }
  Timings& timings() { return timings_; }
  const Timings& timings() const { return timings_; }

 private:
  std::atomic<std::uint64_t>& at(Counter counter) { return values_[static_cast<std::size_t>(counter)]; }
  std::array<std::atomic<std::uint64_t>, static_cast<std::size_t>(Counter::count_)> values_{};
  Timings timings_;
};

}  // namespace core
