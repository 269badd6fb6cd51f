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

net::Awaitable<bool> Slots::wait_share(Turn turn, core::IpAddress client, core::Deadline deadline) {
  return wait(std::move(turn), client, deadline);
}

net::Awaitable<bool> Slots::wait_connection(Turn turn, core::Deadline deadline) {
  return wait(std::move(turn), std::nullopt, deadline);
}

net::Awaitable<bool> Slots::wait(Turn turn, std::optional<core::IpAddress> client, core::Deadline deadline) {
  {
    const std::lock_guard lock(mutex_);
    auto& waiting = entries_[turn.key].waiting;
    const Waiter waiter{turn.signal, client};
    if (turn.again) {
      waiting.push_front(waiter);
    } else {
      waiting.push_back(waiter);
    }
  }
  const bool woken = co_await turn.signal->wait(deadline);
  const std::lock_guard lock(mutex_);
  if (const auto entry = entries_.find(turn.key); entry != entries_.end()) {
    std::erase_if(entry->second.waiting, [&](const Waiter& waiter) { return waiter.signal == turn.signal; });
    if (entry->second.idle()) entries_.erase(entry);
  }
  co_return woken;
}

void Slots::pass_on(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto entry = entries_.find(key);
  if (entry == entries_.end() || entry->second.waiting.empty()) return;
  bool share = false, connection = false;
  for (const auto& waiter : entry->second.waiting) {
    bool& done = waiter.client ? share : connection;
    if (!done) wake(waiter.signal);
    done = true;
  }
}

// On the shard of who waits: a Signal belongs to one thread.
void Slots::wake(const std::shared_ptr<net::Signal>& signal) {
  boost::asio::post(signal->executor(), [signal] { signal->notify(); });
}

bool Slots::session_kept(const std::string& key, const boost::asio::any_io_executor& executor) {
  const std::lock_guard lock(mutex_);
  const auto entry = entries_.find(key);
  if (entry == entries_.end()) return true;
  auto& waiting = entry->second.waiting;
  bool others = false;
  for (auto it = waiting.begin(); it != waiting.end(); ++it) {
    if (it->client) continue;
    if (it->signal->executor() == executor) {
      wake(it->signal);
      waiting.erase(it);
      return true;
    }
    others = true;
  }
  return !others;
}

void Slots::give_connection(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto entry = entries_.find(key);
  if (entry == entries_.end()) return;
  --entry->second.connections;
  auto& waiting = entry->second.waiting;
  const auto first = std::find_if(waiting.begin(), waiting.end(), [](const Waiter& w) { return !w.client; });
  if (first != waiting.end()) {
    wake(first->signal);
    waiting.erase(first);
  }
  if (entry->second.idle()) entries_.erase(entry);
}

void Slots::give_share(const std::string& key, const core::IpAddress& client) {
  const std::lock_guard lock(mutex_);
  const auto entry = entries_.find(key);
  if (entry == entries_.end()) return;
  if (const auto share = entry->second.shares.find(client);
      share != entry->second.shares.end() && --share->second == 0) {
    entry->second.shares.erase(share);
  }
  auto& waiting = entry->second.waiting;
  const auto first = std::find_if(waiting.begin(), waiting.end(), [&](const Waiter& w) { return w.client == client; });
  if (first != waiting.end()) {
    wake(first->signal);
    waiting.erase(first);
  }
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
