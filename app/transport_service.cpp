#include "app/transport_service.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <utility>

namespace app {
namespace {

// One after the other: there is no hurry, and a shard has other things to do.
net::Awaitable<void> refresh_all(forwarder::Engine& engine, std::shared_ptr<const forwarder::Config> forwarding,
                                 std::vector<std::string> domains, core::Log log) {
  for (auto& domain : domains) {
    const auto pass = engine.gate().enter();
    if (!pass) co_return;  // we are leaving
    co_await engine.sts().refresh(forwarding, std::move(domain), log);
  }
}

}  // namespace

void TransportService::open(const Config& config) {
  const auto opened =
      transport_.policies.open(config.policy_folder(), forwarder::StsStore::Access::read_write, core::Wall::now());
  if (!opened) {
    log_.warn("mta_sts_policies_not_kept", {{"folder", config.policy_folder()}, {"error", opened.error().message()}});
  }
}

void TransportService::use(const std::shared_ptr<const Config>& config,
                           std::shared_ptr<const forwarder::Config> forwarding, boost::asio::any_io_executor shard,
                           forwarder::Engine& engine) {
  forwarding_ = std::move(forwarding);
  shard_ = shard;
  server_.use(config, std::move(shard));
  if (std::exchange(engine_, &engine) == nullptr) wait_for_refresh();
}

void TransportService::stop() {
  timer_.cancel();
  server_.stop();
}

void TransportService::wait_for_refresh() {
  timer_.expires_after(kRefreshEvery);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    refresh();
    wait_for_refresh();
  });
}

void TransportService::refresh() {
  if (!forwarding_->delivery.mta_sts) return;
  auto domains = transport_.policies.due(core::Wall::now(), kRefreshMost);
  if (domains.empty()) return;
  auto work = refresh_all(*engine_, forwarding_, std::move(domains), log_);
  boost::asio::co_spawn(shard_, std::move(work), boost::asio::detached);
}

}  // namespace app
