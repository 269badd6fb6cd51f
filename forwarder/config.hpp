// What forwarding is told by configuration: plain values with units in their types, one immutable snapshot. A
// transaction keeps the snapshot it began with (OP-01).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "auth/arc.hpp"
#include "auth/dkim_sign.hpp"
#include "auth/dmarc.hpp"
#include "core/clock.hpp"
#include "core/ip.hpp"
#include "forwarder/masking.hpp"
#include "net/tls.hpp"
#include "policy/access.hpp"
#include "policy/admission.hpp"
#include "policy/routes.hpp"
#include "policy/verdict.hpp"
#include "queue/schedule.hpp"
#include "srs/loop_token.hpp"
#include "srs/rewriter.hpp"

namespace forwarder {

enum class Family { ipv4, ipv6 };
enum class Protocol { smtp, lmtp };
enum class UpstreamTls { none, opportunistic, encrypt, verify };
// opportunistic only: when clear text may follow a handshake that failed. remembered: not within a day of TLS.
enum class TlsFallback { remembered, always, never };
// What the sender asks for beyond the ordinary (RFC 8689).
enum class TlsWish {
  ordinary,
  required,  // MAIL FROM with REQUIRETLS
  optional,  // "TLS-Required: No" in the header: delivery matters more than the destination's policies
};

struct Source {  // one of our addresses to send from
  core::IpAddress address;
  std::string helo;  // "" : hostname
};

struct DeliverySettings {
  Family prefer = Family::ipv6;
  std::uint16_t port = 25;
  core::Milliseconds connect_timeout{10'000};  // per address
  core::Milliseconds race_after{300};          // the other family's start
  core::Milliseconds command_timeout{60'000};
  core::Milliseconds dot_timeout{600'000};  // RFC 5321 §4.5.3.2.6
  core::Milliseconds rcpt_patience{25'000};
  core::Milliseconds lease{2'000};  // promise.md C.3.2
  core::Milliseconds deadline{540'000};
  core::Milliseconds idle{5'000};        // a kept upstream session waits so long for the next transaction
  core::Milliseconds lifetime{300'000};  // and is used so long at most
  UpstreamTls tls = UpstreamTls::opportunistic;
  TlsFallback tls_fallback = TlsFallback::remembered;
  bool dane = true, mta_sts = true;  // of MX hosts
  std::vector<Source> source_ipv4, source_ipv6;
  unsigned connections_per_destination = 20;
  bool private_destinations = false;
  ErrorDetail errors = ErrorDetail::masked;
  policy::Custody custody = policy::Custody::sender;  // unless a rule says otherwise
  core::Milliseconds handoff{20'000};                 // promise.md C.3.6
};

struct QueueSettings {
  queue::Schedule schedule;
  core::Milliseconds lease{1'800'000};  // of what is being tried; longer than an attempt may take
};

// [[route]]: replaces the MX look-up for a destination domain.
struct NextHopRoute {
  std::string domain;  // lower case, or "*"
  struct Via {
    bool mx = false;   // "mx:host.example": that domain's MX
    std::string host;  // name or address
    std::uint16_t port = 25;
  };
  std::vector<Via> via;
  Protocol protocol = Protocol::smtp;
  UpstreamTls tls = UpstreamTls::opportunistic;
};

struct Config {
  std::string hostname;
  std::string help_url;
  std::shared_ptr<const policy::Routes> routes;
  std::shared_ptr<const srs::Rewriter> srs;
  std::shared_ptr<const srs::LoopToken> loop_token;          // keyed Delivered-To (LP-02)
  std::vector<std::shared_ptr<const auth::Signer>> signers;  // [dkim]
  std::map<std::string, std::vector<std::shared_ptr<const auth::Signer>>, std::less<>>
      domain_signers;                             // by domain name
  std::shared_ptr<const auth::ArcSealer> sealer;  // null: [arc] seal = false, or no RSA key
  policy::AdmissionSettings admission;
  std::shared_ptr<const policy::AccessRules> access;  // null: none
  policy::AuthSettings auth;
  auth::Discovery dmarc_discovery = auth::Discovery::tree_walk;
  std::shared_ptr<const auth::PublicSuffixList> suffixes;  // may be null
  DeliverySettings delivery;
  QueueSettings queue;
  std::vector<NextHopRoute> next_hops;
  std::shared_ptr<const net::TlsClient> tls_client;
  std::vector<core::HostPort>
      listeners;  // our own bound addresses: a next hop among them is a loop (interface.md §6.3)
  std::uint64_t message_size = 26'214'400;
  unsigned recipients = 100;
  unsigned received_headers = 50;
  std::uint64_t spill_above = 256 * 1024;
};

}  // namespace forwarder
