// IP addresses and prefixes as values, without sockets, so that pure code can speak of them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace core {

class IpAddress {
 public:
  IpAddress() = default;  // 0.0.0.0
  static IpAddress v4(std::array<std::uint8_t, 4> bytes);
  static IpAddress v6(std::array<std::uint8_t, 16> bytes);
  // "192.0.2.1" or "2001:db8::1"; no brackets, no zone.
  static std::optional<IpAddress> parse(std::string_view text);

  bool is_v6() const { return v6_; }
  bool is_v4() const { return !v6_; }
  // IPv4-mapped IPv6 (::ffff:a.b.c.d) becomes IPv4; everything else stays.
  IpAddress unmapped() const;
  // The octets in network order: 4 or 16.
  std::string_view bytes() const {
    return {reinterpret_cast<const char*>(bytes_.data()), v6_ ? std::size_t{16} : std::size_t{4}};
  }
  std::string to_string() const;
  // RFC 5321 §4.1.3: "[192.0.2.1]" or "[IPv6:2001:db8::1]".
  std::string to_literal() const;
  // "1.2.0.192", or the 32 nibbles of IPv6, last one first: how DNS names addresses (RFC 1035 §3.5, RFC 3596 §2.5, RFC
  // 5782 §2).
  std::string to_reversed_labels() const;

  bool is_loopback() const;
  bool is_unspecified() const;
  // Loopback, unspecified, private (RFC 1918, RFC 4193), link-local, shared (RFC 6598), multicast, broadcast,
  // documentation and other addresses that no public mail host has (RFC 6890); IPv4-mapped ones by their IPv4 part.
  bool is_private() const;

  // Address of the network of `length` bits that this address lies in.
  IpAddress masked(unsigned length) const;

  friend bool operator==(const IpAddress&, const IpAddress&) = default;
  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;

 private:
  bool v6_ = false;
  std::array<std::uint8_t, 16> bytes_{};
};

struct Prefix {
  IpAddress address;
  unsigned length = 0;

  // "192.0.2.0/24", "2001:db8::/32" or one address; bits beyond the length must be zero.
  static std::optional<Prefix> parse(std::string_view text);
  bool contains(const IpAddress& ip) const;
  std::string to_string() const;
  friend bool operator==(const Prefix&, const Prefix&) = default;
};

// What limits "per client" count by: the IPv4 address, or the IPv6 /64.
IpAddress client_network(const IpAddress& ip);

// "host:port", "[v6]:port"; the host part without brackets.
struct HostPort {
  std::string host;
  std::uint16_t port = 0;
  static std::optional<HostPort> parse(std::string_view text);
  std::string to_string() const;
  friend bool operator==(const HostPort&, const HostPort&) = default;
};

}  // namespace core

template <>
struct std::hash<core::IpAddress> {
  std::size_t operator()(const core::IpAddress& ip) const noexcept { return std::hash<std::string_view>()(ip.bytes()); }
};
