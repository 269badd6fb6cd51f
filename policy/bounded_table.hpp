// A table of fixed size for what is remembered of strangers: who floods it pushes out only what is worth least. Entries
// are found by a keyed hash of 64 bits and nothing else (two keys with the same hash share an entry, which nobody can
// bring about without the key). O(1), eight places a set; memory is touched only where it is used. Thread-safe: one
// lock for each stripe of sets, held for the length of one callback.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace policy {

// `Value`: all octets zero is a fresh one, and its default.
template <class Value>
  requires std::is_trivially_copyable_v<Value>
class BoundedTable {
 public:
  static constexpr std::size_t kWays = 8;

  // Room for `entries`, rounded up to a power of two, at least kWays.
  explicit BoundedTable(std::size_t entries)
      : sets_(std::bit_ceil(entries < kWays ? kWays : entries) / kWays),
        slots_(static_cast<Slot*>(std::calloc(sets_ * kWays, sizeof(Slot)))) {
    if (!slots_) throw std::bad_alloc();
  }
  BoundedTable(const BoundedTable&) = delete;

  // f(Value&) on the entry of `hash`, under its lock; what f returns. When there is none yet, a fresh one takes a free
  // place, or that of the entry with the least worth(const Value&).
  template <class Worth, class F>
  auto visit(std::uint64_t hash, const Worth& worth, F f) {
    const auto key = hash == 0 ? 1 : hash;  // 0 marks a free place
    const std::lock_guard lock(mutex_of(key));
    Slot* victim = nullptr;
    for (auto& slot : set_of(key)) {
      if (slot.hash == key) return f(slot.value);
      if (victim != nullptr && victim->hash == 0) continue;
      if (victim == nullptr || slot.hash == 0 || worth(slot.value) < worth(victim->value)) victim = &slot;
    }
    *victim = Slot{key, Value{}};
    return f(victim->value);
  }

  // f(Value&) when there is an entry of `hash`.
  template <class F>
  void visit_known(std::uint64_t hash, F f) {
    const auto key = hash == 0 ? 1 : hash;
    const std::lock_guard lock(mutex_of(key));
    for (auto& slot : set_of(key)) {
      if (slot.hash == key) return f(slot.value);
    }
  }

  // How many entries matter(const Value&); looks at all of them.
  template <class Matter>
  std::size_t count(const Matter& matter) const {
    std::size_t found = 0;
    for (std::size_t set = 0; set < sets_; ++set) {
      const std::lock_guard lock(mutexes_[set % kStripes]);
      for (std::size_t way = 0; way < kWays; ++way) {
        const auto& slot = slots_[set * kWays + way];
        if (slot.hash != 0 && matter(slot.value)) ++found;
      }
    }
    return found;
  }

  std::size_t capacity() const { return sets_ * kWays; }

 private:
  static constexpr std::size_t kStripes = 64;
  struct Slot {
    std::uint64_t hash = 0;
    Value value{};
  };
  struct Free {
    void operator()(Slot* slots) const { std::free(slots); }
  };

  std::size_t set_index(std::uint64_t key) const { return static_cast<std::size_t>(key) & (sets_ - 1); }
  std::span<Slot> set_of(std::uint64_t key) { return {&slots_[set_index(key) * kWays], kWays}; }
  std::mutex& mutex_of(std::uint64_t key) { return mutexes_[set_index(key) % kStripes]; }

  const std::size_t sets_;
  std::unique_ptr<Slot[], Free> slots_;
  mutable std::array<std::mutex, kStripes> mutexes_;
};

}  // namespace policy
