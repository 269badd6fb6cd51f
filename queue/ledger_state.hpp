// What a Ledger is made of: the tables, the file and the waiters, with their locks. Private to the ledger.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "queue/ledger.hpp"
#include "queue/ledger_file.hpp"
#include "queue/ledger_table.hpp"

namespace queue {

// One coroutine that has joined an attempt. The verdict is written, and the timer used, on its own executor only.
struct LedgerWaiter {
  explicit LedgerWaiter(const boost::asio::any_io_executor& executor) : timer(executor) {}
  boost::asio::steady_timer timer;
  std::optional<Verdict> verdict;
};

class LedgerState {
 public:
  LedgerState(std::uint32_t limit, const core::Clock& clock) : table_(limit), clock_(&clock), opened_(clock.steady()) {}
  ~LedgerState();

  void load(LedgerFile::Loaded loaded);

  Finding peek(const Copy& copy) const;
  Ledger::Claim claim(std::span<const Copy> copies);
  void journal_dot(EntryId id);
  void settle(EntryId id, const mail::Outcome& outcome);
  void lose(EntryId id);  // the flight has ended without a word
  void own(EntryId id);
  EntryId hand_over(EntryId id, const Copy& row);
  std::optional<EntryId> own(const Copy& copy);
  void forget(const Fingerprint& fingerprint);
  void confirmed(EntryId id);
  void acknowledged(EntryId id);

  // Registers the waiter, or gives the verdict that there is already. False: too many wait.
  bool join(EntryId id, const std::shared_ptr<LedgerWaiter>& waiter);
  void leave(LedgerTable::Slot slot, const LedgerWaiter* waiter);

  std::vector<Ledger::Row> list(std::size_t most) const;
  std::vector<Ledger::Row> find(std::string_view prefix, std::size_t most) const;
  std::vector<Ledger::Row> traced(std::span<const std::string> ids) const;
  Ledger::Stats stats() const;
  core::Error file_error() const;

 private:
  using Slot = LedgerTable::Slot;
  using Lock = std::unique_lock<std::mutex>;
  std::uint32_t now() const;
  std::uint32_t wall_seconds() const;
  // The entry's slot, or 0 when it has gone.
  Slot slot_of(EntryId id) const { return id && table_.generation(id.slot) == id.generation ? id.slot : 0; }
  EntryId id_of(Slot slot) const { return {slot, table_.generation(slot)}; }
  Finding finding(Slot slot) const;
  Slot find_slot(const Copy& copy) const;
  Ledger::Row row(Slot slot, std::uint32_t time) const;
  // Rows of the entries that `wanted` takes; other threads get between slices of them.
  template <class Wanted>
  std::vector<Ledger::Row> scan(Wanted wanted, std::size_t most) const;
  Lock clear_expired(Lock lock, const Copy& copy);
  Slot place(Slot known, LedgerEntry& entry);
  // These end the lock: the record is written outside of it, in the order of the changes of its slot.
  void change(Lock lock, Slot slot, LedgerEntry entry);
  void remove(Lock lock, Slot slot);
  void write(Lock lock, Slot slot, const LedgerEntry& entry);
  void write_clock(std::uint32_t time);
  void give_up_file(const core::Error& error);
  void tell(Slot slot, const Verdict& verdict);
  void end_flight(Lock lock, Slot slot, const Verdict& verdict);

  mutable std::mutex mutex_;  // everything but the file and the atomics
  LedgerTable table_;
  std::unordered_map<Slot, std::vector<std::shared_ptr<LedgerWaiter>>> waiters_;
  std::uint64_t no_room_ = 0, joined_ = 0;

  const core::Clock* clock_;
  const core::Steady::time_point opened_;
  std::uint32_t base_ = 1;  // the ledger's clock at opened_

  std::unique_ptr<LedgerFile> file_;
  std::atomic<bool> file_good_{false};
  std::atomic<std::uint32_t> clock_written_{0};
  // By slot. Taken while mutex_ is held and kept longer than it; who holds one waits for nothing.
  static constexpr std::size_t kWriteLocks = 64;
  std::array<std::mutex, kWriteLocks> write_locks_;
  mutable std::mutex error_mutex_;
  core::Error file_error_;
};

}  // namespace queue
