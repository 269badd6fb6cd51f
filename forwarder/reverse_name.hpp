// The client's name by reverse DNS: PTR, then the name's own addresses; only a name that leads back counts (RFC 8601
// §2.7.3 iprev). Looked up beside the dialogue; what is still being asked when a transaction ends lives on until its
// answers are in. Threads: one shard's.
#pragma once

#include <memory>
#include <string>

#include "core/ip.hpp"
#include "dns/resolver.hpp"

namespace forwarder {

class ReverseName {
 public:
  // Asks at once, for 3 s at most. `resolver` outlives the shard's transactions.
  ReverseName(const boost::asio::any_io_executor& executor, dns::Resolver& resolver, const core::IpAddress& client);

  // Waits until it is known; false at the deadline.
  net::Awaitable<bool> wait(core::Deadline deadline);
  bool known() const;
  // Confirmed; "" when there is none, or not known yet.
  const std::string& name() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace forwarder
