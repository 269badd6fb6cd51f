// What a session with one mail host must satisfy: the operator's `tls`, the destination's DANE and MTA-STS, what we
// remember of the host, and what the sender asks for (RFC 8689), made into one plan. Pure, total, and the only place
// where this is decided.
#pragma once

#include <string>

#include "forwarder/config.hpp"
#include "forwarder/dane.hpp"
#include "forwarder/mta_sts.hpp"
#include "forwarder/trouble.hpp"
#include "mail/header.hpp"
#include "net/tls.hpp"

namespace forwarder {

struct TlsFacts {
  UpstreamTls mode = UpstreamTls::opportunistic;
  TlsFallback fallback = TlsFallback::remembered;
  TlsWish wish = TlsWish::ordinary;
  std::string host;         // the MX host's or the route's name
  bool configured = false;  // named by a [[route]] or an address literal: neither DANE nor MTA-STS (interface.md §6.30)
  bool mx_secure = false;   // DNSSEC says that this is the domain's mail host
  bool had_tls_lately = false;  // TlsMemory
  const Dane* dane = nullptr;   // null: not looked up
  const StsPolicy* sts = nullptr;
};

struct TlsPlan {
  enum class Use {
    never,    // no STARTTLS
    offered,  // when offered
    always,   // or no session
    refused,  // no session with this host, whatever it offers
  } use = Use::offered;
  // With Use::offered: what becomes of a host that offers no STARTTLS, and of one that refuses it or breaks the
  // handshake.
  bool clear_when_not_offered = true, clear_after_failure = true;
  net::TlsDemand demand;
  using Cause = TlsCause;
  Cause cause = Cause::configuration;  // whose will it is
  bool liftable = false;               // "TLS-Required: No" would allow more
  bool requiretls = false;             // the host must offer REQUIRETLS after the handshake, and MAIL says it
  bool permanent = false;              // with Use::refused: for good (550 5.7.30)
  bool watched = false;                // a policy in testing: what it says is counted and not acted upon
  std::string why;                     // in words, for `onward route`, logs and the reply's text
  std::string to_string() const;       // "dane", "verify", "encrypt", "opportunistic", ...
};

TlsPlan plan_tls(const TlsFacts& facts);

// Does the message say "TLS-Required: No" (RFC 8689 §5)? Once, and nothing else.
bool tls_is_optional(const mail::Headers& headers);

}  // namespace forwarder
