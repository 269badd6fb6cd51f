// How much a client, a sender, a rule or a destination may do in a time (interface.md [policy] rate, §6.13). Token
// buckets in the form of GCRA (ITU-T I.371): of each key only the moment is kept at which its bucket will be full
// again, so that an entry is 16 octets, a bucket that is full is the same as none, and the state goes on being right
// when a reload changes the limits. Bounded (policy/bounded_table.hpp), O(1), shared by all shards, thread-safe.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/clock.hpp"
#include "core/keyed_hash.hpp"
#include "policy/bounded_table.hpp"
#include "policy/rate_limit.hpp"

namespace policy {

enum class RateKind : std::uint8_t {
  messages_of_client,  // key: core::client_network
  recipients_of_client,
  messages_of_sender_domain,  // key: lower case
  recipients_of_rule,         // key: policy::Route::rule
  recipients_of_destination,  // key: the destination's domain, lower case
};

class Rates {
 public:
  static constexpr std::size_t kEntries = 1U << 17;  // 3 MiB when all of them are used

  explicit Rates(core::Random& random, std::size_t entries = kEntries) : hash_(random), table_(entries) {}

  // Takes `tokens` (at most limit.amount) for `key`; false: there are not so many now, and none was taken. An inactive
  // limit is never exceeded.
  [[nodiscard]] bool take(RateKind kind, std::string_view key, RateLimit limit, core::Steady::time_point now,
                          unsigned tokens = 1);

  // Keys whose buckets are not full now; for `onward status`.
  std::size_t in_use(core::Steady::time_point now) const;
  std::size_t capacity() const { return table_.capacity(); }

 private:
  struct Bucket {
    std::int64_t full_at = 0;  // nanoseconds of the steady clock
  };
  const core::KeyedHash hash_;
  BoundedTable<Bucket> table_;
};

}  // namespace policy
