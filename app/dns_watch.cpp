#include "app/dns_watch.hpp"

#include <boost/asio/co_spawn.hpp>
#include <exception>

namespace app {
namespace {

constexpr core::Seconds kPatience{1800};

}  // namespace

DnsWatch::DnsWatch(boost::asio::any_io_executor executor, core::Metrics& metrics, const core::Clock& clock,
                   core::Log log)
    : executor_(executor), metrics_(metrics), clock_(clock), log_(std::move(log)), timer_(executor) {}

void DnsWatch::start(std::shared_ptr<const Config> config, core::Milliseconds first) {
  config_ = std::move(config);
  wait(first);
}

void DnsWatch::wait(core::Milliseconds time) {
  timer_.expires_after(time);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) begin();
  });
}

// One at a time: the next one is waited for when this one has ended.
void DnsWatch::begin() {
  facts_ = dns_facts(*config_, {});
  resolver_ = std::make_unique<dns::LdnsResolver>(executor_, config_->dns, random_, metrics_, clock_);
  auto work = check_all_dns(*resolver_, *facts_, core::Deadline::after(kPatience));
  boost::asio::co_spawn(executor_, std::move(work),
                        [this](const std::exception_ptr& failed, const std::vector<DnsReport>& reports) {
                          if (failed) {
                            metrics_.add(core::Counter::internal_errors);
                          } else {
                            take(reports);
                          }
                          wait(kEvery);
                        });
}

void DnsWatch::take(const std::vector<DnsReport>& reports) {
  last_ = Seen{clock_.wall(), summarise(reports), reports.size()};
  const auto& summary = last_->summary;
  log_.info("dns_checked", {{"names", reports.size()},
                            {"failed", summary.failures},
                            {"warned", summary.warnings},
                            {"score", summary.score}});
  std::size_t logged = 0;
  for (const auto& report : reports) {
    if (report.worst() != CheckStatus::fail || logged == kMostLogged) continue;
    ++logged;
    std::string names;
    for (const auto& check : report.checks) {
      if (check.status == CheckStatus::fail) names += (names.empty() ? "" : ", ") + check.name;
    }
    log_.warn("dns_check_failed", {{"domain", report.domain}, {"checks", names}});
  }
}

}  // namespace app
