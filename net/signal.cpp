#include "net/signal.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace net {

Awaitable<bool> Signal::wait(core::Deadline deadline) {
  while (!notified_) {
    if (deadline.passed()) co_return false;
    timer_.expires_at(deadline.time());
    // The result does not matter: what counts is `notified_` and the clock, looked at again above.
    co_await timer_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  }
  notified_ = false;
  co_return true;
}

}  // namespace net
