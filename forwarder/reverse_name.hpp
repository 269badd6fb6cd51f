// The client's name by reverse DNS: PTR, then the name's own addresses; only a name that leads back counts (RFC 8601
// §2.7.3 iprev). Looked up beside the dialogue; what is still being asked when a transaction ends lives on until its
// answers are in. A cheap value: copies share one look-up. Threads: one shard's.
#pragma once

#include <memory>
#include <string>

#include "core/ip.hpp"
#include "dns/resolver.hpp"
#include "policy/client_names.hpp"

namespace forwarder {

class ReverseName {
 public:
  // Asks at once, for 3 s at most. `resolver` outlives the shard's transactions.
  ReverseName(const boost::asio::any_io_executor& executor, dns::Resolver& resolver, const core::IpAddress& client);

  // Waits until it is known; false at the deadline. One waiter at a time.
  net::Awaitable<bool> wait(core::Deadline deadline);
  bool known() const;
  // State::unknown as long as it is not known.
  const policy::ReverseResult& result() const;
  // Confirmed; "" when there is none, or not known yet.
  const std::string& name() const { return result().name; }

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace forwarder
