// Which TLSA records bind a mail host (DANE for SMTP, RFC 7672): asks DNS, believes nothing that a validating resolver
// has not vouched for. The handshake itself goes by them inside OpenSSL (net/tls_client).
#pragma once

#include <string>
#include <vector>

#include "dns/resolver.hpp"
#include "forwarder/next_hop.hpp"
#include "net/tls.hpp"

namespace forwarder {

struct Dane {
  enum class State {
    none,      // does not apply: something on the way is not signed, or there are no records
    usable,    // the handshake must match one of `records`
    unusable,  // there are records, none that we can go by: encryption, without verification (RFC 7672 §2.2)
    failed,    // DNS did not answer, or its answer is forged: this host must not be used now
  } state = State::none;
  std::string base;                // TLSA base domain: what records were found under, and the SNI to send
  std::vector<std::string> names;  // usage 2: other names the certificate may be for (RFC 7672 §3.2.2)
  std::vector<net::Tlsa> records;  // usable ones
  std::string why;                 // in words, for `onward route` and logs
};

// RFC 7672 §2.2: `host` out of an authenticated MX answer (or the absence of one) for `domain`, and its addresses.
net::Awaitable<Dane> find_dane(dns::Resolver& resolver, const net::TlsClient& client, Host host, Addresses addresses,
                               std::string domain, core::Deadline deadline);

}  // namespace forwarder
