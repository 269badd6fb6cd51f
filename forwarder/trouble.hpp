// The one place that decides what a failure means (after Postfix's smtp_trouble): a stage, and the reply or error that
// came there, become a fate, a scope (what else is worth trying) and the reply our client would get. Pure.
#pragma once

#include <string>
#include <string_view>

#include "core/error.hpp"
#include "core/ip.hpp"
#include "forwarder/dialogue.hpp"
#include "mail/envelope.hpp"

namespace forwarder {

// What went wrong where. `reply` null: no answer came, `error` says why.
struct Trouble {
  Stage stage = Stage::connect;
  const mail::Reply* reply = nullptr;
  core::Error error;
  core::IpAddress peer;    // the address we spoke to
  core::IpAddress source;  // our own address in that connection
  std::string_view helo;   // our EHLO name
};

struct Judgement {
  mail::Fate fate = mail::Fate::deferred;
  mail::Scope scope = mail::Scope::recipient;
  // The client's reply, mapped (421 -> 451, 221/521 -> 451 4.4.2, X.0.0 for missing enhanced codes, protocol errors
  // 451 4.5.0, unreachable 451 4.4.1, TLS 451 4.7.5, ...), the peer's text not yet masked (forwarder/masking).
  mail::Reply reply;
  bool from_peer = false;      // the text is the peer's
  bool about_address = false;  // an IPv6 address was refused as such: try IPv4 (interface.md §6.8)
  bool about_us = false;       // our reputation, not the message: alert (interface.md §6.22, UP-07)
  bool tls_policy = false;     // a TLS policy forbade it, and "TLS-Required: No" would lift that (promise.md C.3.1)
};

Judgement judge(const Trouble& trouble);

// Who demands more of TLS than there is, and whether that may change.
enum class TlsCause { configuration, memory, sts, dane, sender };
enum class TlsRefusal {
  temporary,  // 451 4.7.5
  liftable,   // the same; "TLS-Required: No" would allow more
  permanent,  // 550 5.7.30: REQUIRETLS (RFC 8689 §4.2.1)
};
Judgement judge_tls(TlsCause cause, TlsRefusal refusal);

// interface.md §6.8: 5.7.25, or 5.7.x / 4.7.x whose text speaks of IPv6, PTR or reverse DNS.
bool refuses_ipv6_address(const mail::Reply& reply);
// A destination that will not have the message, for good, by policy (5.7.x): the rule's fallback is next.
bool is_policy_refusal(const mail::Outcome& outcome);
// interface.md §6.22: 5.7.x whose text names our source address or EHLO name; never 5.7.25 and 5.7.26.
bool is_about_us(const mail::Reply& reply, const core::IpAddress& source, std::string_view helo);

}  // namespace forwarder
