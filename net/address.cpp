#include "net/address.hpp"

#include <algorithm>

namespace net {

boost::asio::ip::address to_asio(const core::IpAddress& address) {
  const auto bytes = address.bytes();
  if (address.is_v6()) {
    boost::asio::ip::address_v6::bytes_type out{};
    std::copy(bytes.begin(), bytes.end(), out.begin());
    return boost::asio::ip::address_v6(out);
  }
  boost::asio::ip::address_v4::bytes_type out{};
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return boost::asio::ip::address_v4(out);
}

core::IpAddress from_asio(const boost::asio::ip::address& address) {
  if (address.is_v4()) return core::IpAddress::v4(address.to_v4().to_bytes());
  return core::IpAddress::v6(address.to_v6().to_bytes()).unmapped();
}

}  // namespace net
