#include "queue/ledger_state.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cassert>
#include <limits>

#include "core/text.hpp"

namespace queue {
namespace {

constexpr std::uint32_t kClockWriteEvery = 60;  // seconds; a kill makes entries live longer by as much
constexpr LedgerTable::Slot kScanAtOnce = 4096;

// Within 32 bits: until the year 2106, or as long after the ledger's beginning.
std::uint32_t held(std::int64_t seconds) {
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(seconds, 0, std::numeric_limits<std::uint32_t>::max()));
}

std::string hex(const LedgerKey& key) {
  return core::hex({reinterpret_cast<const char*>(key.data()), key.size()});
}

LedgerEntry make_entry(const Copy& copy, LedgerMark mark) {
  LedgerEntry entry;
  entry.exact = shorten(copy.fingerprint.exact);
  if (copy.fingerprint.restamped) entry.restamped = shorten(*copy.fingerprint.restamped);
  entry.scope = copy.scope;
  entry.trace = pack_trace(copy.trace);
  entry.mark = mark;
  entry.row = copy.kind == Copy::Kind::row;
  return entry;
}

Finding::What what_of(const LedgerEntry& entry) {
  switch (entry.mark) {
    case LedgerMark::delivered:
      return Finding::What::delivered;
    case LedgerMark::owned:
      return Finding::What::owned;
    case LedgerMark::claimed:
    case LedgerMark::dot:
      return Finding::What::in_flight;
    case LedgerMark::lost:
      return entry.unknown >= kMaxUnknown ? Finding::What::worn_out : Finding::What::lost;
    case LedgerMark::none:
      break;
  }
  return Finding::What::nothing;
}

Verdict::What verdict_of(LedgerMark mark) {
  switch (mark) {
    case LedgerMark::delivered:
      return Verdict::What::delivered;
    case LedgerMark::owned:
      return Verdict::What::owned;
    case LedgerMark::lost:
      return Verdict::What::unknown;
    default:
      return Verdict::What::released;
  }
}

// Has a client had a 250 for it?
bool is_answered(const LedgerEntry& entry) {
  return !entry.row && (entry.mark == LedgerMark::delivered || entry.mark == LedgerMark::owned);
}

std::string_view state_name(LedgerMark mark) {
  switch (mark) {
    case LedgerMark::dot:
      return "DOT";
    case LedgerMark::lost:
      return "DOT lost";
    case LedgerMark::delivered:
      return "2XX";
    case LedgerMark::owned:
      return "OWNED";
    default:
      return "";
  }
}

}  // namespace

LedgerState::~LedgerState() {
  assert(waiters_.empty() && table_.count(LedgerMark::claimed) + table_.count(LedgerMark::dot) == 0);
  // An error here only means that ages go back a little.
  if (file_good_ && file_->write_clock(now())) file_good_ = false;
}

std::uint32_t LedgerState::now() const {
  const auto open = std::chrono::duration_cast<core::Seconds>(clock_->steady() - opened_).count();
  return held(base_ + std::max<std::int64_t>(open, 0));
}

std::uint32_t LedgerState::wall_seconds() const {
  return held(std::chrono::duration_cast<core::Seconds>(clock_->wall().time_since_epoch()).count());
}

void LedgerState::load(LedgerFile::Loaded loaded) {
  base_ = std::max(loaded.clock, std::uint32_t{1});
  clock_written_ = base_;
  file_ = std::move(loaded.file);
  file_good_ = true;
  for (auto& [slot, entry] : loaded.entries) {
    if (LedgerTable::expired(entry, base_)) continue;
    if (entry.mark == LedgerMark::dot) {
      // Its answer never came to us. Written back at once, so that the next start does not count it again.
      entry.mark = LedgerMark::lost;
      entry.unknown = static_cast<std::uint8_t>(std::min(entry.unknown + 1, 255));
      if (const auto error = file_->write(slot, entry)) give_up_file(error);
    }
    table_.restore(slot, entry);
  }
  table_.finish_restore();
}

// ---- the file

void LedgerState::give_up_file(const core::Error& error) {
  if (!file_good_.exchange(false)) return;
  const std::scoped_lock lock(error_mutex_);
  file_error_ = error;
}

void LedgerState::write(Lock lock, Slot slot, const LedgerEntry& entry) {
  if (!file_good_.load(std::memory_order_relaxed)) return;
  const auto time = now();
  const std::scoped_lock order(write_locks_[slot % kWriteLocks]);
  lock.unlock();
  if (const auto error = file_->write(slot, entry)) {
    give_up_file(error);
  } else {
    write_clock(time);
  }
}

void LedgerState::write_clock(std::uint32_t time) {
  auto written = clock_written_.load(std::memory_order_relaxed);
  if (time < written + kClockWriteEvery || !clock_written_.compare_exchange_strong(written, time)) return;
  if (const auto error = file_->write_clock(time)) give_up_file(error);
}

void LedgerState::change(Lock lock, Slot slot, LedgerEntry entry) {
  entry.time = now();
  table_.change(slot, entry);
  write(std::move(lock), slot, entry);
}

void LedgerState::remove(Lock lock, Slot slot) {
  table_.remove(slot);
  write(std::move(lock), slot, {});
}

// ---- what is known

Finding LedgerState::finding(Slot slot) const {
  if (slot == 0) return {};
  const auto& entry = table_[slot];
  return {what_of(entry), id_of(slot), entry.unknown, unpack_trace(entry.trace)};
}

LedgerTable::Slot LedgerState::find_slot(const Copy& copy) const {
  const auto& fingerprint = copy.fingerprint;
  const auto restamped = fingerprint.restamped ? shorten(*fingerprint.restamped) : LedgerKey{};
  return table_.find(shorten(fingerprint.exact), restamped, copy.scope, now());
}

Finding LedgerState::peek(const Copy& copy) const {
  const Lock lock(mutex_);
  return finding(find_slot(copy));
}

// ---- flights

// An entry that has expired and has the copy's key 1, while another one answers for the copy by key 2: it goes from the
// file too, or a kill could bring it back beside the other.
LedgerState::Lock LedgerState::clear_expired(Lock lock, const Copy& copy) {
  const auto same = table_.find_exact(shorten(copy.fingerprint.exact));
  const auto known = find_slot(copy);
  if (same == 0 || known == 0 || same == known) return lock;
  remove(std::move(lock), same);
  return Lock(mutex_);
}

// Puts the entry in the place of `known`, or where there is room; 0 when there is none.
LedgerTable::Slot LedgerState::place(Slot known, LedgerEntry& entry) {
  entry.made = wall_seconds();
  entry.time = now();
  const auto same = table_.find_exact(entry.exact);
  if (same != 0 && same != known) table_.remove(same);  // expired
  if (known != 0) {
    table_.change(known, entry);
    return known;
  }
  const auto slot = table_.add(entry, entry.time);
  if (slot == 0) ++no_room_;
  return slot;
}

Ledger::Claim LedgerState::claim(std::span<const Copy> copies) {
  Flight flight(*this, {});
  bool full = false;
  {
    Lock lock(mutex_);
    for (const auto& copy : copies) lock = clear_expired(std::move(lock), copy);
    for (std::size_t i = 0; i < copies.size(); ++i) {
      const auto known = finding(find_slot(copies[i]));
      if (known.what != Finding::What::nothing && known.what != Finding::What::lost) {
        return Ledger::Conflict{i, known};
      }
    }
    for (const auto& copy : copies) {
      const auto known = find_slot(copy);
      if (known != 0 && table_[known].in_flight()) {  // named twice in `copies`: the first one counts
        flight.copies_.push_back({id_of(known), false});
        continue;
      }
      auto entry = make_entry(copy, LedgerMark::claimed);
      if (known != 0) entry.unknown = table_[known].unknown;
      const auto slot = place(known, entry);
      if (slot == 0) {
        full = true;
        break;
      }
      flight.copies_.push_back({id_of(slot)});
    }
  }
  if (full) return Ledger::NoRoom{};  // what was claimed so far is released with `flight`
  return flight;
}

void LedgerState::journal_dot(EntryId id) {
  Lock lock(mutex_);
  const auto slot = slot_of(id);
  assert(slot != 0 && table_[slot].in_flight());
  auto entry = table_[slot];
  entry.mark = LedgerMark::dot;
  change(std::move(lock), slot, entry);
}

void LedgerState::tell(Slot slot, const Verdict& verdict) {
  const auto found = waiters_.find(slot);
  if (found == waiters_.end()) return;
  // Posted under the lock: as long as a waiter is registered its executor lives.
  for (const auto& waiter : found->second) {
    boost::asio::post(waiter->timer.get_executor(), [waiter, verdict] {
      waiter->verdict = verdict;
      waiter->timer.cancel();
    });
  }
  waiters_.erase(found);
}

// The copy ends without 2XX or OWNED: what an earlier dot of it left stays.
void LedgerState::end_flight(Lock lock, Slot slot, const Verdict& verdict) {
  tell(slot, verdict);
  auto entry = table_[slot];
  const bool sent = entry.mark == LedgerMark::dot;
  if (entry.unknown == 0) {
    // Of a mere claim nothing is in the file.
    if (sent) return remove(std::move(lock), slot);
    table_.remove(slot);
    return;
  }
  entry.mark = LedgerMark::lost;
  change(std::move(lock), slot, entry);
}

void LedgerState::settle(EntryId id, const mail::Outcome& outcome) {
  Lock lock(mutex_);
  const auto slot = slot_of(id);
  assert(slot != 0 && table_[slot].in_flight());
  auto entry = table_[slot];
  switch (outcome.fate) {
    case mail::Fate::delivered:
      tell(slot, {Verdict::What::delivered, outcome});
      entry.mark = LedgerMark::delivered;
      return change(std::move(lock), slot, entry);
    case mail::Fate::deferred:
    case mail::Fate::failed:
      return end_flight(std::move(lock), slot, {Verdict::What::refused, outcome});
    case mail::Fate::unknown:
      lock.unlock();
      return lose(id);
    case mail::Fate::late:
      break;
  }
}

void LedgerState::lose(EntryId id) {
  Lock lock(mutex_);
  const auto slot = slot_of(id);
  if (slot == 0) return;
  auto entry = table_[slot];
  if (entry.mark != LedgerMark::dot) return end_flight(std::move(lock), slot, {Verdict::What::released, {}});
  tell(slot, {Verdict::What::unknown, {}});
  entry.mark = LedgerMark::lost;
  entry.unknown = static_cast<std::uint8_t>(std::min(entry.unknown + 1, 255));
  change(std::move(lock), slot, entry);
}

void LedgerState::own(EntryId id) {
  Lock lock(mutex_);
  const auto slot = slot_of(id);
  assert(slot != 0 && table_[slot].in_flight() && !table_[slot].row);
  tell(slot, {Verdict::What::owned, {}});
  auto entry = table_[slot];
  entry.mark = LedgerMark::owned;
  change(std::move(lock), slot, entry);
}

EntryId LedgerState::hand_over(EntryId id, const Copy& row) {
  // The row's DOT is written before the client's becomes OWNED: killed in between, the store says OWNED at start.
  Lock lock(mutex_);
  const auto slot = slot_of(id);
  assert(slot != 0 && table_[slot].in_flight());
  const bool sent = table_[slot].mark == LedgerMark::dot;
  auto entry = make_entry(row, table_[slot].mark);
  entry.row = true;
  entry.unknown = table_[slot].unknown;
  const auto taken = place(table_.find(entry.exact, {}, {}, now()), entry);
  EntryId own_id;
  if (taken != 0) own_id = id_of(taken);
  if (taken != 0 && sent) {
    write(std::move(lock), taken, entry);
  } else {
    lock.unlock();
  }
  own(id);
  return own_id;
}

std::optional<EntryId> LedgerState::own(const Copy& copy) {
  Lock lock(mutex_);
  auto entry = make_entry(copy, LedgerMark::owned);
  const auto known = table_.find(entry.exact, {}, {}, now());
  if (known != 0 && table_[known].in_flight()) return std::nullopt;
  if (known != 0 && table_[known].mark != LedgerMark::lost) return id_of(known);
  if (known != 0) entry.unknown = table_[known].unknown;
  const auto slot = place(known, entry);
  if (slot == 0) return std::nullopt;
  const auto id = id_of(slot);
  write(std::move(lock), slot, entry);
  return id;
}

void LedgerState::forget(const Fingerprint& fingerprint) {
  Lock lock(mutex_);
  const auto slot = table_.find_exact(shorten(fingerprint.exact));
  if (slot != 0 && !table_[slot].in_flight()) remove(std::move(lock), slot);
}

// ---- after our 250

void LedgerState::confirmed(EntryId id) {
  Lock lock(mutex_);
  const auto slot = slot_of(id);
  if (slot == 0) return;
  if (is_answered(table_[slot])) remove(std::move(lock), slot);
}

void LedgerState::acknowledged(EntryId id) {
  Lock lock(mutex_);
  const auto slot = slot_of(id);
  if (slot == 0) return;
  auto entry = table_[slot];
  if (entry.acknowledged || !is_answered(entry)) return;
  const auto time = now();
  if (core::Seconds(time - std::min(time, entry.time)) + kRestampedLife > kExactLife) return;  // no more is left anyway
  entry.acknowledged = true;
  change(std::move(lock), slot, entry);
}

// ---- joining

bool LedgerState::join(EntryId id, const std::shared_ptr<LedgerWaiter>& waiter) {
  const Lock lock(mutex_);
  const auto slot = slot_of(id);
  if (slot == 0 || !table_[slot].in_flight()) {
    waiter->verdict = Verdict{slot == 0 ? Verdict::What::released : verdict_of(table_[slot].mark), {}};
    return true;
  }
  auto& all = waiters_[slot];
  if (all.size() >= kMaxWaiters) return false;
  all.push_back(waiter);
  ++joined_;
  return true;
}

void LedgerState::leave(Slot slot, const LedgerWaiter* waiter) {
  const Lock lock(mutex_);
  const auto found = waiters_.find(slot);
  if (found == waiters_.end()) return;
  std::erase_if(found->second, [waiter](const auto& each) { return each.get() == waiter; });
  if (found->second.empty()) waiters_.erase(found);
}

// ---- for the operator

Ledger::Row LedgerState::row(Slot slot, std::uint32_t time) const {
  const auto& entry = table_[slot];
  Ledger::Row row;
  row.fingerprint = hex(entry.exact);
  row.state = state_name(entry.mark);
  row.trace = unpack_trace(entry.trace);
  row.kind = entry.row ? Copy::Kind::row : Copy::Kind::client;
  row.unknown = entry.unknown;
  row.acknowledged = entry.acknowledged;
  row.made = core::Wall::time_point(core::Seconds(entry.made));
  row.age = core::Seconds(time - std::min(time, entry.time));
  return row;
}

std::vector<Ledger::Row> LedgerState::list(std::size_t most) const {
  const auto time = now();
  std::vector<Ledger::Row> rows;
  const Lock lock(mutex_);
  for (const auto slot : table_.newest(std::min(most, kMaxListed))) {
    if (!LedgerTable::expired(table_[slot], time)) rows.push_back(row(slot, time));
  }
  return rows;
}

template <class Wanted>
std::vector<Ledger::Row> LedgerState::scan(Wanted wanted, std::size_t most) const {
  const auto time = now();
  std::vector<Ledger::Row> rows;
  for (Slot next = 1;;) {
    const Lock lock(mutex_);
    const auto end = std::min(table_.high_water(), next + kScanAtOnce);
    for (; next < end; ++next) {
      const auto& entry = table_[next];
      if (entry.mark <= LedgerMark::claimed || LedgerTable::expired(entry, time)) continue;
      if (!wanted(entry)) continue;
      rows.push_back(row(next, time));
      if (rows.size() >= most) return rows;
    }
    if (next >= table_.high_water()) return rows;
  }
}

std::vector<Ledger::Row> LedgerState::find(std::string_view prefix, std::size_t most) const {
  return scan([prefix](const LedgerEntry& entry) { return hex(entry.exact).starts_with(prefix); }, most);
}

std::vector<Ledger::Row> LedgerState::traced(std::span<const std::string> ids) const {
  std::vector<PackedTrace> traces;
  for (const auto& id : ids) {
    if (const auto trace = pack_trace(id); trace != PackedTrace()) traces.push_back(trace);
  }
  if (traces.empty()) return {};
  return scan([&](const LedgerEntry& entry) { return std::ranges::find(traces, entry.trace) != traces.end(); },
              kMaxListed);
}

Ledger::Stats LedgerState::stats() const {
  const Lock lock(mutex_);
  Ledger::Stats stats;
  stats.limit = table_.limit();
  stats.entries = table_.size();
  stats.in_flight = table_.count(LedgerMark::claimed) + table_.count(LedgerMark::dot);
  stats.lost = table_.count(LedgerMark::lost);
  stats.delivered = table_.count(LedgerMark::delivered);
  stats.owned = table_.count(LedgerMark::owned);
  stats.dropped_delivered = table_.dropped().delivered;
  stats.dropped_lost = table_.dropped().lost;
  stats.dropped_owned = table_.dropped().owned;
  stats.no_room = no_room_;
  stats.joined = joined_;
  return stats;
}

core::Error LedgerState::file_error() const {
  const std::scoped_lock lock(error_mutex_);
  return file_error_;
}

}  // namespace queue
