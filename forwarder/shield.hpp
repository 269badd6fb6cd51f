// One transaction and the delivery ledger (promise.md C.5): what is known of each copy before anything is sent, whose
// attempt is joined, and which copies are ours to send. Without a ledger everything is ours.
// Threads: the transaction's shard.
#pragma once

#include <string>
#include <vector>

#include "core/clock.hpp"
#include "forwarder/legs.hpp"
#include "net/stream.hpp"

namespace forwarder {

class Shield {
 public:
  // Null: no ledger. It outlives the shield.
  explicit Shield(queue::Ledger* ledger) : ledger_(ledger) {}

  // Of a message whose octets are all in.
  struct Origin {
    queue::MessageDigest digest;
    std::string sender;  // MAIL FROM without brackets
    queue::Scope scope;
    std::string trace;
  };
  void know(Origin origin) { origin_ = std::move(origin); }
  // Gives the leg's copy its name; again after its destination has changed.
  void name(const Recipient& recipient, Leg& leg) const;

  enum class State {
    go_on,  // what the ledger knows is settled; the other legs are open
    busy,   // somebody else's attempt is not over: 451 4.4.2
    full,   // 451 4.3.0
  };
  // Settles each leg that the ledger knows: delivered (250 without a second delivery), refused by an attempt that was
  // joined, or worn out. Waits for attempts that are under way, up to the deadline.
  net::Awaitable<State> consult(std::vector<Recipient>& recipients, core::Deadline deadline);
  // Takes the open legs that are in a group and have no place in its flight yet. Legs that somebody has taken meanwhile
  // are settled as by consult().
  net::Awaitable<State> claim(std::vector<Recipient>& recipients, std::vector<Group>& groups, core::Deadline deadline);
  // The same for the legs that nobody was asked about, so that two identical messages cannot both be queued.
  net::Awaitable<State> claim_unasked(std::vector<Recipient>& recipients, queue::Flight& flight,
                                      core::Deadline deadline);
  // Was a dot sent for one of the group's legs before, whose answer never came? Then it is tried with care (C.3.7).
  bool needs_care(const std::vector<Recipient>& recipients, std::size_t group) const;

 private:
  net::Awaitable<State> consult_leg(Leg& leg, core::Deadline deadline);
  net::Awaitable<State> take(std::vector<Recipient>& recipients, std::optional<std::size_t> group,
                             queue::Flight& flight, core::Deadline deadline);
  queue::Ledger* ledger_;
  Origin origin_;
};

}  // namespace forwarder
