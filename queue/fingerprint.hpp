// What the duplicate shield knows a message by (promise.md C.5). The octets are hashed once, as they arrive; sender,
// recipient and destination are mixed in afterwards, so that a hundred recipients cost a hundred hashes of some hundred
// octets and not a hundred hashes of the message. Pure; nothing is ever compared but digests.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/digest.hpp"
#include "core/ip.hpp"
#include "mail/header.hpp"

namespace queue {

// A message without its envelope.
struct MessageDigest {
  core::Digest exact{};                   // every octet as received
  std::optional<core::Digest> restamped;  // Message-ID, From, To, Date, Subject, body; none without a Message-ID
};

// Hashes one message in slices. Header and body are hashed apart, each octet once, so that both digests of a message
// come out of one pass.
class MessageHasher {
 public:
  // The next octets as received: dot-stuffing undone, CRLF line ends, the header first.
  void update(std::string_view octets);
  // Once, after the last octet. `headers`: of the same message (empty where they could not be parsed).
  MessageDigest finish(const mail::Headers& headers);

 private:
  core::Sha256 header_, body_;
  mail::HeaderScanner scanner_;
  std::uint64_t seen_ = 0;
  bool in_body_ = false;
};

// Whom a copy is for. Without angle brackets, as the client wrote them: a retry repeats the octets.
struct Addressing {
  std::string_view sender;       // MAIL FROM; "" for <>
  std::string_view recipient;    // one RCPT
  std::string_view destination;  // where this copy goes: one recipient may have several, each with its own outcome
};

struct Fingerprint {
  core::Digest exact{};                   // key 1 of C.5
  std::optional<core::Digest> restamped;  // key 2
};

Fingerprint make_fingerprint(const MessageDigest& message, const Addressing& addressing);

// What the runner journals a queued copy by: not to be confused with what a client sends. `row`: the store's id of the
// copy, unique for ever.
Fingerprint row_fingerprint(std::string_view row);

// Who a re-stamped message must come from to count as the same (key 2): the same domain that passed SPF, or the same
// network. Hashes; 0 means none and matches nothing.
struct Scope {
  std::uint32_t domain = 0, network = 0;
  bool meets(const Scope& other) const {
    return (domain != 0 && domain == other.domain) || (network != 0 && network == other.network);
  }
  friend bool operator==(const Scope&, const Scope&) = default;
};
// `spf_domain`: "" when SPF did not pass. `client` counts as its /24, or /64.
Scope make_scope(std::string_view spf_domain, const core::IpAddress& client);

}  // namespace queue
