// `onward serve`: everything is put together here and nowhere else. The main thread is the control thread: it accepts,
// handles signals and the admin socket, reloads; shards do the mail. Nothing is global.
#pragma once

#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "app/admin_server.hpp"
#include "app/config.hpp"
#include "app/dns_watch.hpp"
#include "app/mailroom.hpp"
#include "app/metrics_server.hpp"
#include "app/metrics_text.hpp"
#include "app/queue_desk.hpp"
#include "app/rates.hpp"
#include "app/stderr_sink.hpp"
#include "app/transport_service.hpp"
#include "core/budget.hpp"
#include "core/log.hpp"
#include "forwarder/engine.hpp"
#include "forwarder/pipeline.hpp"
#include "net/listener.hpp"
#include "net/shard.hpp"
#include "net/spool.hpp"
#include "smtpd/server.hpp"
#include "srs/token_store.hpp"

namespace app {

class Daemon {
 public:
  // `config` was loaded with `tokens`, which the daemon takes over.
  Daemon(std::shared_ptr<const Config> config, std::unique_ptr<srs::TokenFile> tokens);
  ~Daemon();

  // Binds, drops privileges, serves until SIGTERM, SIGINT or `onward stop`. The exit code.
  int run();

 private:
  // What one shard consists of. Destroyed bottom-up, the shard's context last.
  struct Unit {
    Unit(Daemon& daemon, const std::shared_ptr<const forwarder::Config>& forwarding,
         const std::shared_ptr<const smtpd::Settings>& settings);
    net::Shard shard;
    dns::LdnsResolver resolver;
    forwarder::Engine engine;
    forwarder::Pipeline pipeline;
    smtpd::Server server;
  };
  // One [[listener]] that is open; `info` is what sessions get, replaced by a reload.
  struct Door {
    std::string address;  // as configured
    std::unique_ptr<net::Listener> listener;
    std::shared_ptr<const smtpd::Listener> info;
    bool wanted = true;  // by the configuration
    bool open = true;    // false: closed by a reload, kept until the end
  };

  bool open_doors(const Config& config, std::vector<std::string>& errors);
  void run_door(Door& door);
  bool drop_privileges(std::string& error);
  std::shared_ptr<const forwarder::Config> forwarding_of(const std::shared_ptr<const Config>& config) const;
  void wait_for_signal();
  void watch_certificates();
  void watch_lists();
  bool open_mailroom(int& code);
  void staff_mailroom(const forwarder::Config& forwarding);
  void use_transport(const std::shared_ptr<const forwarder::Config>& forwarding);
  net::Awaitable<nlohmann::json> handle(nlohmann::json request);
  nlohmann::json reload();
  void begin_shutdown();
  net::Awaitable<void> shut_down();
  net::Awaitable<bool> drain_unit(Unit& unit, core::Deadline deadline);
  // app/daemon_status.cpp
  net::Awaitable<nlohmann::json> status();
  nlohmann::json admission_status();
  nlohmann::json upstream_status();
  void take_sample();
  std::uint64_t sum(core::Counter counter) const;
  core::Histogram sum(core::Timing timing) const;
  // app/daemon_metrics.cpp. After every (re)load; false: `error` says why nobody answers metrics.listen.
  bool open_metrics(std::string& error);
  nlohmann::json diff() const;  // what a reload would change
  net::Awaitable<std::string> metrics_text();
  MetricsSnapshot snapshot() const;
  std::string not_ready() const;

  std::shared_ptr<const Config> config_;
  std::unique_ptr<srs::TokenFile> tokens_;
  StderrSink sink_;
  core::Log log_;
  core::SystemClock clock_;
  core::Metrics metrics_;  // of the control thread
  core::Budget memory_, disk_;
  core::Steady::time_point started_ = core::Steady::now();
  net::Spool spool_;
  auth::DkimLibrary dkim_library_;
  forwarder::Slots slots_;
  smtpd::ConnectionTable connections_;
  smtpd::Stress stress_;
  core::SystemRandom random_;  // of the control thread
  forwarder::AdmissionState admission_{random_};
  Mailroom mailroom_;
  boost::asio::io_context control_{1};
  boost::asio::signal_set signals_{control_};
  boost::asio::steady_timer watch_{control_}, lists_watch_{control_};
  TransportService transport_{control_, metrics_, log_};
  std::string certificates_seen_;  // inode, size and time of change of each TLS file
  std::vector<std::unique_ptr<Unit>> units_;
  std::vector<std::unique_ptr<Door>> doors_;
  std::unique_ptr<QueueDesk> desk_;
  std::unique_ptr<AdminServer> admin_;
  std::unique_ptr<MetricsServer> metrics_server_;
  std::string metrics_address_;  // of metrics_server_; "" : none
  const core::Wall::time_point start_time_ = core::Wall::now();
  core::Wall::time_point configuration_time_;
  std::optional<core::Wall::time_point> certificate_end_;  // of the first one
  bool configuration_failed_ = false;
  DnsWatch dns_watch_{control_.get_executor(), metrics_, clock_, log_};
  RateKeeper rates_;
  const uid_t owner_ = ::getuid();  // who started us
  std::size_t next_unit_ = 0;
  bool shutting_down_ = false, drained_ = false;
};

}  // namespace app
