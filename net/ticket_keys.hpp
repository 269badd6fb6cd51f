// The keys of a listener's session tickets (RFC 5077, RFC 8446 §4.6.1). Whoever has such a key can read what was said
// in sessions resumed by it, so a key signs for two hours, is accepted for two more, and is forgotten. No other
// listener and no later configuration knows it (TL-06). Shared by shards: a mutex guards two keys.
#pragma once

#include <array>
#include <mutex>
#include <optional>
#include <span>

#include "core/clock.hpp"

struct ssl_ctx_st;

namespace net {

class TicketKeys {
 public:
  static constexpr core::Seconds kLifetime{2 * 60 * 60};  // of a ticket, and of a key as the one that signs
  static constexpr std::size_t kNameSize = 16;
  using Time = core::Steady::time_point;

  struct Key {
    std::array<unsigned char, kNameSize> name{};
    std::array<unsigned char, 32> cipher{}, mac{};
    Time made{};
  };

  TicketKeys() = default;
  TicketKeys(const TicketKeys&) = delete;
  ~TicketKeys();

  // The key that signs; a new one where it is time. Nothing: no randomness, so no ticket.
  std::optional<Key> current(Time now);
  // The key of that name, while tickets by it are accepted; `current`: it still signs.
  struct Found {
    Key key;
    bool current = false;
  };
  std::optional<Found> find(std::span<const unsigned char, kNameSize> name, Time now);

  // From now on tickets of `context` are made with these keys. They must outlive the context.
  void use_in(ssl_ctx_st* context);

 private:
  std::mutex mutex_;
  std::optional<Key> current_, previous_;
};

}  // namespace net
