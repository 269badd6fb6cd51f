// The PROXY protocol's header, versions 1 and 2 (HAProxy's doc/proxy-protocol.txt): what a proxy in front of us says of
// the connection it hands on. Pure: octets in, addresses out. Only octets that certainly belong to the header are asked
// for, so that what follows it (a TLS handshake) stays in the socket.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <variant>

#include "core/ip.hpp"

namespace net {

enum class ProxyMode { off, v1, v2, either };

struct ProxyHeader {
  std::size_t size = 0;  // octets of the header
  // LOCAL, UNKNOWN, or a family that has no IP addresses: the connection is the proxy's own (a health check), and the
  // addresses below say nothing.
  bool local = false;
  core::IpAddress source, destination;  // IPv4-mapped ones as IPv4
  std::uint16_t source_port = 0, destination_port = 0;
};
// Not all of it is there: at least so many octets are still to come.
struct ProxyNeedsMore {
  std::size_t octets = 1;
};
struct ProxyFault {
  std::string_view what;  // for logs
};

inline constexpr std::size_t kMaxProxyV1 = 107;        // §2.1, CRLF included
inline constexpr std::size_t kMaxProxyV2 = 16 + 4096;  // with its TLVs; those of certificates do not fit, and need not

// `input`: everything received so far, from the first octet on. TLVs are skipped; a CRC32c among them is checked
// (§2.2.3).
std::variant<ProxyHeader, ProxyNeedsMore, ProxyFault> parse_proxy_header(std::string_view input, ProxyMode mode);

// RFC 3720 §12.1, reflected polynomial 0x82f63b78.
std::uint32_t crc32c(std::string_view octets);

}  // namespace net
