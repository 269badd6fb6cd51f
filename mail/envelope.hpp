// What one attempt to deliver did, per recipient. Values only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mail/address.hpp"
#include "mail/reply.hpp"

namespace mail {

// How far a failure reaches (after Postfix): what else it makes sense to try.
enum class Scope { recipient, message, address, host, destination };

// Result of one recipient. `unknown`: the connection was lost after our final dot (RFC 1047): nobody can tell.
enum class Fate { delivered, deferred, failed, unknown, late };

struct Outcome {
  Fate fate = Fate::deferred;
  Scope scope = Scope::recipient;
  Reply reply;             // the peer's own, or ours where there was none
  bool from_peer = false;  // reply is the peer's
  std::string host;        // who answered: host name, "" when nobody did
  std::string address;     // "[::1]:25", "" when none was reached
  std::string tls;         // "TLSv1.3 TLS_AES_256_GCM_SHA384", "... dane" when verified by it; "" when plain
  // A TLS policy of the destination forbade delivery; "TLS-Required: No" in the header lifts that (RFC 8689 §5).
  bool tls_policy = false;
};

}  // namespace mail
