// What is made of all outcomes (promise.md C.4): one decision, what becomes ours, what the ledger is to remember, and
// the one reply.
#include <algorithm>
#include <boost/asio/co_spawn.hpp>

#include "forwarder/in_session.hpp"
#include "forwarder/living.hpp"
#include "forwarder/trouble.hpp"

namespace forwarder {
namespace {

using promise::Action;
using promise::Answer;

// Tells the ledger about the copies of one answered transaction.
class CopiesReceipt final : public Receipt {
 public:
  CopiesReceipt(queue::Ledger& ledger, std::vector<queue::EntryId> entries)
      : ledger_(ledger), entries_(std::move(entries)) {}
  void confirmed() override {
    for (const auto entry : entries_) ledger_.confirmed(entry);
  }
  void acknowledged() override {
    for (const auto entry : entries_) ledger_.acknowledged(entry);
  }

 private:
  queue::Ledger& ledger_;
  std::vector<queue::EntryId> entries_;
};

}  // namespace

std::vector<Result> InSession::results() const {
  std::vector<Result> results;
  for (const auto& recipient : recipients_) {
    for (const auto& leg : recipient.legs) {
      Result result{recipient.address.to_string(), outcome_of(leg)};
      // C.4.1: a group that was not ready in time counts as late where the message may become ours.
      const bool waiting = leg.group && !leg.settled && !groups_[*leg.group].delivery.settled(leg.index);
      if (ownable_ && waiting) result.outcome.fate = mail::Fate::late;
      results.push_back(std::move(result));
    }
  }
  return results;
}

// promise.md C.4: one table for all outcomes; durable action first, then the reply.
net::Awaitable<mail::Reply> InSession::conclude() {
  if (ownable_) {
    // A fallback that there was no time for is the queue's to try.
    for (auto& recipient : recipients_) {
      for (auto& leg : recipient.legs) {
        if (leg.settled || !leg.group || leg.fallback.empty() || !is_policy_refusal(outcome_of(leg))) continue;
        if (leg.flight) groups_[*leg.group].flight.settle(*leg.flight, outcome_of(leg));
        leg.next_fallback();
        leg.flight.reset();
        leg.group.reset();
        shield_.name(recipient, leg);
      }
    }
  }
  const auto all = results();
  std::vector<mail::Fate> fates;
  for (const auto& result : all) fates.push_back(result.outcome.fate);
  const auto decision = promise::decide(ownable_ ? promise::Sender::ownable : promise::Sender::not_ownable, fates);

  journal_delivered();
  const bool committed = co_await commit(decision, all);
  mail::Reply reply;
  if (decision.commit && !committed) {
    reply = refuse(451, {4, 3, 0}, "The message could not be kept now, try again later", "local-error");
  } else if (decision.commit) {
    reply = mail::Reply(250, {2, 0, 0}, "Ok: queued, id " + id_);
  } else {
    reply = compose_answer(decision.answer, all, config_->delivery.errors, masks(), id_);
  }
  // A retry that the ledger answers has passed before (parcel_ is null): it does not count again.
  if (reply.positive() && parcel_) {
    for (auto& passage : passages_) passage.keep();
  }
  settle_flights(decision, all, committed);
  leave_behind();
  write_down(decision, all, committed, reply);
  co_return reply;
}

// Makes ours what the decision says, and stores the reports that are due. True: it is on stable storage.
net::Awaitable<bool> InSession::commit(const promise::Decision& decision, const std::vector<Result>& results) {
  std::vector<Custody::Fate> fates;
  bool success_wanted = false;
  std::size_t i = 0;
  for (std::size_t r = 0; r < recipients_.size(); ++r) {
    for (std::size_t l = 0; l < recipients_[r].legs.size(); ++l, ++i) {
      const auto& leg = recipients_[r].legs[l];
      if (leg.settled && leg.settled->fate == mail::Fate::delivered) continue;  // an earlier transaction's business
      Custody::Fate fate;
      fate.recipient = r;
      fate.leg = l;
      fate.action = decision.actions[i];
      fate.outcome = results[i].outcome;
      fate.lives = fate.outcome.fate == mail::Fate::late && leg.group.has_value();
      if (fate.action == Action::own_dot && leg.group && !groups_[*leg.group].dot_sent) fate.action = Action::own;
      if (fate.action == Action::own_dot && !leg.group) fate.action = Action::own;
      success_wanted = success_wanted || (fate.action == Action::done && recipients_[r].notify.success);
      fates.push_back(std::move(fate));
    }
  }
  const bool report_only = !decision.commit && success_wanted && ownable_ && decision.answer == Answer::accepted;
  if (!decision.commit && !report_only) {
    if (custody_) {
      decision.answer == Answer::accepted ? custody_->end() : custody_->drop();
    }
    co_return false;
  }
  if (!custody_) {
    custody_.emplace(Custody::Means{*durable(), *config_, pipeline_.means().executor}, envelope_of(*parcel_), parcel_);
  }
  const auto error = co_await custody_->commit(fates, recipients_, groups_, unasked_);
  if (!error) co_return true;
  log_.warn("not_stored", {{"error", core::describe(error)}});
  custody_->drop();
  co_return false;
}

// What the ledger is to remember of the others. Legs that are ours now were marked with their commit.
void InSession::settle_flights(const promise::Decision& decision, const std::vector<Result>& results, bool committed) {
  std::size_t i = 0;
  for (const auto& recipient : recipients_) {
    for (const auto& leg : recipient.legs) {
      const auto action = decision.actions[i];
      const auto& outcome = results[i++].outcome;
      const bool ours = committed && (action == Action::own || action == Action::own_dot);
      if (!leg.group || !leg.flight || ours || outcome.fate == mail::Fate::delivered) continue;
      groups_[*leg.group].flight.settle(*leg.flight, outcome);
    }
  }
}

// promise.md C.3.6: a destination that has our dot and has not answered is waited for, also when nobody else waits; its
// answer is journalled.
void InSession::leave_behind() {
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    auto& group = groups_[g];
    if (!group.delivery || !group.dot_sent || !group.flight) continue;
    std::vector<Living::Part> parts;
    for (const auto& recipient : recipients_) {
      for (const auto& leg : recipient.legs) {
        if (leg.group == g && leg.flight && group.flight.open(*leg.flight) && !group.delivery.settled(leg.index)) {
          parts.push_back({leg.index, leg.flight});
        }
      }
    }
    if (parts.empty()) continue;
    auto& means = pipeline_.means();
    auto one =
        std::make_shared<Living>(means.executor, std::move(group.delivery), std::move(group.flight), std::move(parts));
    auto work = Living::finish(std::move(one), Living::Dot::sent);
    boost::asio::co_spawn(means.executor, std::move(work),
                          [metrics = means.metrics](const std::exception_ptr& error, const auto&) {
                            if (error) metrics->add(core::Counter::internal_errors);
                          });
  }
}

void InSession::write_down(const promise::Decision& decision, const std::vector<Result>& results, bool committed,
                           const mail::Reply& reply) {
  auto& metrics = *pipeline_.means().metrics;
  std::size_t i = 0;
  for (const auto& recipient : recipients_) {
    for (const auto& leg : recipient.legs) {
      const auto action = decision.actions[i];
      const auto& outcome = results[i].outcome;
      std::string_view status = "deferred";
      if (outcome.fate == mail::Fate::delivered) status = "forwarded";
      if (outcome.fate == mail::Fate::failed) status = committed && action == Action::fail ? "bounced" : "rejected";
      if (committed && (action == Action::own || action == Action::own_dot)) status = "queued";
      if (outcome.fate == mail::Fate::unknown || (outcome.fate == mail::Fate::late && !committed)) {
        metrics.add(core::Counter::dup_possible);
      }
      record_.delivery({results[i].shown, leg.destination, outcome, status}, reply);
      ++i;
    }
    if (recipient.legs.empty()) record_.recipient(recipient.address, "dropped", reply, recipient.rule);
  }
  if (reply.positive()) {
    metrics.add(decision.commit ? core::Counter::messages_queued : core::Counter::messages_forwarded);
  } else {
    metrics.add(reply.permanent() ? core::Counter::messages_rejected : core::Counter::messages_deferred);
  }
}

std::unique_ptr<Receipt> InSession::receipt() {
  if (durable() == nullptr || durable()->ledger == nullptr) return nullptr;
  std::vector<queue::EntryId> entries;
  for (const auto& recipient : recipients_) {
    for (const auto& leg : recipient.legs) {
      if (leg.entry) entries.push_back(leg.entry);
    }
  }
  if (entries.empty()) return nullptr;
  return std::make_unique<CopiesReceipt>(*durable()->ledger, std::move(entries));
}

}  // namespace forwarder
