#include "policy/rates.hpp"

#include <algorithm>
#include <chrono>
#include <string>

namespace policy {
namespace {

std::int64_t nanoseconds(core::Steady::duration time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
}

}  // namespace

bool Rates::take(RateKind kind, std::string_view key, RateLimit limit, core::Steady::time_point now, unsigned tokens) {
  if (!limit.active()) return true;
  const auto at = nanoseconds(now.time_since_epoch());
  const auto per = nanoseconds(limit.per);
  const auto tick = std::max<std::int64_t>(1, per / limit.amount);  // one token's time
  const auto cost = tick * static_cast<std::int64_t>(std::min(tokens, limit.amount));
  std::string name(1, static_cast<char>(kind));
  name += key;
  const auto worth = [](const Bucket& bucket) { return bucket.full_at; };
  return table_.visit(hash_(name), worth, [&](Bucket& bucket) {
    // Of a stricter limit of before, no more than an empty bucket is left.
    bucket.full_at = std::clamp(bucket.full_at, at, at + per);
    if (bucket.full_at - at > per - cost) return false;
    bucket.full_at += cost;
    return true;
  });
}

std::size_t Rates::in_use(core::Steady::time_point now) const {
  const auto at = nanoseconds(now.time_since_epoch());
  return table_.count([at](const Bucket& bucket) { return bucket.full_at > at; });
}

}  // namespace policy
