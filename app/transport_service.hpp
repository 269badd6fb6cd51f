// What the daemon does for transport security beside its sessions: keeps the policies of destinations on disk, fetches
// them again before they expire, sends TLS reports, and serves our own policy. On the control thread; what is
// slow runs on a shard.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "app/config.hpp"
#include "app/policy_server.hpp"
#include "app/tls_reporter.hpp"
#include "core/log.hpp"
#include "forwarder/engine.hpp"
#include "forwarder/transport.hpp"

namespace app {

class TransportService {
 public:
  static constexpr std::chrono::hours kEvery{1};    // policies are fetched again, and reports sent
  static constexpr std::size_t kRefreshMost = 100;  // policies at a time

  TransportService(boost::asio::io_context& control, core::Metrics& metrics, const core::Log& log)
      : log_(log), server_(control, metrics, log), timer_(control) {}

  // For Engine::share().
  forwarder::Transport& transport() { return transport_; }

  // Before privileges are dropped, and for each reload: binds [https] listen. False: nothing has changed.
  bool bind(const Config& config, std::string& error) { return server_.bind(config, error); }
  // Afterwards, and before the shards start: reads the policies kept in state_dir; what cannot be used is told, no
  // more. What is seen of TLS goes to `activity`, which outlives the sessions.
  void open(const Config& config, queue::ActivityLog& activity);

  // The first shard's; all of it outlives the service's work (stop(), and the shard has ended).
  struct Place {
    boost::asio::any_io_executor shard;
    forwarder::Engine* engine = nullptr;
    dns::Resolver* resolver = nullptr;
    forwarder::Durable* durable = nullptr;
  };
  void use(const std::shared_ptr<const Config>& config, std::shared_ptr<const forwarder::Config> forwarding,
           Place place);
  void stop();

  // `onward tlsrpt`: {"command": "tlsrpt.show" or "tlsrpt.send", "domain": ""}
  static bool takes(std::string_view command) { return command.starts_with("tlsrpt."); }
  net::Awaitable<nlohmann::json> answer(nlohmann::json request);

 private:
  void wait();
  void refresh();
  void report();

  core::Log log_;
  forwarder::Transport transport_;
  PolicyServer server_;
  boost::asio::steady_timer timer_;
  std::shared_ptr<const forwarder::Config> forwarding_;
  Place place_;
  std::shared_ptr<TlsReporter> reporter_;
  std::unique_ptr<forwarder::TlsResultLog> results_;
};

}  // namespace app
