#include "forwarder/custody.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <map>

#include "forwarder/living.hpp"
#include "forwarder/reports.hpp"

namespace forwarder {
namespace {

using promise::Action;

bool is_ours(Action action) {
  return action == Action::own || action == Action::own_dot;
}

net::Awaitable<void> forget(queue::Awaitable<queue::Receipt> work) {
  static_cast<void>(co_await std::move(work));
}

// The runner names a row's copy by this, for ever.
queue::Copy row_copy(queue::MessageKey key, unsigned number, const std::string& trace) {
  queue::Copy copy;
  copy.fingerprint = queue::row_fingerprint(fmt::format("{}#{}", key, number));
  copy.trace = trace;
  copy.kind = queue::Copy::Kind::row;
  return copy;
}

}  // namespace

Custody::Custody(const Means& means, queue::Envelope envelope, std::shared_ptr<const ReceivedParcel> parcel)
    : means_(means), envelope_(std::move(envelope)), parcel_(std::move(parcel)) {
  envelope_.created = means_.durable.store->now();
  envelope_.expires = envelope_.created + means_.config.queue.schedule.lifetime.count();
  envelope_.size = parcel_->size();
}

queue::Recipient Custody::row_of(const Recipient& recipient, const Leg& leg) const {
  queue::Recipient row;
  row.address = recipient.address;
  row.rule = recipient.rule;
  row.domain = recipient.domain;
  row.destination = leg.destination;
  row.hop = target_for(means_.config, leg.destination.domain).key;
  for (const auto& other : leg.fallback) {
    row.fallback.push_back({other, target_for(means_.config, other.domain).key});
  }
  row.notify = recipient.notify;
  row.orcpt_type = recipient.orcpt_type;
  row.orcpt = recipient.orcpt;
  row.fingerprint = leg.copy.fingerprint.exact;
  if (leg.copy.fingerprint.restamped) row.restamped = *leg.copy.fingerprint.restamped;
  return row;
}

// The row as it stands after what has happened to its leg.
void Custody::apply(queue::Recipient& row, const Fate& fate) const {
  const auto now = means_.durable.store->now();
  row.state = fate.action == Action::own_dot ? queue::State::owned_dot : queue::State::owned;
  row.next_attempt = now;
  row.last_reply = fate.outcome.reply;
  row.reply_from_peer = fate.outcome.from_peer;
  row.last_host = fate.outcome.host;
  row.last_address = fate.outcome.address;
  row.last_tls = fate.outcome.tls;
  if (fate.outcome.fate == mail::Fate::unknown) row.unknowns = 1;
  if (fate.outcome.fate == mail::Fate::late) {
    row.last_reply = {};
    return;
  }
  row.attempts = 1;
  row.failing_since = now;
  const auto spread = std::hash<std::string>()(envelope_.id);
  row.next_attempt =
      queue::next_attempt(means_.config.queue.schedule, envelope_.created, now, row.attempts, spread).value_or(now);
}

net::Awaitable<core::Error> Custody::provide(const std::vector<Recipient>& recipients) {
  queue::NewMessage message;
  message.envelope = envelope_;
  message.lease_for = means_.config.queue.lease;
  for (std::size_t r = 0; r < recipients.size(); ++r) {
    for (std::size_t l = 0; l < recipients[r].legs.size(); ++l) {
      auto row = row_of(recipients[r], recipients[r].legs[l]);
      row.state = queue::State::provisional;
      row.lease = 1;
      row.number = static_cast<unsigned>(message.recipients.size());
      message.recipients.push_back(row);
      rows_.push_back(std::move(row));
      places_.push_back({r, l});
    }
  }
  const auto octets = parcel_->open();
  const auto receipt = co_await means_.durable.store->put(std::move(message), *octets);
  if (!receipt.ok()) co_return receipt.error;
  key_ = receipt.key;
  lease_ = receipt.lease;
  provided_ = true;
  co_return core::Error();
}

core::Result<std::vector<queue::Composed>> Custody::reports(const std::vector<Fate>& fates,
                                                            const std::vector<Recipient>& recipients) const {
  using Kind = queue::Report::Kind;
  auto work = std::make_shared<queue::Work>();
  work->job.key = key_;
  work->job.envelope = envelope_;
  std::map<Kind, queue::Report> told;
  for (const auto& fate : fates) {
    const bool failed = fate.action == Action::fail;
    if (!failed && fate.action != Action::done) continue;
    const auto& recipient = recipients[fate.recipient];
    queue::Report::About about;
    about.recipient = row_of(recipient, recipient.legs[fate.leg]);
    apply(about.recipient, fate);
    about.why = failed ? queue::Report::Why::refused : queue::Report::Why::relayed;
    told[failed ? Kind::failed : Kind::relayed].about.push_back(std::move(about));
  }
  const ReportTime time{means_.durable.store->now(), means_.durable.store->wall_of(means_.durable.store->now()) / 1000};
  std::vector<queue::Composed> out;
  for (auto& [kind, report] : told) {
    report.kind = kind;
    report.work = work;
    report.about = wanted(kind, envelope_, std::move(report.about));
    if (report.about.empty()) continue;
    auto made = make_report(means_.config, report, parcel_->header_text(), time);
    if (!made) return made.error();
    if (*made) out.push_back(std::move(**made));
  }
  return out;
}

// Nothing is stored yet: the rows that are ours, then the reports. A crash between the two loses nothing: the client
// has no answer yet, and its retry finds the rows owned and is refused by the same destinations again.
net::Awaitable<core::Error> Custody::store_rows(const std::vector<Fate>& fates,
                                                const std::vector<Recipient>& recipients,
                                                std::vector<queue::Composed> told) {
  queue::NewMessage message;
  message.envelope = envelope_;
  message.lease_for = means_.config.queue.lease;
  for (const auto& fate : fates) {
    if (!is_ours(fate.action)) continue;
    auto row = row_of(recipients[fate.recipient], recipients[fate.recipient].legs[fate.leg]);
    apply(row, fate);
    row.lease = fate.lives ? 1 : 0;
    row.number = static_cast<unsigned>(message.recipients.size());
    message.recipients.push_back(row);
    rows_.push_back(std::move(row));
    places_.push_back({fate.recipient, fate.leg});
  }
  if (!message.recipients.empty()) {
    const auto octets = parcel_->open();
    const auto receipt = co_await means_.durable.store->put(std::move(message), *octets);
    if (!receipt.ok()) co_return receipt.error;
    key_ = receipt.key;
    lease_ = receipt.lease;
  }
  if (told.empty()) co_return core::Error();
  queue::Changes changes;
  changes.reports = std::move(told);
  const auto receipt = co_await means_.durable.store->commit(std::move(changes));
  co_return receipt.ok() ? core::Error() : receipt.error;
}

// The rows are there, provisional: what becomes of each, and the reports, in one commit.
net::Awaitable<core::Error> Custody::change_rows(const std::vector<Fate>& fates, std::vector<queue::Composed> told) {
  queue::Changes changes;
  changes.reports = std::move(told);
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    auto& row = rows_[i];
    const auto found = std::ranges::find_if(
        fates, [&](const Fate& f) { return f.recipient == places_[i].recipient && f.leg == places_[i].leg; });
    queue::Change change;
    change.message = key_;
    change.recipient = row.number;
    change.lease = lease_;
    change.what = queue::Done{};
    if (found == fates.end()) {  // delivered by an earlier transaction, as the ledger says
      changes.changes.push_back(std::move(change));
      continue;
    }
    const auto& fate = *found;
    if (is_ours(fate.action)) {
      apply(row, fate);
      queue::Update update;
      update.recipient = row;
      update.lease = fate.lives ? queue::Update::Lease::keep : queue::Update::Lease::release;
      change.what = std::move(update);
    } else if (fate.action == Action::fail) {
      const bool nobody = envelope_.sender.null() || row.notify.never || (row.notify.given && !row.notify.failure);
      change.what = queue::Failed{nobody ? queue::Failed::Told::nobody : queue::Failed::Told::report};
    }
    changes.changes.push_back(std::move(change));
  }
  const auto receipt = co_await means_.durable.store->commit(std::move(changes));
  co_return receipt.ok() ? core::Error() : receipt.error;
}

net::Awaitable<core::Error> Custody::commit(const std::vector<Fate>& fates, std::vector<Recipient>& recipients,
                                            std::vector<Group>& groups, queue::Flight& unasked) {
  auto told = reports(fates, recipients);
  if (!told) co_return told.error();
  auto error = core::Error();
  if (provided_) {
    error = co_await change_rows(fates, std::move(*told));
  } else {
    error = co_await store_rows(fates, recipients, std::move(*told));
  }
  if (!error) hand_over(fates, recipients, groups, unasked);
  co_return error;
}

// The rows are on stable storage. Who lives on does so for them; the others are the runner's to begin with.
void Custody::hand_over(const std::vector<Fate>& fates, std::vector<Recipient>& recipients, std::vector<Group>& groups,
                        queue::Flight& unasked) {
  struct Taken {
    queue::Work work;
    std::vector<Living::Part> parts;
  };
  std::map<std::size_t, Taken> living;  // by group
  for (const auto& fate : fates) {
    if (!is_ours(fate.action)) continue;
    const auto place = std::ranges::find_if(
        places_, [&](const RowOf& p) { return p.recipient == fate.recipient && p.leg == fate.leg; });
    const auto& row = rows_[static_cast<std::size_t>(place - places_.begin())];
    auto& leg = recipients[fate.recipient].legs[fate.leg];
    if (!leg.flight) {
      if (means_.durable.ledger != nullptr) static_cast<void>(means_.durable.ledger->own(leg.copy));
    } else if (!leg.group) {
      static_cast<void>(unasked.own(*leg.flight));
    } else if (fate.lives) {
      static_cast<void>(groups[*leg.group].flight.hand_over(*leg.flight, row_copy(key_, row.number, envelope_.id)));
    } else {
      static_cast<void>(groups[*leg.group].flight.own(*leg.flight));
    }
    if (!fate.lives) continue;
    auto& taken = living[*leg.group];
    taken.work.job.recipients.push_back(row);
    taken.parts.push_back({leg.index, leg.flight});
  }
  for (auto& [index, taken] : living) {
    auto& group = groups[index];
    taken.work.job.key = key_;
    taken.work.job.envelope = envelope_;
    taken.work.hop = group.target.key;
    taken.work.lease = lease_;
    taken.work.until = means_.durable.store->now() + means_.config.queue.lease.count();
    for (auto& row : taken.work.job.recipients) row.lease = lease_;
    const auto dot = group.dot_sent ? Living::Dot::sent : Living::Dot::may_be_sent;
    auto one = std::make_shared<Living>(means_.executor, std::move(group.delivery), std::move(group.flight),
                                        std::move(taken.parts));
    means_.durable.runner->adopt(std::move(taken.work),
                                 [one = std::move(one), dot] { return Living::finish(one, dot); });
  }
  means_.durable.runner->wake();
}

void Custody::drop() {
  if (!std::exchange(provided_, false)) return;
  auto work = forget(means_.durable.store->drop_provisional(key_, lease_));
  boost::asio::co_spawn(means_.executor, std::move(work), boost::asio::detached);
}

void Custody::end() {
  if (!std::exchange(provided_, false)) return;
  queue::Changes changes;
  for (const auto& row : rows_) {
    queue::Change change;
    change.message = key_;
    change.recipient = row.number;
    change.lease = lease_;
    change.what = queue::Done{};
    changes.changes.push_back(std::move(change));
  }
  auto work = forget(means_.durable.store->commit(std::move(changes)));
  boost::asio::co_spawn(means_.executor, std::move(work), boost::asio::detached);
}

}  // namespace forwarder
