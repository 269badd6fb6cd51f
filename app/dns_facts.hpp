// What DNS must say, as far as this side knows it: our names, addresses, keys and certificates, taken out of a
// configuration and off the machine. Plain values; what is compared with them is app/dns_check, what is printed of them
// app/dns_records.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "app/config.hpp"
#include "core/ip.hpp"
#include "net/certificate.hpp"

namespace app {

struct PublishedKey {
  std::string domain, selector;
  std::string record;  // "v=DKIM1; k=rsa; p=..."
  std::string name() const { return selector + "._domainkey." + domain; }
};

struct OwnAddress {
  core::IpAddress address;
  std::string helo;  // what we say in EHLO when we send from it
};

struct BlockList {
  std::string name;
  std::string zone;  // may hold a customer's key: never printed
  // Answers that mean listed, both ends included; none: all but those that mean trouble.
  std::vector<std::pair<core::IpAddress, core::IpAddress>> listed;
};

struct DnsFacts {
  std::string hostname, srs_domain;
  std::vector<std::string> domains;  // forwarded ones, "*.example.org" too
  // Where mail leaves from. Empty: not known (behind NAT); the addresses of `hostname` in DNS stand in for them.
  std::vector<OwnAddress> egress;
  // Where mail can reach us. A family without addresses here: not known.
  std::vector<core::IpAddress> inbound;
  std::vector<PublishedKey> keys;                                             // [dkim]
  std::map<std::string, std::vector<PublishedKey>, std::less<>> domain_keys;  // by forwarded domain
  std::vector<net::CertificateSummary> certificates;                          // [tls]
  bool serves_mta_sts = false;                                                // [https] is on
  std::vector<BlockList> block_lists;                                         // of addresses

  bool has_domain(const std::string& domain) const;
  // The key sets' signing domain; "" without [dkim].
  std::string signing_domain() const { return keys.empty() ? std::string() : keys.front().domain; }
};

// Blocking: reads certificates, asks the kernel. `addresses`: our public addresses when this machine does not know them
// (behind NAT); they stand for `egress` and `inbound` then. A certificate that cannot be read is left out: load_config
// has said so.
DnsFacts dns_facts(const Config& config, const std::vector<core::IpAddress>& addresses);

}  // namespace app
