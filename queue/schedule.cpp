#include "queue/schedule.hpp"

#include <algorithm>
#include <cassert>

namespace queue {

std::optional<std::int64_t> next_attempt(const Schedule& schedule, std::int64_t created, std::int64_t now,
                                         unsigned attempts, std::uint64_t spread) {
  assert(!schedule.retry.empty() && attempts > 0);
  const auto end = created + schedule.lifetime.count();
  if (now >= end) return std::nullopt;
  const auto step = schedule.retry[std::min<std::size_t>(attempts, schedule.retry.size()) - 1].count();
  const auto extra = static_cast<std::int64_t>(spread % static_cast<std::uint64_t>(step / 10 + 1));
  return std::min(now + step + extra, end);
}

}  // namespace queue
