// What the outside world looked like when this was written: other forwarding services by the names they are known by in
// DNS, and the addresses of proxies that take no mail. Dated data, for `onward dns check` only; no mail is judged by
// it.
#pragma once

#include <string_view>

#include "core/ip.hpp"

namespace app {

// When the tables in known_services.cpp were last compared with what the services publish.
inline constexpr std::string_view kKnownServicesDate = "2026-11";

// The forwarding service that `mx_host` (lower case, no trailing dot) belongs to; "" when it is none that we know.
std::string_view forwarder_by_mx(std::string_view mx_host);
// The forwarding service whose senders an SPF record allows by naming `domain` in include, redirect, a or mx; "" when
// it is none that we know.
std::string_view forwarder_by_spf(std::string_view domain);
// Is this one of the addresses Cloudflare's proxy answers for? No port 25 there: mail to such an address is lost.
bool is_proxy_address(const core::IpAddress& ip);

}  // namespace app
