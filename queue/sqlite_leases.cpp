// Leases: who works on what, and until when. The hops are visited one after the other through the index recipient_due,
// so that a hop with 100,000 due recipients costs as much as a hop with one.
#include <algorithm>

#include "queue/sqlite_rows.hpp"
#include "queue/sqlite_schema.hpp"
#include "queue/sqlite_tables.hpp"

namespace queue {
namespace {

// A request looks at so many hops at most, lest the writer be kept from committing; the next one goes on from there.
constexpr std::size_t kMaxHopsSeen = 256;

}  // namespace

struct Tables::Round {
  const LeaseRequest& request;
  Time now = 0, until = 0;
  Leased leased;
  std::map<std::string, std::size_t, std::less<>> taken;
  std::size_t seen = 0;

  std::size_t left(const std::string& hop) const {
    const auto allowed = request.allowance.find(hop);
    const auto most = allowed == request.allowance.end() ? request.per_hop : allowed->second;
    const auto have = taken.find(hop);
    return most - std::min(most, have == taken.end() ? 0 : have->second);
  }
  bool done() const { return leased.work.size() >= request.most; }
};

std::optional<Work> Tables::lease_piece(MessageKey message, const std::string& hop, Time due_by, Time until) {
  auto job = scanner_.message(message);
  if (!job) return std::nullopt;
  ready_rows_.with(first_row(message), last_row(message), hop, due_by, std::uint64_t{kMaxWorkRecipients});
  while (ready_rows_.row()) job->recipients.push_back(read_recipient(ready_rows_));
  if (job->recipients.empty()) return std::nullopt;
  Work work;
  work.lease = new_lease();
  work.until = until;
  work.hop = hop;
  for (auto& recipient : job->recipients) {
    recipient.lease = work.lease;
    recipient.lease_until = until;
    set_lease_.with(row_of(message, recipient.number), work.lease, until);
    set_lease_.run();
  }
  work.job = std::move(*job);
  effects_.leased = true;
  return work;
}

// Visits the hops behind `hop`. False: the round has ended before all were seen, and says where.
bool Tables::lease_hops(Round& round, int retry, std::string hop) {
  for (;;) {
    if (round.done() || ++round.seen > kMaxHopsSeen) {
      round.leased.after = std::to_string(retry) + hop;
      return false;
    }
    if (!next_hop_.with(retry, hop).row()) return true;
    hop = next_hop_.string(0);
    const bool due = next_hop_.integer(1) <= round.now;
    next_hop_.reset();
    if (!due) continue;
    lease_hop(round, retry, hop);
  }
}

void Tables::lease_hop(Round& round, int retry, const std::string& hop) {
  for (auto left = round.left(hop); left > 0 && !round.done(); --left) {
    if (!first_due_.with(retry, hop, round.now).row()) return;
    const auto message = message_of(first_due_.integer(0));
    first_due_.reset();
    auto work = lease_piece(message, hop, round.now, round.until);
    if (!work) return;
    round.leased.work.push_back(std::move(*work));
    ++round.taken[hop];
  }
}

core::Result<Leased> Tables::lease_due(const LeaseRequest& request) {
  Round round{.request = request, .now = timeline_.now(), .until = 0, .leased = {}, .taken = {}, .seen = 0};
  round.until = round.now + request.lease_for.count();
  if (request.hop) {
    for (const int retry : {0, 1}) lease_hop(round, retry, *request.hop);
    return std::move(round.leased);
  }
  // A round goes through all hops twice, for what is fresh and for what is tried again; `after` is "0hop" or "1hop".
  const std::string after = request.after.value_or("");
  const bool second_half = after.starts_with('1');
  const std::string hop = after.empty() ? "" : after.substr(1);
  if (!second_half && !lease_hops(round, 0, hop)) return std::move(round.leased);
  if (!lease_hops(round, 1, second_half ? hop : "")) return std::move(round.leased);
  if (next_due_.with(round.now).row()) round.leased.next_due = next_due_.integer(0);
  next_due_.reset();
  return std::move(round.leased);
}

core::Result<std::vector<Work>> Tables::lease_overdue(const OverdueRequest& request) {
  std::vector<Work> work;
  const auto now = timeline_.now();
  for (const auto& hop : request.hops) {
    for (const int retry : {0, 1}) {
      if (work.size() >= request.most) return work;
      std::vector<MessageKey> messages;
      overdue_.with(retry, hop, now, request.most - work.size());
      while (overdue_.row()) messages.push_back(message_of(overdue_.integer(0)));
      messages.erase(std::unique(messages.begin(), messages.end()), messages.end());
      for (const auto message : messages) {
        if (auto piece = lease_piece(message, hop, now, now + request.lease_for.count())) {
          work.push_back(std::move(*piece));
        }
      }
    }
  }
  return work;
}

core::Result<Matched> Tables::lease_matching(const Filter& filter, const Page& page, core::Milliseconds lease_for) {
  Matched matched;
  const auto now = timeline_.now();
  auto listed = scanner_.scan(filter, {page.after, std::min(page.most, kMaxStep)}, now);
  matched.after = listed.after;
  for (auto& job : listed.jobs) {
    // One piece a hop, as everywhere.
    std::map<std::string, Work> pieces;
    for (auto& recipient : job.recipients) {
      if (recipient.lease != 0 || recipient.state == queue::State::provisional) continue;
      auto& piece = pieces[recipient.hop];
      if (piece.lease == 0) {
        piece = {.job = {job.key, job.envelope, {}}, .hop = recipient.hop, .lease = new_lease(), .until = 0};
        piece.until = now + lease_for.count();
      }
      recipient.lease = piece.lease;
      recipient.lease_until = piece.until;
      set_lease_.with(row_of(job.key, recipient.number), piece.lease, piece.until);
      set_lease_.run();
      piece.job.recipients.push_back(std::move(recipient));
    }
    for (auto& [hop, piece] : pieces) matched.work.push_back(std::move(piece));
  }
  return matched;
}

core::Result<Time> Tables::check(MessageKey message, Epoch lease) {
  if (lease == 0) return StoreErrc::lease_lost;
  const bool found = lease_end_.with(first_row(message), last_row(message), lease).row() && !lease_end_.null(0);
  const Time until = found ? lease_end_.integer(0) : 0;
  lease_end_.reset();
  if (!found || until <= timeline_.now()) return StoreErrc::lease_lost;
  return until;
}

core::Result<Time> Tables::extend(MessageKey message, Epoch lease, core::Milliseconds lease_for) {
  // Also when its time is over: as long as the rows bear its number, nobody else has got it.
  if (lease == 0) return StoreErrc::lease_lost;
  const auto until = timeline_.now() + lease_for.count();
  const auto before = db_.rows_changed();
  extend_.with(first_row(message), last_row(message), lease, until);
  extend_.run();
  if (db_.rows_changed() == before) return StoreErrc::lease_lost;
  return until;
}

Receipt Tables::release(MessageKey message, Epoch lease) {
  if (lease != 0) {
    release_.with(first_row(message), last_row(message), lease);
    release_.run();
  }
  return {Commit::committed, {}, message, 0};
}

void Tables::expire() {
  const auto now = timeline_.now();
  std::vector<std::int64_t> owned, provisional;
  expired_.with(now);
  while (expired_.row()) (expired_.integer(1) == 0 ? provisional : owned).push_back(expired_.integer(0));
  for (const auto row : owned) {
    set_lease_.with(row, 0, 0);
    set_lease_.run();
  }
  // Its session was to settle it long ago: it has not answered 250, and will find it gone.
  for (const auto row : provisional) remove_recipient(row);
  for (std::size_t i = 0; i < rules_.size();) {
    const auto rule = rules_[i];
    if (rule.expires == 0 || rule.expires > now) {
      ++i;
    } else {
      static_cast<void>(remove_hold_rule(rule.number));
    }
  }
}

}  // namespace queue
