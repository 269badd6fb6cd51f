// promise.md C.4 as one pure, total function: what becomes of each recipient, and what our client is told, once the
// outcomes of all recipients of a transaction are known (or known to be late). Durable actions come first, then the
// reply.
#pragma once

#include <span>
#include <vector>

#include "mail/envelope.hpp"

namespace forwarder::promise {

enum class Action {
  done,              // delivered: mark 2XX, nothing more
  drop,              // nothing is kept: the client still has it
  keep_fingerprint,  // nothing is kept but the DOT/2XX fingerprint, so that a retry reaches only what is missing
  own,               // store as OWNED, try again later
  own_dot,           // store as OWNED with its DOT: an attempt is still out
  fail,              // FAILED and a DSN
};

enum class Answer {
  accepted,  // 250
  refused,   // the first refused recipient's code, one line for each
  later,     // 451
  partial,   // 554 5.6.0: "delivered: a", "refused: b 550 ..."
};

enum class Sender { ownable, not_ownable };

struct Decision {
  std::vector<Action> actions;  // as many as outcomes
  Answer answer = Answer::later;
  bool commit = false;  // the actions must be on stable storage before the answer is given
};

// `fates` of at least one recipient.
Decision decide(Sender sender, std::span<const mail::Fate> fates);

}  // namespace forwarder::promise
