#include "forwarder/shield.hpp"

#include <utility>

namespace forwarder {
namespace {

using What = queue::Finding::What;

mail::Outcome known(mail::Fate fate, mail::Reply reply) {
  mail::Outcome outcome;
  outcome.fate = fate;
  outcome.scope = mail::Scope::message;
  outcome.reply = std::move(reply);
  return outcome;
}

bool is_open(const Leg& leg) {
  return !leg.settled && !leg.flight;
}

}  // namespace

void Shield::name(const Recipient& recipient, Leg& leg) const {
  if (ledger_ == nullptr) return;
  const auto to = recipient.address.to_string();
  const auto destination = leg.destination.to_string();
  leg.copy.fingerprint = queue::make_fingerprint(origin_.digest, {origin_.sender, to, destination});
  leg.copy.scope = origin_.scope;
  leg.copy.trace = origin_.trace;
}

net::Awaitable<Shield::State> Shield::consult_leg(Leg& leg, core::Deadline deadline) {
  for (;;) {
    const auto finding = ledger_->peek(leg.copy);
    switch (finding.what) {
      case What::nothing:
      case What::lost:
        co_return State::go_on;
      case What::delivered:
      case What::owned:
        leg.entry = finding.entry;
        leg.settled =
            known(mail::Fate::delivered, mail::Reply(250, {2, 0, 0}, "The destination has this message already"));
        co_return State::go_on;
      case What::worn_out:
        leg.settled = known(mail::Fate::failed, mail::Reply(554, {5, 4, 2},
                                                            "The destination broke off after the end of the message "
                                                            "each time; it may have arrived"));
        co_return State::go_on;
      case What::in_flight:
        break;
    }
    const auto verdict = co_await ledger_->join(finding.entry, deadline);
    if (!verdict) co_return State::busy;
    switch (verdict->what) {
      case queue::Verdict::What::refused:
        leg.settled = verdict->outcome;
        co_return State::go_on;
      case queue::Verdict::What::unknown:
        co_return State::busy;  // the next try is to be a careful one, not ours that has begun already
      case queue::Verdict::What::delivered:
      case queue::Verdict::What::owned:
      case queue::Verdict::What::released:
        break;  // as the ledger says now
    }
  }
}

net::Awaitable<Shield::State> Shield::consult(std::vector<Recipient>& recipients, core::Deadline deadline) {
  if (ledger_ == nullptr) co_return State::go_on;
  for (auto& recipient : recipients) {
    for (auto& leg : recipient.legs) {
      if (!is_open(leg)) continue;
      const auto state = co_await consult_leg(leg, deadline);
      if (state != State::go_on) co_return state;
    }
  }
  co_return State::go_on;
}

net::Awaitable<Shield::State> Shield::take(std::vector<Recipient>& recipients, std::optional<std::size_t> group,
                                           queue::Flight& flight, core::Deadline deadline) {
  while (!flight) {
    std::vector<queue::Copy> copies;
    std::vector<Leg*> legs;
    for (auto& recipient : recipients) {
      for (auto& leg : recipient.legs) {
        if (leg.group != group || !is_open(leg) || leg.refused_at_rcpt) continue;
        copies.push_back(leg.copy);
        legs.push_back(&leg);
      }
    }
    if (copies.empty()) break;
    auto claim = ledger_->claim(copies);
    if (auto* taken = std::get_if<queue::Flight>(&claim)) {
      flight = std::move(*taken);
      for (std::size_t i = 0; i < legs.size(); ++i) {
        legs[i]->flight = i;
        legs[i]->entry = flight.entry(i);
      }
      break;
    }
    const auto* conflict = std::get_if<queue::Ledger::Conflict>(&claim);
    if (conflict == nullptr) co_return State::full;
    const auto state = co_await consult_leg(*legs[conflict->copy], deadline);
    if (state != State::go_on) co_return state;
  }
  co_return State::go_on;
}

net::Awaitable<Shield::State> Shield::claim(std::vector<Recipient>& recipients, std::vector<Group>& groups,
                                            core::Deadline deadline) {
  for (std::size_t g = 0; ledger_ != nullptr && g < groups.size(); ++g) {
    const auto state = co_await take(recipients, g, groups[g].flight, deadline);
    if (state != State::go_on) co_return state;
  }
  co_return State::go_on;
}

net::Awaitable<Shield::State> Shield::claim_unasked(std::vector<Recipient>& recipients, queue::Flight& flight,
                                                    core::Deadline deadline) {
  if (ledger_ == nullptr) co_return State::go_on;
  co_return co_await take(recipients, std::nullopt, flight, deadline);
}

bool Shield::needs_care(const std::vector<Recipient>& recipients, std::size_t group) const {
  if (ledger_ == nullptr) return false;
  for (const auto& recipient : recipients) {
    for (const auto& leg : recipient.legs) {
      if (leg.group == group && !leg.settled && ledger_->peek(leg.copy).what == What::lost) return true;
    }
  }
  return false;
}

}  // namespace forwarder
