// The tables of the Ledger in memory: entries in fixed slots, found by either key, kept in order of age by what they
// are, bounded by giving up the oldest of what is needed least. No locks, no files, no clock: the Ledger has those.
// 80 octets an entry and 8 for the index; memory is touched only for as many entries as there ever were at once.
#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.hpp"
#include "queue/fingerprint.hpp"

namespace queue {

// Half of a SHA-256: 128 bits. All zero: none.
using LedgerKey = std::array<std::uint8_t, 16>;
LedgerKey shorten(const core::Digest& digest);

enum class LedgerMark : std::uint8_t { none = 0, claimed = 1, dot = 2, lost = 3, delivered = 4, owned = 5 };

// A trace id, "abcdefghij-12", in 64 bits; zero for what is no such id.
struct PackedTrace {
  std::uint32_t high = 0, low = 0;
  friend bool operator==(const PackedTrace&, const PackedTrace&) = default;
};
PackedTrace pack_trace(std::string_view id);
std::string unpack_trace(PackedTrace packed);  // "" for zero

struct LedgerEntry {
  PackedTrace trace;
  LedgerKey exact{}, restamped{};
  Scope scope;
  std::uint32_t made = 0;  // Unix seconds, for display only
  std::uint32_t time = 0;  // of the last change, in seconds of the ledger's own clock
  LedgerMark mark = LedgerMark::none;
  std::uint8_t unknown = 0;
  bool row = false;           // the runner's
  bool acknowledged = false;  // two hours are left at most

  bool in_flight() const { return mark == LedgerMark::claimed || mark == LedgerMark::dot; }
};

class LedgerTable {
 public:
  using Slot = std::uint32_t;  // 1 to limit; 0: none
  // What is given up when the table is full, in this order; those in flight never are.
  struct Dropped {
    std::uint64_t delivered = 0, lost = 0, owned = 0;
  };

  // limit: 1 or more. Throws std::bad_alloc.
  explicit LedgerTable(std::uint32_t limit);

  const LedgerEntry& operator[](Slot slot) const { return nodes_[slot].entry; }
  std::uint32_t generation(Slot slot) const { return nodes_[slot].generation; }
  std::uint32_t limit() const { return limit_; }
  std::uint32_t size() const { return size_; }
  std::uint32_t count(LedgerMark mark) const { return counts_[static_cast<std::size_t>(mark)]; }
  const Dropped& dropped() const { return dropped_; }
  // How many entries a slot number may reach: 1 .. high_water() - 1 have been used.
  Slot high_water() const { return fresh_; }

  // The entry that answers for these keys at `now`: by key 1 or, within its two hours and scope, by key 2. Expired
  // entries answer for nothing.
  Slot find(const LedgerKey& exact, const LedgerKey& restamped, const Scope& scope, std::uint32_t now) const;

  // The entry with this key 1, expired or not: there is never more than one.
  Slot find_exact(const LedgerKey& exact) const;

  // A new entry, of a key 1 that find_exact() does not know, in a slot of its own; 0 when every slot is in flight.
  // Drops what has expired, and when full the oldest 2XX, else the oldest lost dot, else the oldest OWNED.
  Slot add(const LedgerEntry& entry, std::uint32_t now);
  // The entry changes in its slot; it becomes the youngest of its kind.
  void change(Slot slot, const LedgerEntry& entry);
  void remove(Slot slot);

  // Entries of a file, each in its slot, in any order; of two with one key 1 the younger stays. The rest may be used
  // after finish_restore().
  void restore(Slot slot, const LedgerEntry& entry);
  void finish_restore();

  // The slots of the newest `most` entries that are more than claimed, newest first.
  std::vector<Slot> newest(std::size_t most) const;

  static core::Seconds life(const LedgerEntry& entry);  // Seconds::max() in flight
  static bool expired(const LedgerEntry& entry, std::uint32_t now);

 private:
  // What keeps one order of age and one life. The first ones are given up first when there is no room.
  enum class Line : std::uint8_t {
    acknowledged,
    delivered,
    lost,
    owned_acknowledged,
    owned,
    row_lost,
    row_delivered,
    in_flight,
    count_
  };
  static constexpr std::size_t kLines = static_cast<std::size_t>(Line::count_);
  static constexpr std::size_t kMarks = 6;
  struct Node {
    LedgerEntry entry;
    std::uint32_t generation;
    Slot next_exact, next_restamped;  // in the bucket
    Slot older, younger;              // in the line; `younger` links free slots
  };
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  template <class T>
  static std::unique_ptr<T[], Free> zeroed(std::size_t count);

  static Line line_of(const LedgerEntry& entry);
  std::size_t bucket(const LedgerKey& key) const;
  void link_keys(Slot slot);
  void unlink_keys(Slot slot);
  void append(Slot slot);
  void take_out(Slot slot);
  Slot free_slot(std::uint32_t now);
  Slot drop_oldest();
  void expire_some(std::uint32_t now);
  struct Ends {
    Slot oldest = 0, youngest = 0;
  };

  std::uint32_t limit_, size_ = 0;
  unsigned shift_ = 0;
  std::uint64_t multiplier_;  // random, so that nobody can fill one bucket
  std::unique_ptr<Node[], Free> nodes_;
  std::unique_ptr<Slot[], Free> by_exact_, by_restamped_;
  Slot fresh_ = 1, free_ = 0;
  std::array<Ends, kLines> lines_{};
  std::array<std::uint32_t, kMarks> counts_{};
  Dropped dropped_;
};

}  // namespace queue
