// A delivery that outlives its transaction: the client has its answer (or has gone), the destination has not answered
// yet. It is waited for to the end of its ten minutes, and what it says is journalled (promise.md C.3.6, C.3.7). Owns
// the delivery and its flight. Threads: the shard of the delivery.
#pragma once

#include <memory>
#include <vector>

#include "forwarder/engine.hpp"
#include "queue/ledger.hpp"

namespace forwarder {

class Living {
 public:
  // One recipient of the delivery that is still open.
  struct Part {
    std::size_t index = 0;              // in the delivery
    std::optional<std::size_t> flight;  // in the flight
  };
  Living(boost::asio::any_io_executor executor, Delivery delivery, queue::Flight flight, std::vector<Part> parts);

  // Goes on: sends the dot when the body is out and `may_send` says so, waits for the answer, offers the message over
  // IPv4 where the IPv6 address was refused, and settles the flight. The outcomes of the parts, in their order. May be
  // called from any shard; it works on its own.
  enum class Dot { sent, may_be_sent, never };
  static queue::Awaitable<std::vector<mail::Outcome>> finish(std::shared_ptr<Living> self, Dot dot);

 private:
  static net::Awaitable<std::vector<mail::Outcome>> run(std::shared_ptr<Living> self, Dot dot);
  net::Awaitable<bool> send_dot(core::Deadline deadline);

  boost::asio::any_io_executor executor_;
  Delivery delivery_;
  queue::Flight flight_;
  std::vector<Part> parts_;
};

}  // namespace forwarder
