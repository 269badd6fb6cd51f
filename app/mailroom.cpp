#include "app/mailroom.hpp"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "app/commands.hpp"
#include "core/failpoint.hpp"
#include "forwarder/record.hpp"
#include "forwarder/reports.hpp"

namespace app {
namespace {

// A report quotes at most so much of a header.
constexpr std::size_t kQuotedHeader = std::size_t{64} * 1024;
constexpr std::size_t kRowsAtOnce = 1000;

// The store's own moments as failpoints (threats B9).
void at_store_point(std::string_view name) {
  if (name == "queue.body_written") ONWARD_FAILPOINT(k16_body_written);
  if (name == "queue.body_synced") ONWARD_FAILPOINT(k17_body_fsynced);
  if (name == "queue.before_commit") ONWARD_FAILPOINT(k18_before_commit);
  if (name == "queue.in_commit") ONWARD_FAILPOINT(k19_inside_commit);
  if (name == "queue.after_commit") ONWARD_FAILPOINT(k20_after_commit);
  if (name == "queue.leased") ONWARD_FAILPOINT(k21_lease_taken);
  if (name == "queue.ended") ONWARD_FAILPOINT(k24_end_committed);
  if (name == "queue.body_unlink") ONWARD_FAILPOINT(k25_body_unlink);
  if (name == "queue.checkpoint") ONWARD_FAILPOINT(k26_checkpoint);
}

}  // namespace

Mailroom::Mailroom(const core::Clock& clock, core::Log log, core::Metrics& metrics)
    : clock_(clock), log_(std::move(log)), metrics_(metrics) {}

Mailroom::~Mailroom() = default;

int Mailroom::open(const MailroomSettings& settings, std::string& error) {
  queue::StoreSettings store;
  store.folder = settings.folder;
  store.on_alert = [this](const queue::StoreAlert& alert) { on_alert(alert); };
  if (!core::failpoints().empty()) store.at_point = at_store_point;
  auto opened = queue::open_store(std::move(store), queue::posix_files(), clock_);
  if (const auto* failure = std::get_if<queue::OpenFailure>(&opened)) {
    error = failure->text;
    return failure->kind == queue::OpenFailure::Kind::locked ? kExitTryLater : kExitProblem;
  }
  store_ = std::get<std::unique_ptr<queue::Store>>(std::move(opened));
  auto ledger = queue::Ledger::open(settings.folder + "/ledger", settings.ledger_entries, clock_);
  if (!ledger) {
    error = ledger.error().text;
    return kExitProblem;
  }
  for (const auto& note : ledger->notes) log_.warn("ledger", {{"note", note}});
  ledger_ = std::move(ledger->ledger);
  auto activity =
      queue::ActivityLog::open({.path = settings.folder + "/activity.db", .keep = settings.activity}, clock_);
  if (!activity) {
    error = activity.error().text;
    return kExitProblem;
  }
  activity_ = std::move(*activity);
  durable_ = {store_.get(), ledger_.get(), nullptr, activity_.get()};
  boost::asio::io_context context(1);
  boost::asio::co_spawn(context, mark_rows(), boost::asio::detached);
  context.run();
  return kExitOk;
}

queue::RunnerSettings Mailroom::runner_settings(const forwarder::Config& config) const {
  queue::RunnerSettings settings;
  settings.schedule = config.queue.schedule;
  settings.lease = config.queue.lease;
  settings.window.most = config.delivery.connections_per_destination;
  settings.window.initial = std::min(settings.window.initial, settings.window.most);
  return settings;
}

void Mailroom::staff(std::vector<Place> places, const forwarder::Config& config) {
  places_ = std::move(places);
  for (const auto& place : places_) {
    attempts_.push_back(std::make_unique<forwarder::QueuedAttempt>(
        forwarder::QueuedAttempt::Means{place.shard->executor(), place.engine, &durable_}, log_));
  }
  auto& owner = *places_.front().shard;
  queue::RunnerMeans means{
      .executor = owner.executor(),
      .store = *store_,
      .random = owner.random(),
      .attempt = [this](std::shared_ptr<const queue::Work> work, queue::DotCheck check,
                        core::Deadline deadline) { return attempt(std::move(work), std::move(check), deadline); },
      .make_report = [this](queue::Report report) { return make_report(std::move(report)); },
      .on_event = [this](const queue::Event& event) { on_event(event); },
  };
  runner_ = std::make_unique<queue::Runner>(std::move(means), runner_settings(config));
  durable_.runner = runner_.get();
}

// Should the mark have been missed between a commit and a kill (promise.md C.4): the retry must find its message owned,
// so this is done before the first client can come.
net::Awaitable<void> Mailroom::mark_rows() {
  queue::Page page;
  page.most = kRowsAtOnce;
  do {
    const auto rows = co_await store_->fingerprints(page);
    if (!rows) {
      log_.error("ledger_not_marked", {{"error", rows.error().message()}});
      co_return;
    }
    for (const auto& row : rows->found) {
      queue::Copy copy;
      copy.fingerprint.exact = row.fingerprint;
      if (row.restamped != core::Digest()) copy.fingerprint.restamped = row.restamped;
      static_cast<void>(ledger_->own(copy));
    }
    page.after = rows->after;
  } while (page.after != 0);
}

void Mailroom::start() {
  runner_->start();
}

void Mailroom::set_config(const forwarder::Config& config, core::Milliseconds activity) {
  activity_->set_keep(activity);
  boost::asio::post(places_.front().shard->executor(), [this, settings = runner_settings(config)] {
    runner_->set_settings(settings);
    runner_->forgive();
  });
}

net::Awaitable<std::vector<mail::Outcome>> Mailroom::attempt(std::shared_ptr<const queue::Work> work,
                                                             queue::DotCheck check, core::Deadline deadline) {
  // All attempts of a hop on one shard: kept connections are found again.
  const auto index = std::hash<std::string>()(work->hop) % places_.size();
  auto& place = places_[index];
  const auto on_shard = [](forwarder::QueuedAttempt& attempts, forwarder::Pipeline& pipeline,
                           std::shared_ptr<const queue::Work> what, queue::DotCheck dot,
                           core::Deadline end) -> net::Awaitable<std::vector<mail::Outcome>> {
    auto config = pipeline.config();
    co_return co_await attempts.run(std::move(config), std::move(what), std::move(dot), end);
  };
  auto running = on_shard(*attempts_[index], *place.pipeline, std::move(work), std::move(check), deadline);
  co_return co_await boost::asio::co_spawn(place.shard->executor(), std::move(running), boost::asio::use_awaitable);
}

net::Awaitable<core::Result<std::optional<queue::Composed>>> Mailroom::make_report(queue::Report report) {
  const auto header = co_await store_->header(report.work->job.key, kQuotedHeader);
  if (!header && header.error() != queue::StoreErrc::damaged) co_return header.error();
  const auto now = store_->now();
  const auto config = places_.front().pipeline->config();
  co_return forwarder::make_report(*config, report, header ? std::string_view(*header) : std::string_view(),
                                   {now, store_->wall_of(now) / 1000});
}

void Mailroom::on_event(const queue::Event& event) {
  using What = queue::Event::What;
  const auto number = event.recipient.number;
  if (event.what == What::delivered || event.what == What::failed) {
    ledger_->forget(queue::row_fingerprint(fmt::format("{}#{}", event.work.job.key, number)));
  }
  if (event.what == What::failed) {  // a client that offers it again may have it tried again
    queue::Fingerprint offered;
    offered.exact = event.recipient.fingerprint;
    ledger_->forget(offered);
  }
  if (event.what == What::delivered) metrics_.add(core::Counter::queue_delivered);
  if (event.what == What::deferred) metrics_.add(core::Counter::queue_deferred);
  if (event.what == What::failed) {
    metrics_.add(core::Counter::queue_failed);
    if (event.unreported && event.work.job.envelope.sender.null()) metrics_.add(core::Counter::double_bounces);
  }
  if (event.dup_possible) metrics_.add(core::Counter::dup_possible);
  forwarder::record_event(event, log_, activity_.get(), clock_);
}

void Mailroom::on_alert(const queue::StoreAlert& alert) {
  switch (alert.kind) {
    case queue::StoreAlert::Kind::sealed:
      log_.error("queue_sealed", {{"reason", alert.text}});
      break;
    case queue::StoreAlert::Kind::full:
      log_.error("queue_disk_full", {{"reason", alert.text}});
      break;
    case queue::StoreAlert::Kind::full_over:
      log_.warn("queue_disk_has_room", {{"reason", alert.text}});
      break;
    case queue::StoreAlert::Kind::damaged:
      log_.error("queue_message_damaged", {{"reason", alert.text}});
      break;
    case queue::StoreAlert::Kind::unreadable:
      log_.error("queue_unreadable", {{"reason", alert.text}});
      break;
    case queue::StoreAlert::Kind::leftovers:
      log_.info("queue_leftovers", {{"what", alert.text}});
      break;
  }
}

void Mailroom::quiesce() {
  runner_->quiesce();
}

net::Awaitable<std::size_t> Mailroom::drain(core::Deadline deadline) {
  co_return co_await runner_->drain(deadline);
}

void Mailroom::close() {
  if (store_) store_->close();
  if (activity_) activity_->close();
}

void Mailroom::dismiss() {
  durable_.runner = nullptr;
  runner_.reset();
  attempts_.clear();
}

}  // namespace app
