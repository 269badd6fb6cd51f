// Sends what was seen of TLS with each destination to whom it asks for it (RFC 8460): once a day, by our own queue or
// by HTTPS. Runs on one shard. What could not be sent is tried again with the next round, and dropped with its day
// (queue::kTlsDaysKept).
#pragma once

#include <atomic>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>

#include "core/log.hpp"
#include "dns/resolver.hpp"
#include "forwarder/config.hpp"
#include "forwarder/durable.hpp"
#include "forwarder/tls_report_mail.hpp"

namespace app {

class TlsReporter {
 public:
  struct Means {  // outlives the reporter
    dns::Resolver& resolver;
    forwarder::Durable& durable;  // with an activity log
    core::Log log;
  };
  explicit TlsReporter(Means means) : means_(std::move(means)) {}

  static constexpr std::size_t kMaxTargets = 4;                       // of one record's URIs
  static constexpr std::size_t kMaxOctets = std::size_t{128} * 1024;  // of a report, before it is compressed
  static constexpr core::Seconds kPatience{30};                       // for one POST

  // Reports of every day before `until`, of `domain` or of all (""). "": done as far as it could be; otherwise why not.
  net::Awaitable<std::string> send(std::shared_ptr<const forwarder::Config> config, forwarder::TlsDay today,
                                   forwarder::TlsDay until, std::string domain);
  // A round under way ends with the report it is at. Any thread.
  void stop() { stopping_ = true; }

 private:
  enum class Sent { yes, nobody_asks, later };
  net::Awaitable<Sent> send_one(std::shared_ptr<const forwarder::Config> config, forwarder::TlsDomainResults results);
  net::Awaitable<bool> mail(queue::Composed composed);
  net::Awaitable<std::string> post(const forwarder::Config& config, forwarder::TlsReportTarget target,
                                   std::string report);

  Means means_;
  std::atomic<bool> stopping_ = false;
  bool sending_ = false;
  // Of days that are over: a disk that does not let their rows go must not make us send them again.
  std::set<queue::TlsReported> told_;
};

// For `onward tlsrpt show`: [{day, domain, policies: [...]}].
nlohmann::json show_tls_results(const std::vector<queue::TlsCount>& rows);

}  // namespace app
