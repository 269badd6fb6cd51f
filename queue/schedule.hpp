// When a queued recipient is tried again (interface.md [queue]): the configured steps, then the last one repeated,
// until the lifetime is over. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/clock.hpp"

namespace queue {

struct Schedule {
  std::vector<core::Milliseconds> retry{std::chrono::minutes(1), std::chrono::minutes(5), std::chrono::minutes(15),
                                        std::chrono::hours(1)};  // not empty, each at least 1 s
  core::Milliseconds lifetime{std::chrono::hours(24 * 5)};
  core::Milliseconds fallback_after{std::chrono::hours(4)};
  core::Milliseconds delay_notice{0};  // 0: none is sent
};

// Times are Unix milliseconds. `attempts`: how many have failed, at least 1. `spread`: any number; up to a tenth of the
// step is added by it, so that what failed together does not come back together. Nothing: the lifetime of what was
// `created` then ends before another attempt; the recipient has failed. The last attempt is never later than the end of
// the lifetime.
std::optional<std::int64_t> next_attempt(const Schedule& schedule, std::int64_t created, std::int64_t now,
                                         unsigned attempts, std::uint64_t spread);

}  // namespace queue
