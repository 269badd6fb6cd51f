#include "smtpd/connection_table.hpp"

#include <algorithm>

namespace smtpd {

ConnectionTable::Entry ConnectionTable::enter_unnamed(unsigned total) {
  if (total_.fetch_add(1, std::memory_order_relaxed) >= std::min<std::size_t>(total, ceiling_)) {
    total_.fetch_sub(1, std::memory_order_relaxed);
    return {{}, Refusal::global};
  }
  return {Slot(this), Refusal::none};
}

ConnectionTable::Entry ConnectionTable::enter(const core::IpAddress& client, Limits limits) {
  auto entry = enter_unnamed(limits.total);
  if (entry.slot && !entry.slot.name(client, limits.per_client)) return {{}, Refusal::client};
  return entry;
}

bool ConnectionTable::Slot::name(const core::IpAddress& client, unsigned per_client) {
  const auto network = core::client_network(client);
  auto& part = table_->shard(network);
  const std::lock_guard lock(part.mutex);
  const auto found = part.counts.try_emplace(network, 0U).first;
  if (found->second >= per_client) {
    if (found->second == 0) part.counts.erase(found);
    return false;
  }
  ++found->second;
  network_ = network;
  named_ = true;
  return true;
}

std::size_t ConnectionTable::of_client(const core::IpAddress& client) const {
  const auto network = core::client_network(client);
  const auto& part = shard(network);
  const std::lock_guard lock(part.mutex);
  const auto found = part.counts.find(network);
  return found == part.counts.end() ? 0 : found->second;
}

void ConnectionTable::Slot::leave() {
  auto* table = std::exchange(table_, nullptr);
  if (table == nullptr) return;
  table->total_.fetch_sub(1, std::memory_order_relaxed);
  if (!std::exchange(named_, false)) return;
  auto& part = table->shard(network_);
  const std::lock_guard lock(part.mutex);
  const auto found = part.counts.find(network_);
  if (--found->second == 0) part.counts.erase(found);
}

}  // namespace smtpd
