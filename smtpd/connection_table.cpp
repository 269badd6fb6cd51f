#include "smtpd/connection_table.hpp"

namespace smtpd {

ConnectionTable::Entry ConnectionTable::enter(const core::IpAddress& client, Limits limits) {
  if (total_.fetch_add(1, std::memory_order_relaxed) >= limits.total) {
    total_.fetch_sub(1, std::memory_order_relaxed);
    return {{}, Refusal::global};
  }
  const auto network = core::client_network(client);
  auto& part = shard(network);
  const std::lock_guard lock(part.mutex);
  const auto found = part.counts.try_emplace(network, 0U).first;
  if (found->second >= limits.per_client) {
    if (found->second == 0) part.counts.erase(found);
    total_.fetch_sub(1, std::memory_order_relaxed);
    return {{}, Refusal::client};
  }
  ++found->second;
  return {Slot(this, network), Refusal::none};
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
  auto& part = table->shard(network_);
  const std::lock_guard lock(part.mutex);
  const auto found = part.counts.find(network_);
  if (--found->second == 0) part.counts.erase(found);
  table->total_.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace smtpd
