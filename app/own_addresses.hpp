// Which addresses this machine has and sends from, as its kernel sees it. Blocking calls that send nothing.
#pragma once

#include <optional>
#include <vector>

#include "core/ip.hpp"

namespace app {

// The address that a packet to `peer` would leave from; nothing without a route. A connected UDP socket: no packet is
// sent.
std::optional<core::IpAddress> address_towards(const core::IpAddress& peer);

// The addresses of all interfaces that are up, without link-local ones.
std::vector<core::IpAddress> interface_addresses();

}  // namespace app
