// The daemon's own `onward dns check --all`: soon after the start and every six hours, for the metrics, `onward status`
// and the log. Threads: the executor's alone. Destroyed before its executor's context, whether a check is under way or
// not.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>

#include "app/config.hpp"
#include "app/dns_check.hpp"
#include "core/log.hpp"
#include "core/metrics.hpp"
#include "core/random.hpp"
#include "dns/resolver.hpp"

namespace app {

class DnsWatch {
 public:
  static constexpr core::Seconds kFirst{15};
  static constexpr core::Seconds kEvery{6 * 3600};
  static constexpr std::size_t kMostLogged = 20;  // names that failed, a line each

  // `metrics` and `clock` outlive the watch.
  DnsWatch(boost::asio::any_io_executor executor, core::Metrics& metrics, const core::Clock& clock, core::Log log);

  // The first check comes `first` later. Once.
  void start(std::shared_ptr<const Config> config, core::Milliseconds first = kFirst);
  // After a reload: what the next check is about.
  void set_config(std::shared_ptr<const Config> config) { config_ = std::move(config); }
  // No further checks.
  void stop() { timer_.cancel(); }

  struct Seen {
    core::Wall::time_point time;
    DnsSummary summary;
    std::size_t names = 0;
  };
  // Nothing: no check has ended yet.
  const std::optional<Seen>& last() const { return last_; }

 private:
  void wait(core::Milliseconds time);
  void begin();
  void take(const std::vector<DnsReport>& reports);

  boost::asio::any_io_executor executor_;
  core::Metrics& metrics_;
  const core::Clock& clock_;
  core::Log log_;
  core::SystemRandom random_;
  std::shared_ptr<const Config> config_;
  boost::asio::steady_timer timer_;
  std::optional<DnsFacts> facts_;  // of the check under way
  std::unique_ptr<dns::LdnsResolver> resolver_;
  std::optional<Seen> last_;
};

}  // namespace app
