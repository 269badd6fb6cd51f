#include "core/metrics.hpp"

namespace core {
namespace {

constexpr std::array<CounterInfo, static_cast<std::size_t>(Counter::count_)> kInfo{{
    {"connections_total", "Client connections accepted", ""},
    {"connections_refused_total", "Clients refused at connect (caps, memory, draining)", "a steady rise"},
    {"sessions_open", "Client sessions open now", "near limits.connections"},
    {"commands_bad_total", "Commands refused for syntax, order or length", ""},
    {"commands_bare_line_end_total", "Command lines ended by a bare LF or CR", ""},
    {"smuggling_attempts_total", "False ends of data followed by commands", "any: somebody is probing"},
    {"messages_accepted_total", "Messages whose data were received whole", ""},
    {"messages_forwarded_total", "Messages the destinations took (250)", "zero while messages are accepted"},
    {"messages_queued_total", "Messages that became ours (250), to be delivered from the queue", ""},
    {"messages_rejected_total", "Messages refused for good (5xx) after the data", ""},
    {"messages_deferred_total", "Messages put off (4xx) after the data", "more than the forwarded ones"},
    {"messages_dropped_total", "Messages dropped by rule", ""},
    {"recipients_unknown_total", "Recipients refused as unknown", ""},
    {"queue_delivered_total", "Recipients delivered from the queue", ""},
    {"queue_deferred_total", "Attempts from the queue that are to be repeated", "much more than the delivered ones"},
    {"queue_failed_total", "Recipients of queued messages that have failed for good", "a jump: look at onward log"},
    {"double_bounces_total", "Reports that could not be delivered, and were dropped", "a steady rise"},
    {"auth_rejected_total", "Messages refused (5xx) by SPF, DMARC or for lack of authentication", "a jump"},
    {"auth_deferred_total", "Messages put off (4xx) because DNS did not answer for SPF, DKIM or DMARC",
     "a steady rise"},
    {"auth_quarantined_total", "Messages tagged because DMARC asks for quarantine", ""},
    {"auth_overridden_total", "DMARC failures that a chain of trusted ARC sealers excused", ""},
    {"forecast_failed_total", "Deliveries whose destination is expected to fail DMARC", "many: SPF-only senders"},
    {"early_talkers_total", "Clients that spoke before the banner", ""},
    {"proxy_headers_bad_total", "Connections of proxies that did not begin with a good PROXY header",
     "any: the proxy's configuration"},
    {"access_blocked_total", "Clients refused by access rules", ""},
    {"dnsbl_refused_total", "Recipients refused because the client is on block lists", "a jump"},
    {"dnsbl_failures_total", "Questions to block lists without a usable answer", "a steady rise: see onward status"},
    {"dnsbl_outages_total", "Block lists taken out because they cannot be believed", "any: see onward status"},
    {"rdns_refused_total", "Recipients refused or put off for the client's reverse DNS", ""},
    {"helo_refused_total", "Recipients refused or put off for the HELO name", ""},
    {"sender_domain_refused_total", "Senders refused or put off because their domain cannot take mail", ""},
    {"rate_limited_total", "Messages and recipients put off by a rate (450)", "a known partner's address in the log"},
    {"greylisted_total", "Recipients put off by greylisting", ""},
    {"dns_budget_refused_total", "DNS questions not asked because one message caused too many", "any"},
    {"loops_total", "Messages refused as loops", "a steady rise: two forwardings point at each other"},
    {"stress", "1 while the stress profile shortens timeouts", "it stays on: raise limits.connections"},
    {"stress_begun_total", "How often the stress profile went on", ""},
    {"dup_possible_total", "Deliveries whose outcome stayed unknown after the final dot", "any steady rate"},
    {"tls_in_total", "Inbound TLS sessions", ""},
    {"tls_in_failed_total", "Inbound TLS handshakes that failed", ""},
    {"tls_out_total", "Upstream TLS sessions", ""},
    {"tls_out_failed_total", "Upstream TLS handshakes that failed", "a steady rise"},
    {"tls_out_verified_total", "Upstream TLS sessions whose server was verified (DANE, MTA-STS, tls = \"verify\")", ""},
    {"tls_out_refused_total", "Upstream sessions given up because a TLS policy was not met", "a steady rise"},
    {"upstream_clear_total", "Upstream sessions in clear text", ""},
    {"sts_fetches_total", "MTA-STS policies fetched or tried", ""},
    {"sts_fetch_failed_total", "MTA-STS policies that could not be fetched", "more than a few of many"},
    {"upstream_connects_total", "Upstream connections opened", ""},
    {"upstream_reused_total", "Transactions sent over a kept upstream connection", ""},
    {"upstream_connect_failed_total", "Upstream addresses that did not connect", "a steady rise"},
    {"upstream_replies_bad_total", "Upstream replies that broke the grammar", "any: look at the log"},
    {"upstream_about_us_total", "Upstream refusals that are about us, not the message", "any: our reputation suffers"},
    {"upstream_family_retries_total", "Transactions repeated over IPv4 after an IPv6 refusal", "many: fix PTR and SPF"},
    {"dns_queries_total", "DNS questions sent", ""},
    {"dns_cache_hits_total", "DNS questions answered from the cache", ""},
    {"dns_timeouts_total", "DNS questions no server answered in time", "a steady rise"},
    {"dns_bad_answers_total", "DNS answers dropped as malformed or not ours", "many: somebody is spoofing"},
    {"spilled_messages_total", "Messages that grew beyond limits.spill_above", ""},
    {"memory_refused_total", "Transactions refused for lack of memory or spill space (452)",
     "any: raise limits.memory"},
    {"internal_errors_total", "Sessions ended by a bug of ours (421)", "any: report it"},
}};

}  // namespace

const CounterInfo& info(Counter counter) {
  return kInfo[static_cast<std::size_t>(counter)];
}

}  // namespace core
