#include "net/gate.hpp"

namespace net {

Awaitable<bool> Gate::wait(core::Deadline deadline) {
  while (count() > 0) {
    const bool notified = co_await empty_.wait(deadline);
    if (!notified) co_return count() == 0;
  }
  co_return true;
}

}  // namespace net
