// The daemon's part in /metrics, /healthz and /readyz: what it knows, and when it takes mail.
#include <algorithm>

#include "app/config_files.hpp"
#include "app/daemon.hpp"
#include "app/metrics_text.hpp"
#include "net/certificate.hpp"

namespace app {
namespace {

constexpr std::size_t kMaxCertificateFile = 1U << 20;
constexpr int kRefusing = 3;  // core::Budget::pressure(): connections are refused

double unix_seconds(core::Wall::time_point when) {
  return static_cast<double>(core::Wall::to_time_t(when));
}

// When the first one ends.
std::optional<core::Wall::time_point> certificate_end(const Config& config) {
  std::optional<core::Wall::time_point> first;
  for (std::size_t i = 0; i < config.tls_files.size(); i += 2) {  // certificate, key, certificate, ...
    const auto pem = read_file(config.tls_files[i], kMaxCertificateFile);
    const auto summary =
        pem ? net::summarise_certificate(*pem) : core::Explained<net::CertificateSummary>(core::Problem{});
    if (summary && (!first || summary->expires < *first)) first = summary->expires;
  }
  return first;
}

}  // namespace

bool Daemon::open_metrics(std::string& error) {
  configuration_time_ = core::Wall::now();
  configuration_failed_ = false;
  certificate_end_ = certificate_end(*config_);
  if (config_->metrics_listen == metrics_address_) return true;
  metrics_server_.reset();
  metrics_address_ = config_->metrics_listen;
  if (metrics_address_.empty()) return true;
  auto server = std::make_unique<MetricsServer>(
      control_.get_executor(), metrics_address_,
      MetricsServer::Callbacks{[this] { return metrics_text(); }, [this] { return not_ready(); }});
  if (!server->start(error)) {
    metrics_address_.clear();  // the next reload tries again
    return false;
  }
  metrics_server_ = std::move(server);
  return true;
}

std::string Daemon::not_ready() const {
  if (shutting_down_) return "draining";
  if (std::max(memory_.pressure(), disk_.pressure()) >= kRefusing) return "no memory or spill space left";
  return {};
}

net::Awaitable<std::string> Daemon::metrics_text() {
  using core::Gauge;
  const auto& store = *mailroom_.durable().store;
  const auto queue = co_await mailroom_.durable().store->statistics();
  auto out = snapshot();
  if (queue) {
    const auto put = [&out](Gauge gauge, auto value) { core::set(out.gauges, gauge, static_cast<double>(value)); };
    put(Gauge::queue_active, queue->active);
    put(Gauge::queue_deferred, queue->deferred);
    put(Gauge::queue_hold, queue->held);
    put(Gauge::queue_oldest, queue->messages == 0 ? 0 : (store.now() - queue->oldest) / 1000);
  }
  co_return prometheus_text(out);
}

MetricsSnapshot Daemon::snapshot() const {
  using core::Gauge;
  MetricsSnapshot out;
  out.version = ONWARD_VERSION;
  for (std::size_t i = 0; i < out.counters.size(); ++i) out.counters[i] = sum(static_cast<core::Counter>(i));
  const auto put = [&out](Gauge gauge, auto value) { core::set(out.gauges, gauge, static_cast<double>(value)); };
  put(Gauge::start_time, unix_seconds(start_time_));
  put(Gauge::memory, memory_.used());
  put(Gauge::memory_limit, memory_.limit());
  put(Gauge::spill, disk_.used());
  put(Gauge::spill_limit, disk_.limit());
  put(Gauge::pressure, std::max(memory_.pressure(), disk_.pressure()));
  put(Gauge::draining, shutting_down_ ? 1 : 0);
  put(Gauge::log_lines_dropped, sink_.dropped());
  put(Gauge::domains, config_->domains);
  put(Gauge::addresses, config_->addresses);
  put(Gauge::configuration_time, unix_seconds(configuration_time_));
  put(Gauge::configuration_failed, configuration_failed_ ? 1 : 0);
  if (certificate_end_) put(Gauge::certificate_end, unix_seconds(*certificate_end_));
  for (std::size_t i = 0; i < out.timings.size(); ++i) out.timings[i] = sum(static_cast<core::Timing>(i));
  if (const auto& seen = dns_watch_.last()) {
    put(Gauge::dns_check_time, unix_seconds(seen->time));
    put(Gauge::dns_check_failures, seen->summary.failures);
    put(Gauge::dns_check_warnings, seen->summary.warnings);
    put(Gauge::dns_check_score, seen->summary.score);
  }
  std::size_t connections = 0;
  for (const auto& [target, count] : slots_.in_use()) connections += count;
  put(Gauge::upstream_connections, connections);
  return out;
}

}  // namespace app
