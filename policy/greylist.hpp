// Greylisting (RFC 6647): who writes for the first time is asked to come again; real mail servers do. Keyed on where
// the client belongs (the domain of its confirmed name, else its network), the envelope sender and the rule. Bounded,
// O(1), shared by all shards, thread-safe; kept in memory, so that a reload keeps it and a restart forgets it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/clock.hpp"
#include "core/ip.hpp"
#include "core/keyed_hash.hpp"
#include "policy/bounded_table.hpp"

namespace policy {

struct GreylistSettings {
  bool on = false;
  core::Milliseconds delay{std::chrono::minutes(5)};
  core::Milliseconds keep{std::chrono::hours(24 * 30)};  // since the last message that passed
};

// "outlook.example" of "mail-17.prod.outlook.example": the last two labels of a confirmed name, three where the last
// two look like "co.uk"; without a name the /24 or /64 of the address.
std::string greylist_origin(std::string_view confirmed_name, const core::IpAddress& client);

class Greylist {
 public:
  static constexpr std::size_t kEntries = 1U << 18;  // 6 MiB when all of them are used
  // Who has not come again by then begins anew.
  static constexpr std::chrono::hours kRetryWindow{48};

  explicit Greylist(core::Random& random, std::size_t entries = kEntries) : hash_(random), table_(entries) {}

  struct Key {
    std::string_view origin, sender, rule;
  };
  // Zero: let it pass. Otherwise how long it is still too early.
  core::Milliseconds wait_of(const Key& key, const GreylistSettings& settings, core::Steady::time_point now);

 private:
  struct Entry {
    std::int64_t first = 0;   // milliseconds of the steady clock
    std::int64_t passed = 0;  // when it passed last; 0: never
  };
  const core::KeyedHash hash_;
  BoundedTable<Entry> table_;
};

}  // namespace policy
