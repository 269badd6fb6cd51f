// links: net
// PROXY headers: whatever a proxy sends is a header, a fault or not all of it, and what is asked for leads to an end.
// The first octet chooses the versions.
#include <cstdint>
#include <cstdlib>

#include "net/proxy_header.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  static constexpr net::ProxyMode kModes[] = {net::ProxyMode::v1, net::ProxyMode::v2, net::ProxyMode::either};
  const auto mode = kModes[data[0] % 3];
  const std::string_view wire(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::size_t have = 0;
  for (;;) {
    const auto parsed = net::parse_proxy_header(wire.substr(0, have), mode);
    if (const auto* header = std::get_if<net::ProxyHeader>(&parsed)) {
      if (header->size != have || header->size > net::kMaxProxyV2) std::abort();
      // Octets behind it change nothing.
      const auto again = net::parse_proxy_header(wire, mode);
      const auto* same = std::get_if<net::ProxyHeader>(&again);
      if (same == nullptr || same->size != header->size || same->source != header->source) std::abort();
      return 0;
    }
    const auto* more = std::get_if<net::ProxyNeedsMore>(&parsed);
    if (more == nullptr) return 0;
    if (more->octets == 0 || have + more->octets > net::kMaxProxyV2) std::abort();
    if (have + more->octets > wire.size()) return 0;
    have += more->octets;
  }
}
