// How many connections a destination may get from us, over all shards, and how large a share one client's transactions may
// hold of them (promise.md C.3.2, threats RS-12). Shared by the shards: a mutex guards the table, never over an await.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "core/clock.hpp"
#include "core/ip.hpp"
#include "net/signal.hpp"

namespace forwarder {

class Slots {
 public:
  // RAII: one connection to a destination.
  class Connection {
   public:
    Connection() = default;
    Connection(Connection&& other) noexcept;
    Connection& operator=(Connection&& other) noexcept;
    ~Connection() { release(); }
    void release();
    explicit operator bool() const { return slots_ != nullptr; }

   private:
    friend class Slots;
    Slots* slots_ = nullptr;
    std::string key_;
  };

  // RAII: one transaction of a client on some connection to a destination.
  class Share {
   public:
    Share() = default;
    Share(Share&& other) noexcept;
    Share& operator=(Share&& other) noexcept;
    ~Share() { release(); }
    void release();
    explicit operator bool() const { return slots_ != nullptr; }

   private:
    friend class Slots;
    Slots* slots_ = nullptr;
    std::string key_;
    core::IpAddress client_;
  };

  // Empty when all `limit` connections are in use.
  Connection try_connection(const std::string& key, unsigned limit);
  // Empty when the client holds a quarter of `limit` (at least one) already.
  Share try_share(const std::string& key, const core::IpAddress& client, unsigned limit);

  // Waits until something of this destination was given back (it may be taken by somebody else first), or the deadline.
  // `signal` must live on the caller's shard. False at the deadline.
  net::Awaitable<bool> wait(std::string key, std::shared_ptr<net::Signal> signal, core::Deadline deadline);
  // A kept session became free: those who wait look again.
  void wake(const std::string& key);

  // Connections per destination, for `status`.
  std::map<std::string, unsigned> in_use() const;

 private:
  struct Entry {
    unsigned connections = 0;
    std::map<core::IpAddress, unsigned> shares;
    std::deque<std::weak_ptr<net::Signal>> waiting;
    bool idle() const { return connections == 0 && shares.empty() && waiting.empty(); }
  };
  void give_connection(const std::string& key);
  void give_share(const std::string& key, const core::IpAddress& client);
  void wake_locked(Entry& entry);

  mutable std::mutex mutex_;
  std::map<std::string, Entry> entries_;
};

}  // namespace forwarder
