// Where mail for a domain goes: a static [[route]] or the domain's MX hosts (RFC 5321 §5.1), and the addresses of a
// host in the order they are tried. What a target is, is known without I/O (recipients are grouped by it); hosts and
// addresses come from the resolver, host by host, when they are needed.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/random.hpp"
#include "dns/resolver.hpp"
#include "forwarder/config.hpp"
#include "mail/envelope.hpp"

namespace forwarder {

// A next hop by name. Recipients with equal `key` share one upstream transaction (a destination group, promise.md C.4).
struct Target {
  std::string key;                      // "mx:gmail.example", "route:inbox.example", "address:[192.0.2.1]"
  std::string domain;                   // the destination's domain, lower case
  const NextHopRoute* route = nullptr;  // null: MX look-up. Lives in the Config.
  Protocol protocol = Protocol::smtp;
  UpstreamTls tls = UpstreamTls::opportunistic;
};
Target target_for(const Config& config, std::string_view domain);

struct Endpoint {
  core::IpAddress address;
  std::uint16_t port = 25;
  std::string to_string() const { return core::HostPort{address.to_string(), port}.to_string(); }
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

struct Host {
  std::string name;  // host name, or an address as text
  unsigned preference = 0;
  std::uint16_t port = 25;
  bool configured = false;  // named by a [[route]]: the operator's word, private addresses are his business
  bool secure = false;      // DNSSEC vouches for its being the domain's mail host
};

// Why there is nowhere to go: fate and our own reply.
struct Unroutable {
  mail::Fate fate = mail::Fate::deferred;
  mail::Reply reply;
};

// Hosts in the order they are tried: by preference, at random among equals, at most kMaxHosts. Null MX 556 5.1.10 (RFC
// 7505), NXDOMAIN 550 5.1.2, DNS trouble 451 4.4.3; our own host name among the MX cuts the list there (RFC 5321 §5.1),
// 554 5.4.6 when nothing better is left.
inline constexpr std::size_t kMaxHosts = 10;
inline constexpr std::size_t kMaxAddressesPerFamily = 5;  // DN-04
net::Awaitable<std::variant<std::vector<Host>, Unroutable>> find_hosts(dns::Resolver& resolver, core::Random& random,
                                                                       const Config& config, Target target,
                                                                       core::Deadline deadline);

struct Addresses {
  std::vector<Endpoint> ipv6, ipv4;
  bool secure = false;    // DNSSEC vouches for them, and for every alias on the way
  std::string canonical;  // the name that aliases led to; "" when there were none
  bool looped = false;    // an address of ours was among them (interface.md §6.3)
  bool refused = false;   // private addresses were left out
  bool dns_failed = false;
  bool empty() const { return ipv6.empty() && ipv4.empty(); }
};
net::Awaitable<Addresses> find_addresses(dns::Resolver& resolver, core::Random& random, const Config& config, Host host,
                                         core::Deadline deadline);
// The reply when no host had a usable address.
Unroutable no_address(const Addresses& seen, std::string_view domain);

// Is this one of our own listeners (every local address for a wildcard listener)?
bool is_own_endpoint(const Config& config, const Endpoint& endpoint);

}  // namespace forwarder
