// What came of an attempt, made durable: each recipient is judged (queue/progress.hpp), the reports to the sender are
// made, and all of it is one commit (promise.md I2).
#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "queue/runner_core.hpp"

namespace queue {
namespace {

constexpr int kMostTimes = 3;  // a report whose id exists is made anew

}  // namespace

struct Runner::Core::Settlement {
  struct One {
    const Recipient* was = nullptr;
    const mail::Outcome* outcome = nullptr;  // null: decided by hand
    Progress progress;
    Failed::Told told = Failed::Told::nobody;
  };
  std::shared_ptr<const Work> work;
  std::vector<One> all;
  std::vector<Composed> reports;

  bool has(Report::Kind kind, const One& one) const {
    switch (kind) {
      case Report::Kind::failed:
        return one.progress.what == Progress::What::failed;
      case Report::Kind::delayed:
        return one.progress.delay_due;
      case Report::Kind::relayed:
        return one.progress.what == Progress::What::delivered;
    }
    return false;
  }

  Changes changes() const {
    Changes changes;
    for (const auto& one : all) {
      Change change{work->job.key, one.was->number, work->lease, Done{}};
      if (one.progress.what == Progress::What::failed) change.what = Failed{one.told};
      if (one.progress.what == Progress::What::again || one.progress.what == Progress::What::fallback) {
        change.what = Update{one.progress.recipient};
      }
      changes.changes.push_back(std::move(change));
    }
    changes.reports = reports;
    return changes;
  }
};

Awaitable<void> Runner::Core::settle(std::shared_ptr<const Work> work, Outcomes outcomes) {
  const auto& job = work->job;
  outcomes.resize(job.recipients.size());  // what is missing is deferred
  const auto now = means_.store.now();
  Settlement settlement;
  settlement.work = work;
  for (std::size_t i = 0; i < job.recipients.size(); ++i) {
    Settlement::One one;
    one.was = &job.recipients[i];
    one.outcome = &outcomes[i];
    one.progress = progress(settings_.schedule, job.envelope, *one.was, outcomes[i], now, means_.random.next());
    settlement.all.push_back(std::move(one));
  }
  ++unsettled_;
  const auto error = co_await settle_together(settlement);
  if (error == StoreErrc::lease_lost || error == StoreErrc::not_found || error == StoreErrc::malformed) {
    co_await settle_each(settlement);
  }
  --unsettled_;
}

Awaitable<core::Error> Runner::Core::settle_together(Settlement& settlement) {
  for (int times = 0;;) {
    auto error = co_await make_reports(settlement);
    if (!error) {
      auto changes = settlement.changes();
      const auto receipt = co_await means_.store.commit(std::move(changes));
      if (receipt.ok()) {
        tell(settlement);
        want_new(settlement);
        co_return core::Error();
      }
      // Nobody knows, or nothing is written any more: the next start finds the rows leased, and the ledger knows what
      // was delivered.
      if (receipt.commit == Commit::unknown) co_return receipt.error;
      error = receipt.error;
    }
    if (error == StoreErrc::sealed || error == StoreErrc::closed || error == StoreErrc::lease_lost ||
        error == StoreErrc::not_found || error == StoreErrc::malformed) {
      co_return error;
    }
    if (error == StoreErrc::exists && ++times < kMostTimes) continue;
    // What was delivered must not be delivered again because there is no space to say so: it is said later.
    co_await pause();
  }
}

// What the commit has made due: reports, and those that go to a fallback.
void Runner::Core::want_new(const Settlement& settlement) {
  for (const auto& report : settlement.reports) {
    for (const auto& recipient : report.message.recipients) want(recipient.hop);
  }
  for (const auto& one : settlement.all) {
    if (one.progress.what == Progress::What::fallback) want(one.progress.recipient.hop);
  }
}

Awaitable<void> Runner::Core::settle_each(Settlement& settlement) {
  for (const auto& one : settlement.all) {
    Settlement alone;
    alone.work = settlement.work;
    alone.all.push_back(one);
    const auto error = co_await settle_together(alone);
    if (error != StoreErrc::lease_lost && error != StoreErrc::not_found && error != StoreErrc::malformed) continue;
    if (!means_.on_event) continue;
    means_.on_event({Event::What::lease_lost, *settlement.work, *one.was, one.outcome, one.progress.why,
                     one.progress.dup_possible, false});
  }
}

Awaitable<void> Runner::Core::pause() {
  boost::asio::steady_timer timer(means_.executor);
  timer.expires_after(settings_.commit_again);
  co_await timer.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
}

Awaitable<core::Error> Runner::Core::make_reports(Settlement& settlement) {
  settlement.reports.clear();
  if (const auto error = co_await make_report(settlement, Report::Kind::failed)) co_return error;
  // These are a courtesy: what has happened does not wait for them.
  if (co_await make_report(settlement, Report::Kind::delayed)) {
    for (auto& one : settlement.all) {
      if (std::exchange(one.progress.delay_due, false)) one.progress.recipient.delay_told = false;
    }
  }
  static_cast<void>(co_await make_report(settlement, Report::Kind::relayed));
  co_return core::Error();
}

Awaitable<core::Error> Runner::Core::make_report(Settlement& settlement, Report::Kind kind) {
  const auto& envelope = settlement.work->job.envelope;
  Report report;
  report.kind = kind;
  report.work = settlement.work;
  std::vector<Settlement::One*> told;
  for (auto& one : settlement.all) {
    if (!settlement.has(kind, one) || !wants(envelope, *one.was, kind)) continue;
    const auto why = kind == Report::Kind::failed    ? one.progress.why
                     : kind == Report::Kind::delayed ? Report::Why::delayed
                                                     : Report::Why::relayed;
    report.about.push_back({one.progress.recipient, why});
    told.push_back(&one);
  }
  if (told.empty()) co_return core::Error();
  auto composed = co_await means_.make_report(std::move(report));
  if (!composed) co_return composed.error();
  auto& message = *composed;
  for (auto* const one : told) {
    if (kind == Report::Kind::failed) one->told = message ? Failed::Told::report : Failed::Told::nobody;
  }
  if (message) settlement.reports.push_back(std::move(*message));
  co_return core::Error();
}

void Runner::Core::tell(const Settlement& settlement) {
  const bool null_sender = settlement.work->job.envelope.sender.null();
  for (const auto& one : settlement.all) {
    const auto& progress = one.progress;
    auto what = Event::What::deferred;
    const bool unreported = progress.what == Progress::What::failed && one.told != Failed::Told::report;
    switch (progress.what) {
      case Progress::What::delivered:
        what = Event::What::delivered;
        ++counters_.delivered;
        break;
      case Progress::What::again:
        ++counters_.deferred;
        due_at(std::min(progress.recipient.next_attempt, progress.recipient.act_by));
        break;
      case Progress::What::fallback:
        what = Event::What::fallback;
        break;
      case Progress::What::failed:
        what = Event::What::failed;
        ++counters_.failed;
        counters_.double_bounces += null_sender ? 1 : 0;
        break;
    }
    const bool unknown =
        one.outcome != nullptr && (one.outcome->fate == mail::Fate::unknown || one.outcome->fate == mail::Fate::late);
    counters_.dup_possible += unknown ? 1 : 0;
    if (!means_.on_event) continue;
    Event event{what,         *settlement.work,      progress.recipient, one.outcome,
                progress.why, progress.dup_possible, unreported};
    means_.on_event(event);
    if (!progress.delay_due) continue;
    event.what = Event::What::delay_told;
    means_.on_event(event);
  }
}

Awaitable<Touched> Runner::Core::fail(Filter filter, Page page) {
  Touched touched;
  touched.receipt.commit = Commit::committed;
  page.most = std::min<std::size_t>(page.most, 100);
  auto matched = co_await means_.store.lease_matching(std::move(filter), page, settings_.lease);
  if (!matched) {
    touched.receipt = {Commit::not_committed, matched.error(), 0, 0};
    co_return touched;
  }
  touched.after = matched->after;
  for (auto& piece : matched->work) {
    Settlement settlement;
    auto work = std::make_shared<const Work>(std::move(piece));
    settlement.work = work;
    for (const auto& recipient : work->job.recipients) {
      Settlement::One one;
      one.was = &recipient;
      one.progress.what = Progress::What::failed;
      one.progress.recipient = recipient;
      one.progress.why = Report::Why::by_operator;
      one.progress.dup_possible = recipient.unknowns > 0;
      settlement.all.push_back(std::move(one));
    }
    auto error = co_await make_reports(settlement);
    if (!error) {
      auto changes = settlement.changes();
      const auto receipt = co_await means_.store.commit(std::move(changes));
      error = receipt.error;
      if (receipt.ok()) {
        tell(settlement);
        want_new(settlement);
        touched.recipients += settlement.all.size();
        continue;
      }
    }
    touched.receipt = {Commit::not_committed, error, 0, 0};
    static_cast<void>(co_await means_.store.release(work->job.key, work->lease));
  }
  co_return touched;
}

}  // namespace queue
