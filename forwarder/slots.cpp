#include "forwarder/slots.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

namespace forwarder {

Slots::Hold::Hold(Hold&& other) noexcept
    : slots_(std::exchange(other.slots_, nullptr)), key_(std::move(other.key_)), client_(other.client_) {}

Slots::Hold& Slots::Hold::operator=(Hold&& other) noexcept {
  if (this != &other) {
    release();
    slots_ = std::exchange(other.slots_, nullptr);
    key_ = std::move(other.key_);
    client_ = other.client_;
  }
  return *this;
}

void Slots::Hold::release() {
  if (auto* slots = std::exchange(slots_, nullptr)) slots->give(key_, client_);
}

Slots::Hold Slots::hold(const std::string& key, std::optional<core::IpAddress> client) {
  Hold hold;
  hold.slots_ = this;
  hold.key_ = key;
  hold.client_ = client;
  return hold;
}

Slots::Connection Slots::try_connection(const std::string& key, unsigned limit) {
  const std::lock_guard lock(mutex_);
  auto& entry = entries_[key];
  if (entry.connections >= limit) return {};
  ++entry.connections;
  return hold(key, std::nullopt);
}

Slots::Share Slots::try_share(const std::string& key, const core::IpAddress& client, unsigned limit) {
  const std::lock_guard lock(mutex_);
  auto& held = entries_[key].shares[client];
  if (held >= std::max(1U, limit / 4)) return {};
  ++held;
  return hold(key, client);
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

void Slots::give(const std::string& key, const std::optional<core::IpAddress>& client) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  auto& entry = found->second;
  if (!client) {
    --entry.connections;
  } else if (const auto share = entry.shares.find(*client); share != entry.shares.end() && --share->second == 0) {
    entry.shares.erase(share);
  }
  const auto first = std::find_if(entry.waiting.begin(), entry.waiting.end(),
                                  [&](const Waiter& waiter) { return waiter.client == client; });
  if (first != entry.waiting.end()) {
    wake(first->signal);
    entry.waiting.erase(first);
  }
  if (entry.idle()) entries_.erase(found);
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
