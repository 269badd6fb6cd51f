#include "app/transport_service.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>
#include <utility>

#include "app/report_hours.hpp"

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

forwarder::TlsDay today() {
  return std::chrono::floor<std::chrono::days>(core::Wall::now());
}

// "" or what is wrong.
net::Awaitable<std::string> send_reports(forwarder::Engine& engine, std::shared_ptr<TlsReporter> reporter,
                                         std::shared_ptr<const forwarder::Config> forwarding, forwarder::TlsDay until,
                                         std::string domain) {
  const auto pass = engine.gate().enter();
  if (!pass) co_return "we are leaving";
  co_return co_await reporter->send(std::move(forwarding), today(), until, std::move(domain));
}

}  // namespace

void TransportService::open(const Config& config, queue::ActivityLog& activity) {
  const auto opened =
      transport_.policies.open(config.policy_folder(), forwarder::StsStore::Access::read_write, core::Wall::now());
  if (!opened) {
    log_.warn("mta_sts_policies_not_kept", {{"folder", config.policy_folder()}, {"error", opened.error().message()}});
  }
  results_ = std::make_unique<forwarder::TlsResultLog>(activity);
  transport_.results = results_.get();
}

void TransportService::use(const std::shared_ptr<const Config>& config,
                           std::shared_ptr<const forwarder::Config> forwarding, Place place) {
  forwarding_ = std::move(forwarding);
  server_.use(config, place.shard);
  const bool first = place_.engine == nullptr;
  place_ = std::move(place);
  if (!first) return;
  reporter_ = std::make_shared<TlsReporter>(TlsReporter::Means{*place_.resolver, *place_.durable, log_});
  wait();
}

void TransportService::stop() {
  timer_.cancel();
  server_.stop();
  if (reporter_) reporter_->stop();
}

void TransportService::wait() {
  timer_.expires_after(kEvery);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    refresh();
    report();
    wait();
  });
}

void TransportService::refresh() {
  if (!forwarding_->delivery.mta_sts) return;
  auto domains = transport_.policies.due(core::Wall::now(), kRefreshMost);
  if (domains.empty()) return;
  auto work = refresh_all(*place_.engine, forwarding_, std::move(domains), log_);
  boost::asio::co_spawn(place_.shard, std::move(work), boost::asio::detached);
}

void TransportService::report() {
  const auto until = reports_due_before(core::Wall::now(), forwarding_->hostname);
  if (!until) return;
  auto work = send_reports(*place_.engine, reporter_, forwarding_, *until, "");
  boost::asio::co_spawn(place_.shard, std::move(work), boost::asio::detached);
}

net::Awaitable<nlohmann::json> TransportService::answer(nlohmann::json request) {
  const auto domain = request.value("domain", std::string());
  nlohmann::json out{{"ok", true}};
  if (request.value("command", std::string()) == "tlsrpt.send") {
    auto work = send_reports(*place_.engine, reporter_, forwarding_, today() + std::chrono::days(1), domain);
    const auto wrong = co_await boost::asio::co_spawn(place_.shard, std::move(work), boost::asio::use_awaitable);
    if (!wrong.empty()) out = {{"ok", false}, {"error", wrong}};
    co_return out;
  }
  queue::TlsQuery query{domain};
  const auto rows = co_await place_.durable->activity->query(std::move(query));
  if (!rows) co_return nlohmann::json{{"ok", false}, {"error", rows.error().message()}};
  out["results"] = show_tls_results(*rows);
  co_return out;
}

}  // namespace app
