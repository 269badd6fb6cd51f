#include "core/gauges.hpp"

namespace core {
namespace {

constexpr std::array<CounterInfo, static_cast<std::size_t>(Gauge::count_)> kInfo{{
    {"start_time_seconds", "When the process started, in Unix seconds", "it changes without you: look at the log"},
    {"memory_bytes", "Message data held in RAM", ""},
    {"memory_limit_bytes", "limits.memory", ""},
    {"spill_bytes", "Message data in spill files", ""},
    {"spill_limit_bytes", "limits.spill", ""},
    {"pressure_level", "0: fine; 1: messages spill at once; 2: MAIL is refused (452); 3: connections are refused (421)",
     "2 or more: raise limits.memory or limits.spill, or find out who holds it"},
    {"draining", "1 while the daemon finishes what it has and takes nothing new", ""},
    {"log_lines_dropped_total", "Log lines that nobody read fast enough", "any: the log's reader is slow"},
    {"domains", "Forwarded domains", "a jump"},
    {"addresses", "Exact rules and aliases", "a jump"},
    {"configuration_time_seconds", "When the configuration in use was loaded, in Unix seconds", ""},
    {"configuration_failed", "1 after a reload that failed: the old configuration goes on", "1: onward check"},
    {"certificate_end_seconds", "When the first of our certificates ends, in Unix seconds", "less than two weeks away"},
    {"upstream_connections", "Connections to destinations open now", ""},
    {"queue_active_messages", "Messages in the queue that are being sent", ""},
    {"queue_deferred_messages", "Messages in the queue that wait for their next attempt",
     "a steady rise: a destination is down, or refuses us"},
    {"queue_hold_messages", "Messages in the queue that an operator holds", "forgotten ones"},
    {"queue_oldest_seconds", "Age of the oldest message in the queue", "more than a day"},
    {"dns_check_time_seconds", "When our DNS records were last checked, in Unix seconds", ""},
    {"dns_check_failures", "Names whose DNS check failed: our own and the forwarded domains",
     "any: onward dns check --all"},
    {"dns_check_warnings", "Names whose DNS check passed with warnings", ""},
    {"dns_check_score", "The lowest score of a DNS check", ""},
}};

}  // namespace

const CounterInfo& info(Gauge gauge) {
  return kInfo[static_cast<std::size_t>(gauge)];
}

}  // namespace core
