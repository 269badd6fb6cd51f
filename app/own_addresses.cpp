#include "app/own_addresses.hpp"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>
#include <memory>

namespace app {

std::optional<core::IpAddress> address_towards(const core::IpAddress& peer) {
  using boost::asio::ip::udp;
  constexpr unsigned short kSmtp = 25;
  boost::asio::io_context context;
  boost::system::error_code error;
  udp::socket socket(context);
  const auto address = boost::asio::ip::make_address(peer.to_string(), error);
  if (!error) socket.connect(udp::endpoint(address, kSmtp), error);
  const auto local = error ? udp::endpoint() : socket.local_endpoint(error);
  return error ? std::nullopt : core::IpAddress::parse(local.address().to_string());
}

std::vector<core::IpAddress> interface_addresses() {
  std::vector<core::IpAddress> out;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return out;
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owned(list, ::freeifaddrs);
  for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || (one->ifa_flags & static_cast<unsigned>(IFF_UP)) == 0) continue;
    std::optional<core::IpAddress> ip;
    if (one->ifa_addr->sa_family == AF_INET) {
      std::array<std::uint8_t, 4> octets{};
      const auto& raw = reinterpret_cast<const sockaddr_in*>(one->ifa_addr)->sin_addr;
      std::copy_n(reinterpret_cast<const std::uint8_t*>(&raw), octets.size(), octets.begin());
      ip = core::IpAddress::v4(octets);
    } else if (one->ifa_addr->sa_family == AF_INET6) {
      const auto& raw = reinterpret_cast<const sockaddr_in6*>(one->ifa_addr)->sin6_addr;
      if (IN6_IS_ADDR_LINKLOCAL(&raw)) continue;
      std::array<std::uint8_t, 16> octets{};
      std::copy_n(reinterpret_cast<const std::uint8_t*>(&raw), octets.size(), octets.begin());
      ip = core::IpAddress::v6(octets);
    }
    if (ip && std::find(out.begin(), out.end(), *ip) == out.end()) out.push_back(*ip);
  }
  return out;
}

}  // namespace app
