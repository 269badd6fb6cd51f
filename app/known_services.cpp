#include "app/known_services.hpp"

#include <algorithm>
#include <array>

#include "core/text.hpp"

namespace app {
namespace {

struct Service {
  std::string_view name;
  std::string_view mx;   // glob
  std::string_view spf;  // glob
};

// From what each service asks its customers to publish. A service with several names has several lines.
constexpr std::array kServices{
    Service{"Cloudflare Email Routing", "*.mx.cloudflare.net", "_spf.mx.cloudflare.net"},
    Service{"ImprovMX", "*.improvmx.com", "spf.improvmx.com"},
    Service{"Forward Email", "*.forwardemail.net", "*.forwardemail.net"},
    Service{"SimpleLogin", "*.simplelogin.co", "simplelogin.co"},
    Service{"addy.io", "*.anonaddy.me", "*.anonaddy.me"},
    Service{"addy.io", "*.addy.io", "*.addy.io"},
    Service{"ForwardMX", "*.forwardmx.io", "*.forwardmx.io"},
    Service{"Namecheap email forwarding", "eforward*.registrar-servers.com", "*.efwd.registrar-servers.com"},
    Service{"Porkbun email forwarding", "fwd*.porkbun.com", "_spf.porkbun.com"},
    Service{"Google Domains email forwarding", "*gmr-smtp-in.l.google.com", ""},
    Service{"Pobox", "pb-mx*.pobox.com", "pobox.com"},
    Service{"DNSimple email forwarding", "mx*.dnsimple.com", ""},
};

// https://www.cloudflare.com/ips/, unchanged since 2023-09-28.
constexpr std::array<std::string_view, 22> kProxies{
    "173.245.48.0/20", "103.21.244.0/22", "103.22.200.0/22",  "103.31.4.0/22",   "141.101.64.0/18", "108.162.192.0/18",
    "190.93.240.0/20", "188.114.96.0/20", "197.234.240.0/22", "198.41.128.0/17", "162.158.0.0/15",  "104.16.0.0/13",
    "104.24.0.0/14",   "172.64.0.0/13",   "131.0.72.0/22",    "2400:cb00::/32",  "2606:4700::/32",  "2803:f800::/32",
    "2405:b500::/32",  "2405:8100::/32",  "2a06:98c0::/29",   "2c0f:f248::/32",
};

std::string_view service_of(std::string_view name, std::string_view Service::* glob) {
  const auto* it = std::find_if(kServices.begin(), kServices.end(), [&](const Service& service) {
    return !(service.*glob).empty() && core::glob_match(service.*glob, name);
  });
  return it == kServices.end() ? std::string_view() : it->name;
}

}  // namespace

std::string_view forwarder_by_mx(std::string_view mx_host) {
  return service_of(mx_host, &Service::mx);
}

std::string_view forwarder_by_spf(std::string_view domain) {
  return service_of(domain, &Service::spf);
}

bool is_proxy_address(const core::IpAddress& ip) {
  return std::any_of(kProxies.begin(), kProxies.end(), [&ip](std::string_view text) {
    const auto prefix = core::Prefix::parse(text);
    return prefix && prefix->contains(ip);
  });
}

}  // namespace app
