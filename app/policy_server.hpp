// [https]: serves https://mta-sts.DOMAIN/.well-known/mta-sts.txt of the forwarded domains (RFC 8461 §3.3), and nothing
// else. Accepts on the control thread, speaks on a shard. One request a connection, everything bounded.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "app/config.hpp"
#include "core/log.hpp"
#include "net/listener.hpp"

namespace app {

class PolicyServer {
 public:
  static constexpr unsigned kMaxConnections = 100;
  static constexpr core::Seconds kPatience{10};  // for all of a connection

  // Both outlive the server.
  PolicyServer(boost::asio::io_context& control, core::Metrics& metrics, core::Log log)
      : control_(control), metrics_(metrics), log_(std::move(log)) {}
  PolicyServer(const PolicyServer&) = delete;

  // Binds config.https.listen where it is another one than before; false: `error` says why, and all stays as it was.
  bool bind(const Config& config, std::string& error);
  // What is served from now on. `shard` speaks with the clients.
  void use(const std::shared_ptr<const Config>& config, boost::asio::any_io_executor shard);
  void stop();
  // 0: not listening.
  std::uint16_t port() const { return listener_ ? listener_->port() : 0; }

 private:
  void run(net::Listener& listener);

  boost::asio::io_context& control_;
  core::Metrics& metrics_;
  core::Log log_;
  std::string address_;
  std::unique_ptr<net::Listener> listener_, fresh_;
  std::vector<std::unique_ptr<net::Listener>> retired_;  // their run() may not have ended yet
  std::shared_ptr<const Config> config_;
  boost::asio::any_io_executor shard_;
  std::shared_ptr<std::atomic<unsigned>> open_ = std::make_shared<std::atomic<unsigned>>(0);
};

// The answer to one request's head, whole, as it travels. Pure.
std::string answer_policy_request(std::string_view head, const policy::Routes& routes, const std::string& hostname);

}  // namespace app
