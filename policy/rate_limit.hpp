// A rate as configuration has it: so much in a time. Plain values; policy/rates.hpp keeps to it.
#pragma once

#include "core/clock.hpp"

namespace policy {

// `amount` in `per`; all of it may come at once, and then it refills evenly. 0: no limit.
struct RateLimit {
  unsigned amount = 0;
  core::Seconds per{60};
  bool active() const { return amount != 0; }
  friend bool operator==(const RateLimit&, const RateLimit&) = default;
};

}  // namespace policy
