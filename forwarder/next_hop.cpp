#include "forwarder/next_hop.hpp"

#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <cstring>
#include <memory>

#include "core/text.hpp"

namespace forwarder {
namespace {

template <class T>
void shuffle(std::vector<T>& items, std::size_t first, std::size_t last, core::Random& random) {
  for (std::size_t i = last; i > first + 1; --i) {
    std::swap(items[i - 1], items[first + static_cast<std::size_t>(random.below(i - first))]);
  }
}

// RFC 5321 §5.1: among equal preferences the order is random.
void order_hosts(std::vector<Host>& hosts, core::Random& random) {
  std::sort(hosts.begin(), hosts.end(), [](const Host& a, const Host& b) { return a.preference < b.preference; });
  for (std::size_t i = 0; i < hosts.size();) {
    std::size_t end = i;
    while (end < hosts.size() && hosts[end].preference == hosts[i].preference) ++end;
    shuffle(hosts, i, end, random);
    i = end;
  }
}

Unroutable refuse(mail::Fate fate, int code, mail::EnhancedCode enhanced, std::string text) {
  Unroutable result;
  result.fate = fate;
  result.reply = mail::Reply(code, enhanced, std::move(text));
  return result;
}

// Is the address one of this machine's? Asked only for endpoints whose port is one of our wildcard listeners'.
bool is_local_address(const core::IpAddress& ip) {
  if (ip.is_loopback() || ip.is_unspecified()) return true;
  struct Free {
    void operator()(ifaddrs* list) const { ::freeifaddrs(list); }
  };
  ifaddrs* raw = nullptr;
  if (::getifaddrs(&raw) != 0) return false;
  const std::unique_ptr<ifaddrs, Free> list(raw);
  for (const auto* entry = list.get(); entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr) continue;
    if (entry->ifa_addr->sa_family == AF_INET && ip.is_v4()) {
      const auto* in = reinterpret_cast<const sockaddr_in*>(entry->ifa_addr);
      if (std::memcmp(&in->sin_addr, ip.bytes().data(), 4) == 0) return true;
    }
    if (entry->ifa_addr->sa_family == AF_INET6 && ip.is_v6()) {
      const auto* in = reinterpret_cast<const sockaddr_in6*>(entry->ifa_addr);
      if (std::memcmp(&in->sin6_addr, ip.bytes().data(), 16) == 0) return true;
    }
  }
  return false;
}

}  // namespace

Target target_for(const Config& config, std::string_view domain) {
  Target target;
  target.domain = core::lower(domain);
  const NextHopRoute* any = nullptr;
  for (const auto& route : config.next_hops) {
    if (route.domain == target.domain) target.route = &route;
    if (route.domain == "*") any = &route;
  }
  if (target.route == nullptr) target.route = any;
  if (target.route != nullptr) {
    target.key = "route:" + target.route->domain;
    target.protocol = target.route->protocol;
    target.tls = target.route->tls;
    return target;
  }
  target.key = (target.domain.starts_with('[') ? "address:" : "mx:") + target.domain;
  target.tls = config.delivery.tls;
  return target;
}

bool is_own_endpoint(const Config& config, const Endpoint& endpoint) {
  for (const auto& listener : config.listeners) {
    if (listener.port != endpoint.port) continue;
    const auto bound = core::IpAddress::parse(listener.host);
    if (!bound) continue;
    if (bound->is_unspecified() ? is_local_address(endpoint.address) : *bound == endpoint.address) return true;
  }
  return false;
}

net::Awaitable<std::variant<std::vector<Host>, Unroutable>> find_hosts(dns::Resolver& resolver, core::Random& random,
                                                                       const Config& config, Target target,
                                                                       core::Deadline deadline) {
  std::vector<Host> hosts;
  std::string mx_domain = target.domain;
  std::uint16_t port = config.delivery.port;
  if (target.route != nullptr) {
    bool by_mx = false;
    for (const auto& via : target.route->via) {
      if (via.mx) {
        by_mx = true;
        mx_domain = via.host;
        port = via.port;
        continue;
      }
      Host host;
      host.name = via.host;
      host.port = via.port;
      host.preference = static_cast<unsigned>(hosts.size());
      host.configured = true;
      hosts.push_back(std::move(host));
    }
    if (!by_mx) co_return hosts;
  } else if (target.domain.starts_with('[')) {  // RFC 5321 §4.1.3: an address literal names its host
    auto text = std::string_view(target.domain).substr(1, target.domain.size() - 2);
    if (core::istarts_with(text, "ipv6:")) text.remove_prefix(5);
    Host host;
    host.name = std::string(text);
    host.port = port;
    hosts.push_back(std::move(host));
    co_return hosts;
  }

  dns::Question question{mx_domain, dns::Type::mx};
  const auto answer = co_await resolver.resolve(std::move(question), deadline);
  switch (answer.status) {
    case dns::Status::failure:
      co_return refuse(mail::Fate::deferred, 451, {4, 4, 3}, "Cannot look up the destination's mail hosts now");
    case dns::Status::nx_domain:
      co_return refuse(mail::Fate::failed, 550, {5, 1, 2}, "The destination's domain does not exist");
    case dns::Status::no_data: {  // RFC 5321 §5.1: implicit MX
      Host host;
      host.name = mx_domain;
      host.port = port;
      host.secure = answer.authenticated;
      hosts.push_back(std::move(host));
      co_return hosts;
    }
    case dns::Status::ok:
      break;
  }
  std::vector<Host> found;
  bool null_mx = false;
  unsigned self = UINT32_MAX;  // our own preference
  for (const auto& mx : answer.mx) {
    if (mx.host.empty()) {
      null_mx = true;
      continue;
    }
    if (core::iequals(mx.host, config.hostname)) self = std::min<unsigned>(self, mx.preference);
    Host host;
    host.name = mx.host;
    host.preference = mx.preference;
    host.port = port;
    host.secure = answer.authenticated;
    found.push_back(std::move(host));
  }
  if (found.empty()) {
    if (null_mx) co_return refuse(mail::Fate::failed, 556, {5, 1, 10}, "The destination's domain takes no mail");
    co_return refuse(mail::Fate::deferred, 451, {4, 4, 3}, "The destination's mail hosts have no usable names");
  }
  // RFC 5321 §5.1: hosts of our own preference or a worse one must not be tried, or the message would come back.
  std::erase_if(found, [self](const Host& host) { return host.preference >= self; });
  if (found.empty()) co_return refuse(mail::Fate::failed, 554, {5, 4, 6}, "The destination's mail host is this host");
  order_hosts(found, random);
  for (auto& host : found) {
    if (hosts.size() < kMaxHosts) hosts.push_back(std::move(host));
  }
  co_return hosts;
}

net::Awaitable<Addresses> find_addresses(dns::Resolver& resolver, core::Random& random, const Config& config, Host host,
                                         core::Deadline deadline) {
  using boost::asio::experimental::awaitable_operators::operator&&;
  Addresses result;
  std::vector<core::IpAddress> found;
  if (const auto literal = core::IpAddress::parse(host.name)) {
    found.push_back(literal->unmapped());
  } else {
    dns::Question six{core::lower(host.name), dns::Type::aaaa};
    dns::Question four{core::lower(host.name), dns::Type::a};
    auto [answer6, answer4] =
        co_await (resolver.resolve(std::move(six), deadline) && resolver.resolve(std::move(four), deadline));
    result.dns_failed = answer6.status == dns::Status::failure || answer4.status == dns::Status::failure;
    result.secure = !answer6.addresses.empty() || !answer4.addresses.empty();
    for (const auto* answer : {&answer6, &answer4}) {
      if (answer->addresses.empty()) continue;
      result.secure = result.secure && answer->authenticated;
      if (!answer->canonical.empty()) result.canonical = answer->canonical;
    }
    for (const auto& ip : answer6.addresses) found.push_back(ip.unmapped());
    for (const auto& ip : answer4.addresses) found.push_back(ip);
  }
  for (const auto& ip : found) {
    Endpoint endpoint;
    endpoint.address = ip;
    endpoint.port = host.port;
    if (is_own_endpoint(config, endpoint)) {
      result.looped = true;
      continue;
    }
    if (ip.is_private() && !host.configured && !config.delivery.private_destinations) {
      result.refused = true;
      continue;
    }
    (ip.is_v6() ? result.ipv6 : result.ipv4).push_back(endpoint);
  }
  // A host that is us by one address is us by all of them.
  if (result.looped) {
    result.ipv6.clear();
    result.ipv4.clear();
  }
  for (auto* list : {&result.ipv6, &result.ipv4}) {
    shuffle(*list, 0, list->size(), random);
    if (list->size() > kMaxAddressesPerFamily) list->resize(kMaxAddressesPerFamily);
  }
  co_return result;
}

Unroutable no_address(const Addresses& seen, std::string_view domain) {
  if (seen.looped) return refuse(mail::Fate::failed, 554, {5, 4, 6}, "The destination's mail host is this host");
  if (seen.dns_failed) {
    return refuse(mail::Fate::deferred, 451, {4, 4, 3}, "Cannot look up the destination's mail host now");
  }
  if (seen.refused) {  // UP-13
    return refuse(mail::Fate::failed, 550, {5, 4, 4}, "The destination's mail host has no public address");
  }
  if (domain.empty()) return refuse(mail::Fate::deferred, 451, {4, 4, 1}, "The destination cannot be reached now");
  return refuse(mail::Fate::failed, 550, {5, 1, 2}, "The destination's domain has no mail host");
}

}  // namespace forwarder
