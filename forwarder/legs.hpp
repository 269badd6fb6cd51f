// What one transaction knows of its recipients while it lives: each recipient, its destinations (legs), and the
// destination groups that they are asked in. Plain data, owned by the transaction.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "forwarder/engine.hpp"
#include "mail/command.hpp"
#include "policy/routes.hpp"
#include "queue/ledger.hpp"

namespace forwarder {

// One destination of a recipient.
struct Leg {
  mail::Mailbox destination;
  std::vector<mail::Mailbox> fallback;   // whom to try next when this one will not have the message
  std::optional<std::size_t> group;      // nothing: custody = "queue", nobody was asked
  std::size_t index = 0;                 // in its group's delivery
  bool refused_at_rcpt = false;          // one of several destinations: settled after the data (interface.md §6.11)
  queue::Copy copy;                      // what the ledger knows it by; of use once the data are in
  std::optional<std::size_t> flight;     // its place in its group's flight
  queue::EntryId entry;                  // its copy's in the ledger
  std::vector<mail::Mailbox> earlier;    // destinations that would not have the message
  std::optional<mail::Outcome> settled;  // known without its group: the ledger remembered, or somebody else tried

  // `fallback` must not be empty.
  void next_fallback() {
    earlier.push_back(std::move(destination));
    destination = std::move(fallback.front());
    fallback.erase(fallback.begin());
  }
};

struct Recipient {
  mail::ForwardPath address;
  std::string rule;
  std::string domain;  // the forwarded domain that took it
  policy::Custody custody = policy::Custody::sender;
  mail::Notify notify;
  std::string orcpt_type, orcpt;
  std::vector<Leg> legs;  // none: dropped by rule
};

// What of the client's DSN wishes (RFC 3461) goes on to the next hop (interface.md §6.24): NEVER always; the rest only
// where nothing hidden follows, because whoever sends the notice names the destination.
RcptParameters passed_on(ErrorDetail errors, const mail::Notify& notify, const std::string& orcpt_type,
                         const std::string& orcpt);

// Legs that share one upstream transaction.
struct Group {
  Target target;
  Delivery delivery;
  queue::Flight flight;  // empty without a ledger
  bool dot_sent = false;
};

}  // namespace forwarder
