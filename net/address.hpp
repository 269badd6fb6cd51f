// Between the program's addresses and Asio's. Nothing here waits or fails.
#pragma once

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>

#include "core/ip.hpp"

namespace net {

boost::asio::ip::address to_asio(const core::IpAddress& address);
// IPv4-mapped IPv6 addresses become IPv4, so that one client has one address on a dual-stack listener.
core::IpAddress from_asio(const boost::asio::ip::address& address);

}  // namespace net
