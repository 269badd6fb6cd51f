#include "app/daemon.hpp"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/packaged_task.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "app/config_diff.hpp"
#include "app/notify.hpp"
#include "app/sandbox.hpp"

namespace app {
namespace {

constexpr unsigned kSpoolThreads = 2;
// How long a shutdown waits for sessions past the dot before it gives up on them (DU-15).
constexpr core::Seconds kDrainTime{60};
// How long a shutdown or a reload waits for a shard that is busy.
constexpr core::Seconds kAskUnit{2};
// How often certificate files are looked at.
constexpr core::Seconds kWatchTime{5};
static_assert(kWatchTime == RateKeeper::kEvery);
// How often it is looked at whether a block list's self-test is due.
constexpr core::Seconds kListsTime{15};

// Changes when one of the files is written, replaced or goes.
std::string state_of(const std::vector<std::string>& files) {
  std::string state;
  for (const auto& file : files) {
    struct stat st{};
    if (::stat(file.c_str(), &st) != 0) {
      state += "gone;";
      continue;
    }
    state += fmt::format("{}:{}:{}.{};", st.st_ino, st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
  }
  return state;
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  static_cast<void>(::setrlimit(RLIMIT_NOFILE, &limit));
}

// RS-09: how many clients there are descriptors for. Two thirds of those that are left now: the others are for the
// connections to destinations, spill files and DNS, without which a client is of no use.
std::size_t client_descriptors() {
  constexpr std::size_t kKept = 16;  // commands on the admin socket, files of a reload, the answer 421 itself
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return SIZE_MAX;
  std::size_t open = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", ignored)) {
    static_cast<void>(entry);
    ++open;
  }
  const auto taken = open + kKept;
  return limit.rlim_cur > taken + 1 ? (limit.rlim_cur - taken) * 2 / 3 : 1;
}

unsigned shard_count(unsigned configured) {
  if (configured != 0) return configured;
  return std::max(1U, std::thread::hardware_concurrency());
}

std::shared_ptr<const smtpd::Settings> settings_of(const std::shared_ptr<const Config>& config) {
  return {config, &config->smtp};
}

}  // namespace

Daemon::Unit::Unit(Daemon& daemon, const std::shared_ptr<const forwarder::Config>& forwarding,
                   const std::shared_ptr<const smtpd::Settings>& settings)
    : resolver(shard.executor(), daemon.config_->dns, shard.random(), shard.metrics(), daemon.clock_),
      engine(shard.executor(), resolver, daemon.slots_, shard.random(), shard.metrics()),
      pipeline({shard.executor(), &engine, &resolver, &daemon.spool_, &daemon.memory_, &daemon.disk_, &shard.metrics(),
                &daemon.clock_, &daemon.dkim_library_, &daemon.admission_, &daemon.mailroom_.durable()},
               forwarding, daemon.log_),
      server({shard.executor(), pipeline, daemon.connections_, daemon.memory_, shard.metrics(), daemon.log_,
              shard.random(), daemon.stress_},
             settings) {
  engine.share(daemon.transport_.transport());
}

Daemon::Daemon(std::shared_ptr<const Config> config, std::unique_ptr<srs::TokenFile> tokens)
    : config_(std::move(config)),
      tokens_(std::move(tokens)),
      log_(sink_, config_->log.format, config_->log.level),
      memory_(config_->limits.memory),
      disk_(config_->limits.spill),
      spool_(config_->state_dir, kSpoolThreads),
      mailroom_(clock_, log_, metrics_) {}

Daemon::~Daemon() = default;

// ---- start

bool Daemon::open_doors(const Config& config, std::vector<std::string>& errors) {
  for (auto& door : doors_) door->wanted = false;
  for (const auto& listener : config.listeners) {
    auto info = std::make_shared<smtpd::Listener>();
    info->name = listener.address;
    info->tls = listener.tls;
    info->server = listener.server;
    info->proxy = listener.proxy;
    info->proxies = listener.proxies;
    bool known = false;
    for (auto& door : doors_) {
      if (!door->open || door->address != listener.address) continue;
      door->info = info;
      door->wanted = known = true;
    }
    if (known) continue;
    std::string error;
    auto opened = net::Listener::open(control_.get_executor(), listener.address, metrics_, error);
    if (opened.empty()) {
      errors.push_back(fmt::format("{}: {}: {}", listener.where, listener.address, error));
      continue;
    }
    for (auto& one : opened) {
      auto door = std::make_unique<Door>();
      door->address = listener.address;
      door->listener = std::move(one);
      door->info = info;
      doors_.push_back(std::move(door));
    }
  }
  return errors.empty();
}

void Daemon::run_door(Door& door) {
  const auto next = [this]() -> boost::asio::any_io_executor {
    next_unit_ = (next_unit_ + 1) % units_.size();
    return units_[next_unit_]->shard.executor();
  };
  const auto handler = [this, &door](net::Socket socket) {
    for (auto& unit : units_) {
      if (unit->shard.executor() != socket.get_executor()) continue;
      boost::asio::post(unit->shard.executor(),
                        [server = &unit->server, info = door.info, taken = std::move(socket)]() mutable {
                          server->accept(std::move(taken), std::move(info));
                        });
      return;
    }
  };
  auto work = door.listener->run(next, handler);
  boost::asio::co_spawn(control_, std::move(work), boost::asio::detached);
}

bool Daemon::drop_privileges(std::string& error) {
  if (::geteuid() != 0 || config_->user.empty() || config_->user == "root") return true;
  const passwd* user = ::getpwnam(config_->user.c_str());
  if (user == nullptr) {
    error = fmt::format("user \"{}\" does not exist; create it (conf/onward.sysusers) or set user in {}", config_->user,
                        config_->file);
    return false;
  }
  if (::initgroups(user->pw_name, user->pw_gid) != 0 || ::setresgid(user->pw_gid, user->pw_gid, user->pw_gid) != 0 ||
      ::setresuid(user->pw_uid, user->pw_uid, user->pw_uid) != 0) {
    error = fmt::format("cannot become user \"{}\": {}", config_->user, std::strerror(errno));
    return false;
  }
  return true;
}

std::shared_ptr<const forwarder::Config> Daemon::forwarding_of(const std::shared_ptr<const Config>& config) const {
  auto forwarding = std::make_shared<forwarder::Config>(config->forwarding);
  forwarding->listeners.clear();
  for (const auto& door : doors_) {
    if (!door->wanted) continue;
    forwarding->listeners.push_back(core::HostPort{door->listener->address().to_string(), door->listener->port()});
  }
  return forwarding;
}

// After privileges are gone: what it makes belongs to `user`.
bool Daemon::open_mailroom(int& code) {
  std::string error;
  code = mailroom_.open({config_->state_dir, config_->limits.ledger, config_->log.activity}, error);
  if (code == 0) return true;
  fmt::print(stderr, "onward: {}\n", error);
  return false;
}

void Daemon::staff_mailroom(const forwarder::Config& forwarding) {
  std::vector<Mailroom::Place> places;
  for (auto& unit : units_) places.push_back({&unit->shard, &unit->engine, &unit->pipeline});
  mailroom_.staff(std::move(places), forwarding);
  desk_ = std::make_unique<QueueDesk>(mailroom_.durable(), units_.front()->shard.executor(), log_);
  boost::asio::post(units_.front()->shard.executor(), [this] { mailroom_.start(); });
}

void Daemon::use_transport(const std::shared_ptr<const forwarder::Config>& forwarding) {
  auto& first = *units_.front();
  transport_.use(config_, forwarding, {first.shard.executor(), &first.engine, &first.resolver, &mailroom_.durable()});
}

int Daemon::run() {
  raise_descriptor_limit();
  ::signal(SIGPIPE, SIG_IGN);
  // Before anybody can find us by our ports: an early SIGHUP must wait for its turn, not end the process.
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) signals_.add(number);
  wait_for_signal();
  std::vector<std::string> errors;
  std::string error;
  if (!open_doors(*config_, errors) || !transport_.bind(*config_, error) || !drop_privileges(error)) {
    if (!error.empty()) errors.push_back(error);
    for (const auto& text : errors) fmt::print(stderr, "onward: {}\n", text);
    return 1;
  }
  // A kernel built without it is no reason to stand still; the operator is told.
  if (const auto given_up = give_up_privileges(); !given_up) {
    log_.warn("not_confined", {{"reason", given_up.error().text}});
  }
  int code = 0;
  if (!open_mailroom(code)) return code;
  transport_.open(*config_, *mailroom_.durable().activity);
  admin_ = std::make_unique<AdminServer>(control_.get_executor(), config_->admin_socket, owner_,
                                         [this](nlohmann::json request) { return handle(std::move(request)); });
  if (!admin_->start(error) || !open_metrics(error)) {
    fmt::print(stderr, "onward: {}\n", error);
    return 1;
  }
  const auto forwarding = forwarding_of(config_);
  const auto settings = settings_of(config_);
  for (unsigned i = 0; i < shard_count(config_->threads); ++i) {
    units_.push_back(std::make_unique<Unit>(*this, forwarding, settings));
  }
  connections_.set_ceiling(client_descriptors());
  if (connections_.ceiling() < config_->limits.connections) {
    log_.warn("few_descriptors", {{"connections", connections_.ceiling()},
                                  {"limits.connections", config_->limits.connections},
                                  {"hint", "raise LimitNOFILE (RLIMIT_NOFILE)"}});
  }
  staff_mailroom(*forwarding);
  for (auto& unit : units_) unit->shard.start();
  use_transport(forwarding);
  for (auto& door : doors_) {
    run_door(*door);
    log_.info("listening",
              {{"address", core::HostPort{door->listener->address().to_string(), door->listener->port()}.to_string()}});
  }
  for (const auto& warning : config_->warnings) log_.warn("configuration", {{"warning", warning.to_string()}});
  certificates_seen_ = state_of(config_->tls_files);
  take_sample();
  watch_certificates();
  dns_watch_.start(config_);
  watch_lists();
  log_.info("started", {{"version", ONWARD_VERSION},
                        {"shards", units_.size()},
                        {"domains", config_->domains},
                        {"addresses", config_->addresses}});
  notify_systemd("READY=1");
  control_.run();
  // Accepted sockets that are still queued here belong to the shards, which end before this context does.
  control_.restart();
  control_.poll();

  for (auto& unit : units_) {
    unit->shard.stop_now();
    unit->shard.join();
  }
  log_.info("stopped", {{"drained", drained_}});
  if (!drained_) {
    // Sessions or attempts are still suspended somewhere below: nothing of them may run or be taken apart any more.
    sink_.finish();
    std::_Exit(0);
  }
  mailroom_.dismiss();
  return 0;
}

void Daemon::wait_for_signal() {
  signals_.async_wait([this](const boost::system::error_code& error, int number) {
    if (error) return;
    if (number == SIGHUP) {
      static_cast<void>(reload());
    } else {
      begin_shutdown();
    }
    wait_for_signal();
  });
}

// interface.md [tls]: certbot and its like replace the files; two looks must agree, so that a pair half written is not
// read. A bad pair keeps the old one (TL-09), and is tried again when the files change again.
void Daemon::watch_certificates() {
  watch_.expires_after(kWatchTime);
  watch_.async_wait([this, before = state_of(config_->tls_files)](const boost::system::error_code& error) {
    if (error) return;
    const auto now = state_of(config_->tls_files);
    if (now != certificates_seen_ && now == before) {
      certificates_seen_ = now;
      log_.info("certificate_changed", {});
      static_cast<void>(reload());
    }
    take_sample();
    watch_certificates();
  });
}

// RFC 5782 §5: block lists are tested at start, and ever again. One shard does it for all.
void Daemon::watch_lists() {
  boost::asio::post(units_.front()->shard.executor(), [unit = units_.front().get()] { unit->pipeline.test_lists(); });
  lists_watch_.expires_after(kListsTime);
  lists_watch_.async_wait([this](const boost::system::error_code& error) {
    if (!error) watch_lists();
  });
}

// ---- reload

nlohmann::json Daemon::reload() {
  certificates_seen_ = state_of(config_->tls_files);
  notify_systemd("RELOADING=1");
  configuration_failed_ = true;  // until it has not
  LoadOptions options;
  options.tokens = tokens_.get();
  auto loaded = load_config(config_->file, options);
  nlohmann::json answer;
  answer["ok"] = false;
  if (const auto* errors = std::get_if<std::vector<ConfigError>>(&loaded)) {
    for (const auto& error : *errors) {
      log_.error("reload_failed", {{"error", error.to_string()}});
      answer["errors"].push_back(error.to_string());
    }
    notify_systemd("READY=1");
    return answer;
  }
  const auto fresh = std::get<std::shared_ptr<const Config>>(loaded);
  const std::size_t before = doors_.size();
  std::vector<std::string> errors;
  std::string error;
  if (!open_doors(*fresh, errors) || !transport_.bind(*fresh, error)) {
    if (!error.empty()) errors.push_back(error);
    for (const auto& text : errors) log_.error("reload_failed", {{"error", text}});
    answer["errors"] = errors;
    doors_.resize(before);  // what was opened in vain
    std::vector<std::string> ignored;
    static_cast<void>(open_doors(*config_, ignored));
    notify_systemd("READY=1");
    return answer;
  }
  for (const auto& warning : restart_needed(*config_, *fresh)) answer["warnings"].push_back(warning);
  const auto& access = fresh->forwarding.access;
  if (access && config_->forwarding.access) access->inherit_hits(*config_->forwarding.access);
  static_cast<void>(admission_.lists.tell(fresh->forwarding.admission.lists, clock_.steady()));  // forgets the others
  config_ = fresh;
  certificates_seen_ = state_of(config_->tls_files);
  if (!open_metrics(error)) answer["warnings"].push_back(error);
  memory_.set_limit(fresh->limits.memory);
  disk_.set_limit(fresh->limits.spill);
  const auto forwarding = forwarding_of(fresh);
  const auto settings = settings_of(fresh);
  std::vector<std::future<void>> taken;
  for (auto& unit : units_) {
    std::packaged_task<void()> take([one = unit.get(), forwarding, settings] {
      one->pipeline.set_config(forwarding);
      one->server.set_settings(settings);
      one->engine.reset();
      one->resolver.flush_cache();
    });
    taken.push_back(boost::asio::post(unit->shard.executor(), std::move(take)));
  }
  use_transport(forwarding);
  boost::asio::post(units_.front()->shard.executor(), [unit = units_.front().get()] { unit->pipeline.test_lists(); });
  mailroom_.set_config(*forwarding, fresh->log.activity);
  dns_watch_.set_config(fresh);
  for (std::size_t i = before; i < doors_.size(); ++i) run_door(*doors_[i]);
  for (auto& door : doors_) {
    if (!door->wanted && std::exchange(door->open, false)) door->listener->stop();
  }
  // Whoever hears "reloaded" finds it so: a session that just then reads the next MAIL would be faster than what is
  // posted to its shard.
  const auto until = core::Steady::now() + kAskUnit;
  for (auto& one : taken) {
    if (one.wait_until(until) == std::future_status::ready) continue;
    answer["warnings"].push_back("a shard is busy; it takes the configuration as soon as it is free");
  }
  log_.info("reloaded", {{"domains", fresh->domains}, {"addresses", fresh->addresses}});
  answer["ok"] = true;
  answer["domains"] = fresh->domains;
  answer["addresses"] = fresh->addresses;
  for (const auto& warning : fresh->warnings) answer["warnings"].push_back(warning.to_string());
  notify_systemd("READY=1");
  return answer;
}

// ---- admin

net::Awaitable<nlohmann::json> Daemon::handle(nlohmann::json request) {
  const auto command = request.value("command", std::string());
  nlohmann::json answer{{"ok", false}, {"error", "unknown command"}};
  if (desk_ && QueueDesk::takes(command)) co_return co_await desk_->answer(std::move(request));
  if (desk_ && TransportService::takes(command)) co_return co_await transport_.answer(std::move(request));
  if (command == "status") co_return co_await status();
  if (command == "reload") co_return reload();
  if (command == "diff") co_return diff();
  if (command == "drain" || command == "stop") {
    boost::asio::post(control_, [this] { begin_shutdown(); });
    answer = {{"ok", true}};
  }
  co_return answer;
}

// ---- end

void Daemon::begin_shutdown() {
  if (std::exchange(shutting_down_, true)) {  // asked twice: at once
    for (auto& unit : units_) {
      boost::asio::post(unit->shard.executor(), [one = unit.get()] { one->server.abort_sessions(); });
    }
    return;
  }
  notify_systemd("STOPPING=1");
  log_.info("draining", {{"sessions", connections_.total()}});
  for (auto& door : doors_) door->listener->stop();
  transport_.stop();
  auto work = shut_down();
  boost::asio::co_spawn(control_, std::move(work), boost::asio::detached);
}

net::Awaitable<bool> Daemon::drain_unit(Unit& unit, core::Deadline deadline) {
  bool done = co_await unit.server.drain(deadline);
  if (!done) unit.server.abort_sessions();
  unit.engine.hurry();  // what the queue has begun and not sent yet is tried again by the next process
  unit.engine.pool().clear();
  unit.engine.gate().close();
  done = co_await unit.engine.gate().wait(done ? deadline : core::Deadline::after(core::Seconds(1))) && done;
  co_return done;
}

net::Awaitable<void> Daemon::shut_down() {
  const auto deadline = core::Deadline::after(kDrainTime);
  drained_ = true;
  // The queue begins nothing new from now on; what sessions still hand over to it is waited for at the end.
  boost::asio::post(units_.front()->shard.executor(), [this] { mailroom_.quiesce(); });
  for (auto& unit : units_) {
    auto work = drain_unit(*unit, deadline);
    const bool done =
        co_await boost::asio::co_spawn(unit->shard.executor(), std::move(work), boost::asio::use_awaitable);
    drained_ = drained_ && done;
  }
  auto attempts = mailroom_.drain(drained_ ? deadline : core::Deadline::after(kAskUnit));
  const auto left =
      co_await boost::asio::co_spawn(units_.front()->shard.executor(), std::move(attempts), boost::asio::use_awaitable);
  drained_ = drained_ && left == 0;
  mailroom_.close();
  admin_->stop();
  metrics_server_.reset();
  signals_.cancel();
  watch_.cancel();
  dns_watch_.stop();
  lists_watch_.cancel();
  control_.stop();
}

}  // namespace app
