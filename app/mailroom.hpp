// What makes messages ours, put together: store, ledger, activity log and runner, and how they reach the shards. Opened
// after privileges were dropped and before the first session; closed after the last.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/log.hpp"
#include "core/metrics.hpp"
#include "forwarder/durable.hpp"
#include "forwarder/pipeline.hpp"
#include "forwarder/queued_attempt.hpp"
#include "net/shard.hpp"
#include "queue/sqlite_store.hpp"

namespace app {

struct MailroomSettings {
  std::string folder;  // state_dir
  std::uint32_t ledger_entries = 1'000'000;
  core::Milliseconds activity{std::chrono::hours(24 * 30)};
};

class Mailroom {
 public:
  Mailroom(const core::Clock& clock, core::Log log, core::Metrics& metrics);
  ~Mailroom();

  // Blocks. 0: open. Otherwise what to exit with, and `error` says why in one line.
  int open(const MailroomSettings& settings, std::string& error);
  forwarder::Durable& durable() { return durable_; }

  // One shard's part in it, in the order of the shards; the first one owns the runner.
  struct Place {
    net::Shard* shard = nullptr;
    forwarder::Engine* engine = nullptr;
    forwarder::Pipeline* pipeline = nullptr;  // has the configuration that counts
  };
  // Makes the runner. All of `places` outlives close().
  void staff(std::vector<Place> places, const forwarder::Config& config);
  // The runner begins. On the first shard.
  void start();
  // After a reload. Any thread.
  void set_config(const forwarder::Config& config, core::Milliseconds activity);
  // The queue begins no new attempts from now on. On the first shard.
  void quiesce();
  // quiesce(), then waits for those under way. On the first shard. How many are left.
  net::Awaitable<std::size_t> drain(core::Deadline deadline);
  // Blocks; after the drain, while the shards still run.
  void close();
  // When the shards have ended, before they are destroyed: the runner goes.
  void dismiss();

 private:
  net::Awaitable<void> mark_rows();
  queue::RunnerSettings runner_settings(const forwarder::Config& config) const;
  net::Awaitable<std::vector<mail::Outcome>> attempt(std::shared_ptr<const queue::Work> work, queue::DotCheck check,
                                                     core::Deadline deadline);
  net::Awaitable<core::Result<std::optional<queue::Composed>>> make_report(queue::Report report);
  void on_event(const queue::Event& event);
  void on_alert(const queue::StoreAlert& alert);

  const core::Clock& clock_;
  core::Log log_;
  core::Metrics& metrics_;
  std::unique_ptr<queue::Store> store_;
  std::unique_ptr<queue::Ledger> ledger_;
  std::unique_ptr<queue::ActivityLog> activity_;
  std::unique_ptr<queue::Runner> runner_;
  forwarder::Durable durable_;
  std::vector<Place> places_;
  std::vector<std::unique_ptr<forwarder::QueuedAttempt>> attempts_;  // as places_
};

}  // namespace app
