// LP-04: a mail loop whose other half takes our marks off (Received, Delivered-To) shows itself by the same message for
// the same recipient coming again and again. Counts them by Message-ID, recipient and body, in windows of an hour;
// also those under way, because the turns of such a loop lie inside one another. Bounded, O(1), shared by all shards,
// thread-safe.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include "core/clock.hpp"
#include "core/keyed_hash.hpp"
#include "policy/bounded_table.hpp"

namespace policy {

class Repeats {
 public:
  static constexpr unsigned kMost = 20;  // an hour
  static constexpr std::chrono::hours kWindow{1};
  static constexpr std::size_t kEntries = 1U << 16;  // 1.5 MiB when all of them are used

  explicit Repeats(core::Random& random, std::size_t entries = kEntries) : hash_(random), table_(entries) {}

  struct Key {
    std::string_view message_id, recipient, body_hash;
  };

  // One passage of a message. It counts while it lives, and afterwards only if it was kept: a message that was put off
  // and comes again is no loop. Must not outlive the table.
  class Passage {
   public:
    Passage() = default;
    Passage(Passage&& other) noexcept
        : table_(std::exchange(other.table_, nullptr)), hash_(other.hash_), window_(other.window_) {}
    Passage& operator=(Passage&& other) noexcept {
      if (this != &other) {
        leave();
        table_ = std::exchange(other.table_, nullptr);
        hash_ = other.hash_;
        window_ = other.window_;
      }
      return *this;
    }
    ~Passage() { leave(); }
    // It was delivered: it counts for good.
    void keep() { table_ = nullptr; }
    explicit operator bool() const { return table_ != nullptr; }

   private:
    friend class Repeats;
    Passage(Repeats* table, std::uint64_t hash, std::int64_t window) : table_(table), hash_(hash), window_(window) {}
    void leave();
    Repeats* table_ = nullptr;
    std::uint64_t hash_ = 0;
    std::int64_t window_ = 0;
  };

  // False: kMost of them have passed in this hour, or are passing.
  [[nodiscard]] Passage enter(const Key& key, core::Steady::time_point now);

 private:
  struct Entry {
    std::int64_t since = 0;  // milliseconds of the steady clock; the window's start
    std::uint32_t count = 0;
  };
  const core::KeyedHash hash_;
  BoundedTable<Entry> table_;
};

}  // namespace policy
