#include "app/dns_facts.hpp"

#include <algorithm>

#include "app/config_files.hpp"
#include "app/own_addresses.hpp"

namespace app {
namespace {

constexpr std::size_t kMaxCertificateFile = 1U << 20;

// Somewhere in the public Internet, for the kernel's choice of a source (RFC 5737, RFC 3849). Nothing is sent there.
constexpr const char* kAnywhere4 = "192.0.2.1";
constexpr const char* kAnywhere6 = "2001:db8::1";

std::vector<PublishedKey> published(const std::vector<std::shared_ptr<const auth::Signer>>& signers) {
  std::vector<PublishedKey> out;
  for (const auto& signer : signers) out.push_back({signer->domain(), signer->selector(), signer->key().dns_record()});
  return out;
}

// The pool of a family, or what the kernel would take; a private address is not what the world sees of us.
void add_egress(const Config& config, bool six, std::vector<OwnAddress>& out) {
  const auto& delivery = config.forwarding.delivery;
  const auto& pool = six ? delivery.source_ipv6 : delivery.source_ipv4;
  for (const auto& source : pool) {
    if (source.address.is_private()) continue;
    out.push_back({source.address, source.helo.empty() ? config.forwarding.hostname : source.helo});
  }
  if (!pool.empty()) return;
  const auto anywhere = core::IpAddress::parse(six ? kAnywhere6 : kAnywhere4);
  const auto local = anywhere ? address_towards(*anywhere) : std::nullopt;
  if (local && !local->is_private()) out.push_back({*local, config.forwarding.hostname});
}

void add_new(std::vector<core::IpAddress>& list, const core::IpAddress& ip) {
  if (std::find(list.begin(), list.end(), ip) == list.end()) list.push_back(ip);
}

// Every public address that a listener takes connections on; of a wildcard listener those of the interfaces. Where all
// are private something in between translates, and nobody here knows to what.
std::vector<core::IpAddress> inbound_addresses(const Config& config) {
  std::vector<core::IpAddress> out;
  const auto local = interface_addresses();
  const auto add_family = [&](bool six) {
    for (const auto& ip : local) {
      if (ip.is_v6() == six && !ip.is_private()) add_new(out, ip);
    }
  };
  for (const auto& listener : config.listeners) {
    const auto endpoint = core::HostPort::parse(listener.address);
    const auto ip = endpoint ? core::IpAddress::parse(endpoint->host) : std::nullopt;
    if (ip && !ip->is_unspecified()) {
      if (!ip->is_private()) add_new(out, *ip);
      continue;
    }
    if (!ip || ip->is_v6()) add_family(true);  // an inherited socket may be any
    add_family(false);
  }
  return out;
}

// Lists of addresses; those of names are about other people's names, and an allow-list is no fault.
std::vector<BlockList> block_lists_of(const forwarder::Config& forwarding) {
  std::vector<BlockList> out;
  for (const auto& list : forwarding.admission.lists) {
    if (list.kind != policy::DnsblZone::Kind::ip || list.weight < 0) continue;
    BlockList one{list.name, list.zone, {}};
    for (const auto& range : list.listed) one.listed.emplace_back(range.first, range.last);
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace

bool DnsFacts::has_domain(const std::string& domain) const {
  return std::find(domains.begin(), domains.end(), domain) != domains.end();
}

DnsFacts dns_facts(const Config& config, const std::vector<core::IpAddress>& addresses) {
  const auto& forwarding = config.forwarding;
  DnsFacts facts;
  facts.hostname = forwarding.hostname;
  facts.srs_domain = forwarding.srs ? forwarding.srs->domain() : std::string();
  if (forwarding.routes) facts.domains = forwarding.routes->domains();
  std::sort(facts.domains.begin(), facts.domains.end());
  if (addresses.empty()) {
    add_egress(config, true, facts.egress);
    add_egress(config, false, facts.egress);
    facts.inbound = inbound_addresses(config);
  } else {
    for (const auto& ip : addresses) facts.egress.push_back({ip, facts.hostname});
    facts.inbound = addresses;
  }
  facts.keys = published(forwarding.signers);
  for (const auto& [domain, signers] : forwarding.domain_signers) facts.domain_keys[domain] = published(signers);
  for (std::size_t i = 0; i < config.tls_files.size(); i += 2) {  // certificate, key, certificate, ...
    const auto pem = read_file(config.tls_files[i], kMaxCertificateFile);
    if (!pem) continue;
    if (auto summary = net::summarise_certificate(*pem)) facts.certificates.push_back(std::move(*summary));
  }
  facts.block_lists = block_lists_of(forwarding);
  return facts;
}

}  // namespace app
