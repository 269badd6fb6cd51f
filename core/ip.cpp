#include "core/ip.hpp"

#include <arpa/inet.h>

#include <algorithm>

#include "core/text.hpp"

namespace core {

IpAddress IpAddress::v4(std::array<std::uint8_t, 4> bytes) {
  IpAddress ip;
  std::copy(bytes.begin(), bytes.end(), ip.bytes_.begin());
  return ip;
}

IpAddress IpAddress::v6(std::array<std::uint8_t, 16> bytes) {
  IpAddress ip;
  ip.v6_ = true;
  ip.bytes_ = bytes;
  return ip;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  if (text.size() > 45 || text.find('\0') != std::string_view::npos) return std::nullopt;
  const std::string name(text);
  std::array<std::uint8_t, 4> four{};
  if (::inet_pton(AF_INET, name.c_str(), four.data()) == 1) return v4(four);
  std::array<std::uint8_t, 16> sixteen{};
  if (::inet_pton(AF_INET6, name.c_str(), sixteen.data()) == 1) return v6(sixteen);
  return std::nullopt;
}

IpAddress IpAddress::unmapped() const {
  static constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (!v6_ || !std::equal(kMapped.begin(), kMapped.end(), bytes_.begin())) return *this;
  return v4({bytes_[12], bytes_[13], bytes_[14], bytes_[15]});
}

std::string IpAddress::to_string() const {
  char text[INET6_ADDRSTRLEN] = {};
  ::inet_ntop(v6_ ? AF_INET6 : AF_INET, bytes_.data(), text, sizeof text);
  return text;
}

std::string IpAddress::to_literal() const {
  return v6_ ? "[IPv6:" + to_string() + "]" : "[" + to_string() + "]";
}

std::string IpAddress::to_reversed_labels() const {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  const auto octets = bytes();
  for (std::size_t i = octets.size(); i-- > 0;) {
    const auto octet = static_cast<unsigned char>(octets[i]);
    if (!out.empty()) out += '.';
    if (v6_) {
      out += kHex[octet & 0xf];
      out += '.';
      out += kHex[octet >> 4];
    } else {
      out += std::to_string(octet);
    }
  }
  return out;
}

bool IpAddress::is_loopback() const {
  const auto ip = unmapped();
  if (ip.is_v4()) return ip.bytes_[0] == 127;
  return std::all_of(ip.bytes_.begin(), ip.bytes_.begin() + 15, [](auto b) { return b == 0; }) && ip.bytes_[15] == 1;
}

bool IpAddress::is_unspecified() const {
  const auto ip = unmapped();
  return std::all_of(ip.bytes_.begin(), ip.bytes_.end(), [](auto b) { return b == 0; });
}

bool IpAddress::is_private() const {
  struct Block {
    std::uint32_t network;
    unsigned length;
  };
  // RFC 6890 and its registry: blocks that are not globally reachable, multicast and reserved space.
  static constexpr Block kFour[] = {
      {0x00000000, 8},  {0x0a000000, 8},  {0x64400000, 10}, {0x7f000000, 8},  {0xa9fe0000, 16},
      {0xac100000, 12}, {0xc0000000, 24}, {0xc0000200, 24}, {0xc0a80000, 16}, {0xc6120000, 15},
      {0xc6336400, 24}, {0xcb007100, 24}, {0xe0000000, 4},  {0xf0000000, 4},
  };
  const auto ip = unmapped();
  if (ip.is_v4()) {
    const std::uint32_t value = static_cast<std::uint32_t>(ip.bytes_[0]) << 24 |
                                static_cast<std::uint32_t>(ip.bytes_[1]) << 16 |
                                static_cast<std::uint32_t>(ip.bytes_[2]) << 8 | ip.bytes_[3];
    return std::any_of(std::begin(kFour), std::end(kFour),
                       [&](const Block& b) { return (value >> (32 - b.length)) == (b.network >> (32 - b.length)); });
  }
  // Only 2000::/3 is global unicast; out of it the documentation prefix and the IPv4 translations that could reach
  // private IPv4 space (6to4, Teredo) are excluded. 64:ff9b::/96 (NAT64) is public when its IPv4 part is.
  const auto& b = ip.bytes_;
  if (b[0] == 0x00 && b[1] == 0x64 && b[2] == 0xff && b[3] == 0x9b &&
      std::all_of(b.begin() + 4, b.begin() + 12, [](auto x) { return x == 0; })) {
    return v4({b[12], b[13], b[14], b[15]}).is_private();
  }
  if ((b[0] & 0xe0) != 0x20) return true;
  if (b[0] == 0x20 && b[1] == 0x01 && b[2] == 0x0d && b[3] == 0xb8) return true;
  if (b[0] == 0x20 && b[1] == 0x01 && b[2] == 0x00 && b[3] == 0x00) return true;
  if (b[0] == 0x20 && b[1] == 0x02) return v4({b[2], b[3], b[4], b[5]}).is_private();
  return false;
}

IpAddress IpAddress::masked(unsigned length) const {
  IpAddress out = *this;
  const unsigned size = v6_ ? 16 : 4;
  for (unsigned i = 0; i < size; ++i) {
    const unsigned keep = length >= (i + 1) * 8 ? 8 : length > i * 8 ? length - i * 8 : 0;
    out.bytes_[i] = static_cast<std::uint8_t>(out.bytes_[i] & (0xff00U >> keep));
  }
  return out;
}

std::optional<Prefix> Prefix::parse(std::string_view text) {
  const auto slash = text.find('/');
  const auto ip = IpAddress::parse(text.substr(0, slash));
  if (!ip) return std::nullopt;
  const unsigned most = ip->is_v6() ? 128 : 32;
  unsigned length = most;
  if (slash != std::string_view::npos) {
    const auto n = parse_number(text.substr(slash + 1));
    if (!n || *n > most) return std::nullopt;
    length = static_cast<unsigned>(*n);
  }
  if (ip->masked(length) != *ip) return std::nullopt;
  return Prefix{*ip, length};
}

bool Prefix::contains(const IpAddress& ip) const {
  return ip.is_v6() == address.is_v6() && ip.masked(length) == address;
}

std::string Prefix::to_string() const {
  return address.to_string() + "/" + std::to_string(length);
}

IpAddress client_network(const IpAddress& ip) {
  const auto plain = ip.unmapped();
  return plain.is_v6() ? plain.masked(64) : plain;
}

std::optional<HostPort> HostPort::parse(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto port = parse_number(text.substr(colon + 1));
  auto host = text.substr(0, colon);
  if (!port || *port > 65535 || host.empty()) return std::nullopt;
  if (host.front() == '[') {
    if (host.size() < 4 || host.back() != ']') return std::nullopt;
    host = host.substr(1, host.size() - 2);
    const auto ip = IpAddress::parse(host);
    if (!ip || !ip->is_v6()) return std::nullopt;
  } else if (host.find(':') != std::string_view::npos) {
    return std::nullopt;  // an IPv6 address needs its brackets
  }
  return HostPort{std::string(host), static_cast<std::uint16_t>(*port)};
}

std::string HostPort::to_string() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

}  // namespace core
