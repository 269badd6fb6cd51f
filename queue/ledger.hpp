// The duplicate shield of promise.md C.3.5-C.3.7 and C.5: who has had our final dot for which message. A copy (one
// destination of one recipient of one message) is CLAIMED while it is being worked on, DOT once its final dot may be
// out, 2XX when its destination has taken it, OWNED when it is on our own stable storage. A client that repeats a
// message whose answer it missed is told what became of it and causes no second delivery.
//
// Every change but a claim is written to a file of fixed-size records with one pwrite(2) and no fsync before the call
// returns: it survives SIGKILL at any instruction, though not a power cut. When the file fails, the ledger goes on in
// memory (C.6) until the next start. docs/ledger.md has the state table and the format.
//
// Threads: one Ledger serves all shards; every function may be called by any thread. A short mutex guards the tables;
// files are written outside of it. A waiter is resumed on its own executor. The Ledger outlives its Flights.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/clock.hpp"
#include "core/secret_file.hpp"
#include "mail/envelope.hpp"
#include "queue/fingerprint.hpp"

namespace queue {

class LedgerState;

// Lives are counted while the ledger is open: while we are down nobody can repeat a message to us, and a clock that was
// set makes nothing expire early.
inline constexpr core::Seconds kExactLife = std::chrono::hours(48);  // key 1
inline constexpr core::Seconds kRestampedLife =
    std::chrono::hours(2);                                             // key 2; both keys once our 250 was acknowledged
inline constexpr core::Seconds kRowLife = std::chrono::hours(24 * 7);  // what the runner journals
inline constexpr unsigned kMaxUnknown = 3;                             // dots without an answer, then we stop
inline constexpr std::size_t kMaxWaiters = 100;                        // joined to one attempt; beyond: not waited for
inline constexpr std::size_t kMaxListed = 1000;
inline constexpr std::size_t kMinPrefix = 4;  // hexadecimal digits to look a fingerprint up by

// Names an entry as long as it lives; afterwards it names nothing, and all functions take that.
struct EntryId {
  std::uint32_t slot = 0, generation = 0;
  explicit operator bool() const { return slot != 0; }
  friend bool operator==(const EntryId&, const EntryId&) = default;
};

// One copy, as its caller names it.
struct Copy {
  enum class Kind { client, row };  // offered by a client; or queued and delivered by the runner (row_fingerprint)
  Fingerprint fingerprint;
  Scope scope;
  std::string trace;  // the trace id of the message, for the operator: "abcdefghij-1"
  Kind kind = Kind::client;
};

// What is known of a copy, and so what a retry gets.
struct Finding {
  enum class What {
    nothing,    // go on
    delivered,  // 2XX: 250 without a second delivery
    owned,      // OWNED: 250, the row will be delivered
    in_flight,  // claimed, or its dot is out: join()
    lost,       // its dot was sent, its answer never came: go on in a fresh session, without PIPELINING and CHUNKING
    worn_out,   // the same kMaxUnknown times: 554 5.4.2 (or a DSN), it may have arrived
  };
  What what = What::nothing;
  EntryId entry;
  // Dots whose answer never came, so far; kept when the copy is delivered or owned after all. Not 0: dup_possible, to
  // be logged before the next dot is sent, for a kill may take the line that comes after it.
  unsigned unknown = 0;
  std::string trace;  // of the message that made the entry
};

// How an attempt that was joined ended.
struct Verdict {
  enum class What {
    delivered,  // 250
    owned,      // 250
    refused,    // `outcome` has the reply
    unknown,    // its answer never came: 451 4.4.2
    released,   // no dot was sent, or the entry has gone: peek() again
  };
  What what = What::released;
  mail::Outcome outcome;
};

// Copies that are being worked on, by one attempt: nobody else sends a dot for them. Destroyed or settled copy by copy;
// what is not settled is released when its dot was not sent, and unknown when it was. Movable between threads.
class Flight {
 public:
  Flight() = default;
  Flight(Flight&& other) noexcept
      : ledger_(std::exchange(other.ledger_, nullptr)), copies_(std::exchange(other.copies_, {})) {}
  Flight& operator=(Flight&& other) noexcept;
  ~Flight() { close(); }
  explicit operator bool() const { return ledger_ != nullptr; }

  std::size_t size() const { return copies_.size(); }
  EntryId entry(std::size_t copy) const { return copies_[copy].entry; }
  // Is the copy still in flight?
  bool open(std::size_t copy) const { return copies_[copy].open; }

  // Journals DOT for every open copy. The final dot may be sent when this has returned, and not before.
  void journal_dot();
  // What became of a copy. delivered: 2XX. unknown: counted, and flagged by the caller as dup_possible. deferred and
  // failed: the entry goes, unless an earlier dot of it had no answer: that stays counted. `late` settles nothing.
  void settle(std::size_t copy, const mail::Outcome& outcome);
  // The copy's row is on stable storage (after the commit, never before it), and the runner will begin with it: the
  // entry becomes OWNED, who has joined is told so. Returns the entry.
  EntryId own(std::size_t copy);
  // The same, but this attempt goes on for the row (C.3.6): the flight keeps the copy under `row` (a fingerprint of
  // row_fingerprint), DOT where the dot was sent. Returns the client's entry.
  EntryId hand_over(std::size_t copy, const Copy& row);

 private:
  friend class LedgerState;
  struct Part {
    EntryId entry;
    bool open = true;
  };
  Flight(LedgerState& ledger, std::vector<Part> copies) : ledger_(&ledger), copies_(std::move(copies)) {}
  void close();
  LedgerState* ledger_ = nullptr;
  std::vector<Part> copies_;
};

class Ledger {
 public:
  struct Opened {
    std::unique_ptr<Ledger> ledger;
    std::vector<std::string> notes;  // sentences for the log: what was set aside, cut short, dropped, unreadable
  };
  // Opens `path`, makes it (0600) when missing, and reads it; the space for `limit` entries is reserved on the disk.
  // Another limit than before: the file is written anew, the oldest 2XX left out first. A file that is damaged or none
  // of ours is renamed to PATH.damaged-N. Dots that were in flight become lost dots. Blocks; for start-up. Errors: the
  // sentence for the operator. `clock` outlives the ledger.
  static core::Explained<Opened> open(const std::string& path, std::uint32_t limit, const core::Clock& clock);
  // Without a file.
  static std::unique_ptr<Ledger> in_memory(std::uint32_t limit, const core::Clock& clock);
  Ledger(const Ledger&) = delete;
  ~Ledger();

  // What is known of the copy: key 1 first, then key 2 where the scope meets.
  Finding peek(const Copy& copy) const;

  // Takes all of `copies`, or none. Conflict: somebody has, or had, one of them (peek() said or would now say anything
  // but `nothing` and `lost`). NoRoom: the ledger is full of flights; 451 4.3.0, no dot may be sent.
  struct Conflict {
    std::size_t copy = 0;
    Finding finding;
  };
  struct NoRoom {};
  using Claim = std::variant<Flight, Conflict, NoRoom>;
  Claim claim(std::span<const Copy> copies);

  // Waits for the attempt that has the entry. Nothing at the deadline (451 4.4.2), and when kMaxWaiters wait already.
  // Waiting may be given up at any time by destroying the coroutine.
  boost::asio::awaitable<std::optional<Verdict>> join(EntryId entry, core::Deadline deadline);

  // For each row of the store at start: its client's copy becomes OWNED again, should the mark have been missed between
  // the commit and a kill. A 2XX stays one. Nothing when there is no room, or when an attempt has it.
  std::optional<EntryId> own(const Copy& copy);
  // The row has left the queue undelivered (FAILED, deleted), or the runner's entry has served: the entry goes.
  void forget(const Fingerprint& fingerprint);

  // After our 250. `confirmed`: the client has sent a command after its TCP had acknowledged our 250; the entry ends.
  void confirmed(EntryId entry);
  // Only acknowledged by its TCP, or followed by a command that was pipelined before it: two hours are left at most.
  void acknowledged(EntryId entry);

  // For `onward ledger`. These may take milliseconds; they never hold the shards up for more than microseconds.
  struct Row {
    std::string fingerprint;  // 32 hexadecimal digits: the half of key 1 that is kept
    std::string state;        // "DOT", "DOT lost", "2XX", "OWNED"; nothing is shown of mere claims
    std::string trace;
    Copy::Kind kind = Copy::Kind::client;
    unsigned unknown = 0;
    bool acknowledged = false;
    core::Wall::time_point made;
    core::Seconds age{0};  // since the last change, counted while we were up
  };
  // The newest `most` (at most kMaxListed) first.
  std::vector<Row> list(std::size_t most) const;
  // Those whose fingerprint begins so: kMinPrefix to 64 hexadecimal digits in any case (of 64 the first 32 count).
  core::Result<std::vector<Row>> find(std::string_view hex_prefix, std::size_t most) const;
  // Those of these messages, by their ids ("k3v7q2mzxa-1"), at most kMaxListed.
  std::vector<Row> traced(std::span<const std::string> ids) const;

  struct Stats {
    std::uint64_t limit = 0, entries = 0, in_flight = 0, lost = 0, delivered = 0, owned = 0;
    std::uint64_t dropped_delivered = 0, dropped_lost = 0, dropped_owned = 0;  // went early: the ledger was full
    std::uint64_t no_room = 0, joined = 0;
  };
  Stats stats() const;
  // What stopped the file from being written; no error: all is well. Since then the journal is in memory only.
  core::Error file_error() const;

 private:
  explicit Ledger(std::unique_ptr<LedgerState> state);
  std::unique_ptr<LedgerState> state_;
};

}  // namespace queue
