// Upstream sessions between transactions, per next hop: bounded in time (idle and in all), never in count, as a count
// makes the slowest host attract the connections (after Postfix). One pool a shard.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>

#include "forwarder/upstream.hpp"

namespace forwarder {

class Pool {
 public:
  Pool(boost::asio::any_io_executor executor, Slots& slots);
  ~Pool();

  // A session that may begin a transaction of this wish: nothing unread in it (UP-14), not too old. Null: none.
  std::unique_ptr<Upstream> take(const std::string& key, const DeliverySettings& delivery, TlsWish wish);
  // Keeps a session whose transaction is over and in order; otherwise closes it.
  void put(std::unique_ptr<Upstream> upstream, const DeliverySettings& delivery);
  // Closes the longest idle session to `key`, so that its connection can be opened elsewhere. False: there is none.
  bool close_one(const std::string& key);
  // After a reload, and at the end: closes all, and what was opened before and comes back later too.
  void clear();
  // To be noted in a session when it is opened.
  unsigned generation() const { return generation_; }
  std::size_t size() const { return size_; }

 private:
  void sweep();
  void arm();
  static void close(std::unique_ptr<Upstream> upstream);

  boost::asio::steady_timer timer_;
  Slots& slots_;
  std::map<std::string, std::deque<std::unique_ptr<Upstream>>> kept_;
  core::Steady::duration idle_ = std::chrono::seconds(5);
  std::size_t size_ = 0;
  unsigned generation_ = 0;
  bool armed_ = false;
};

}  // namespace forwarder
