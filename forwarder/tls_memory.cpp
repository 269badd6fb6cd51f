#include "forwarder/tls_memory.hpp"

#include <algorithm>

namespace forwarder {
namespace {

// A busy next hop is noted anew no more often than this.
constexpr std::chrono::minutes kGrain{5};

}  // namespace

void TlsMemory::note(const std::string& host, Time now) {
  const std::lock_guard lock(mutex_);
  if (const auto known = last_.find(host); known != last_.end()) {
    if (now - known->second < kGrain) return;
    const auto [first, end] = by_time_.equal_range(known->second);
    const auto old = std::find_if(first, end, [&](const auto& entry) { return entry.second == host; });
    if (old != end) by_time_.erase(old);
    known->second = now;
  } else {
    last_.emplace(host, now);
  }
  by_time_.emplace(now, host);
  while (by_time_.size() > kMost || now - by_time_.begin()->first >= kKept) {
    last_.erase(by_time_.begin()->second);
    by_time_.erase(by_time_.begin());
  }
}

bool TlsMemory::had_tls(const std::string& host, Time now) const {
  const std::lock_guard lock(mutex_);
  const auto known = last_.find(host);
  return known != last_.end() && now - known->second < kKept;
}

std::size_t TlsMemory::size() const {
  const std::lock_guard lock(mutex_);
  return last_.size();
}

}  // namespace forwarder
