// What the daemon does for transport security beside its sessions: keeps the policies of destinations on disk, fetches
// them again before they expire, and serves our own. On the control thread; what is slow runs on a shard.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>

#include "app/config.hpp"
#include "app/policy_server.hpp"
#include "core/log.hpp"
#include "forwarder/engine.hpp"
#include "forwarder/transport.hpp"

namespace app {

class TransportService {
 public:
  static constexpr std::chrono::minutes kRefreshEvery{60};
  static constexpr std::size_t kRefreshMost = 100;  // policies at a time

  TransportService(boost::asio::io_context& control, core::Metrics& metrics, const core::Log& log)
      : log_(log), server_(control, metrics, log), timer_(control) {}

  // For Engine::share().
  forwarder::Transport& transport() { return transport_; }

  // Before privileges are dropped, and for each reload: binds [https] listen. False: nothing has changed.
  bool bind(const Config& config, std::string& error) { return server_.bind(config, error); }
  // Afterwards: reads the policies that are kept in state_dir. A folder that cannot be used is told, no more.
  void open(const Config& config);
  // `engine` lives on `shard`; both outlive the service's work (stop(), and the shard has ended).
  void use(const std::shared_ptr<const Config>& config, std::shared_ptr<const forwarder::Config> forwarding,
           boost::asio::any_io_executor shard, forwarder::Engine& engine);
  void stop();

 private:
  void wait_for_refresh();
  void refresh();

  core::Log log_;
  forwarder::Transport transport_;
  PolicyServer server_;
  boost::asio::steady_timer timer_;
  std::shared_ptr<const forwarder::Config> forwarding_;
  boost::asio::any_io_executor shard_;
  forwarder::Engine* engine_ = nullptr;
};

}  // namespace app
