#include "forwarder/slots.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

namespace forwarder {

Slots::Connection::Connection(Connection&& other) noexcept
    : slots_(std::exchange(other.slots_, nullptr)), key_(std::move(other.key_)) {}

Slots::Connection& Slots::Connection::operator=(Connection&& other) noexcept {
  if (this != &other) {
    release();
    slots_ = std::exchange(other.slots_, nullptr);
    key_ = std::move(other.key_);
  }
  return *this;
}

void Slots::Connection::release() {
  if (auto* slots = std::exchange(slots_, nullptr)) slots->give_connection(key_);
}

Slots::Share::Share(Share&& other) noexcept
    : slots_(std::exchange(other.slots_, nullptr)), key_(std::move(other.key_)), client_(other.client_) {}

Slots::Share& Slots::Share::operator=(Share&& other) noexcept {
  if (this != &other) {
    release();
    slots_ = std::exchange(other.slots_, nullptr);
    key_ = std::move(other.key_);
    client_ = other.client_;
  }
  return *this;
}

void Slots::Share::release() {
  if (auto* slots = std::exchange(slots_, nullptr)) slots->give_share(key_, client_);
}

Slots::Connection Slots::try_connection(const std::string& key, unsigned limit) {
  const std::lock_guard lock(mutex_);
  auto& entry = entries_[key];
  Connection connection;
  if (entry.connections >= limit) return connection;
  ++entry.connections;
  connection.slots_ = this;
  connection.key_ = key;
  return connection;
}

Slots::Share Slots::try_share(const std::string& key, const core::IpAddress& client, unsigned limit) {
  const std::lock_guard lock(mutex_);
  auto& entry = entries_[key];
  Share share;
  const auto found = entry.shares.find(client);
  if (found != entry.shares.end() && found->second >= std::max(1U, limit / 4)) return share;
  ++entry.shares[client];
  share.slots_ = this;
  share.key_ = key;
  share.client_ = client;
  return share;
}

net::Awaitable<bool> Slots::wait(std::string key, std::shared_ptr<net::Signal> signal, core::Deadline deadline) {
  {
    const std::lock_guard lock(mutex_);
    entries_[key].waiting.push_back(signal);
  }
  const bool woken = co_await signal->wait(deadline);
  if (!woken) {
    const std::lock_guard lock(mutex_);
    if (const auto entry = entries_.find(key); entry != entries_.end()) {
      std::erase_if(entry->second.waiting, [&](const auto& weak) { return weak.expired() || weak.lock() == signal; });
      if (entry->second.idle()) entries_.erase(entry);
    }
  }
  co_return woken;
}

void Slots::wake(const std::string& key) {
  const std::lock_guard lock(mutex_);
  if (const auto entry = entries_.find(key); entry != entries_.end()) wake_locked(entry->second);
}

// All of them look again: who waits is bounded by the sessions, and nobody waits while there is room.
void Slots::wake_locked(Entry& entry) {
  for (const auto& weak : entry.waiting) {
    if (auto signal = weak.lock()) {
      const auto executor = signal->executor();
      boost::asio::post(executor, [signal = std::move(signal)] { signal->notify(); });
    }
  }
  entry.waiting.clear();
}

void Slots::give_connection(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto entry = entries_.find(key);
  if (entry == entries_.end()) return;
  --entry->second.connections;
  wake_locked(entry->second);
  if (entry->second.idle()) entries_.erase(entry);
}

void Slots::give_share(const std::string& key, const core::IpAddress& client) {
  const std::lock_guard lock(mutex_);
  const auto entry = entries_.find(key);
  if (entry == entries_.end()) return;
  if (const auto share = entry->second.shares.find(client); share != entry->second.shares.end() && --share->second == 0) {
    entry->second.shares.erase(share);
  }
  wake_locked(entry->second);
  if (entry->second.idle()) entries_.erase(entry);
}

std::map<std::string, unsigned> Slots::in_use() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, unsigned> out;
  for (const auto& [key, entry] : entries_) {
    if (entry.connections > 0) out[key] = entry.connections;
  }
  return out;
}

}  // namespace forwarder
