// Wakes one coroutine that waits with a deadline. Both sides live on the same shard; notifying early is remembered.
#pragma once

#include <boost/asio/steady_timer.hpp>

#include "core/clock.hpp"
#include "net/stream.hpp"

namespace net {

class Signal {
 public:
  explicit Signal(boost::asio::any_io_executor executor) : timer_(std::move(executor)) {}

  void notify() {
    notified_ = true;
    timer_.cancel();
  }
  boost::asio::any_io_executor executor() { return timer_.get_executor(); }
  // True: notified (the notice is used up). False: the deadline passed.
  Awaitable<bool> wait(core::Deadline deadline);

 private:
  boost::asio::steady_timer timer_;
  bool notified_ = false;
};

}  // namespace net
