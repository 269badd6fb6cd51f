// How many connections a destination may get from us, over all shards, and how large a share one client's transactions
// may hold of them (promise.md C.3.2, threats RS-12). Shared by the shards: a mutex guards the table, never over an
// await.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "core/clock.hpp"
#include "core/ip.hpp"
#include "net/signal.hpp"

namespace forwarder {

class Slots {
 public:
  // RAII: one connection to a destination, or one client's transaction on some connection to it.
  class Hold {
   public:
    Hold() = default;
    Hold(Hold&& other) noexcept;
    Hold& operator=(Hold&& other) noexcept;
    ~Hold() { release(); }
    void release();
    explicit operator bool() const { return slots_ != nullptr; }

   private:
    friend class Slots;
    Slots* slots_ = nullptr;
    std::string key_;
    std::optional<core::IpAddress> client_;  // nothing: a connection
  };
  using Connection = Hold;
  using Share = Hold;

  // Empty when all `limit` connections are in use.
  Connection try_connection(const std::string& key, unsigned limit);
  // Empty when the client holds a quarter of `limit` (at least one) already.
  Share try_share(const std::string& key, const core::IpAddress& client, unsigned limit);

  // A turn in the queue of those who found nothing free. `again`: woken before, and somebody else was faster.
  struct Turn {
    std::string key;
    std::shared_ptr<net::Signal> signal;  // lives on the shard of who waits
    bool again = false;
  };
  // Wait until a share of this client, or a connection or a kept session, may have become free; false at the deadline.
  net::Awaitable<bool> wait_share(Turn turn, core::IpAddress client, core::Deadline deadline);
  net::Awaitable<bool> wait_connection(Turn turn, core::Deadline deadline);
  // Who was woken and needs nothing any more lets the next ones look.
  void pass_on(const std::string& key);
  // A session was kept by the pool of the shard `executor`: the first who waits there is woken. False when only others
  // wait, who cannot use it: it had better be closed.
  bool session_kept(const std::string& key, const boost::asio::any_io_executor& executor);

  // Connections per destination, for `status`.
  std::map<std::string, unsigned> in_use() const;

 private:
  struct Waiter {
    std::shared_ptr<net::Signal> signal;
    std::optional<core::IpAddress> client;  // waits for a share of this client; nothing: for a connection
  };
  struct Entry {
    unsigned connections = 0;
    std::map<core::IpAddress, unsigned> shares;
    std::deque<Waiter> waiting;
    bool idle() const { return connections == 0 && shares.empty() && waiting.empty(); }
  };
  net::Awaitable<bool> wait(Turn turn, std::optional<core::IpAddress> client, core::Deadline deadline);
  Hold hold(const std::string& key, std::optional<core::IpAddress> client);
  void give(const std::string& key, const std::optional<core::IpAddress>& client);
  static void wake(const std::shared_ptr<net::Signal>& signal);

  mutable std::mutex mutex_;
  std::map<std::string, Entry> entries_;
};

}  // namespace forwarder
