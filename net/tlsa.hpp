// TLSA records as plain values (RFC 6698 §2.1).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace net {

struct Tlsa {
  std::uint8_t usage = 0;     // 2: a certificate authority of the zone's choice, 3: the server's own certificate or key
  std::uint8_t selector = 0;  // 0: the certificate, 1: its public key
  std::uint8_t matching = 0;  // 0: as it is, 1: SHA-256, 2: SHA-512
  std::string data;           // octets
  friend bool operator==(const Tlsa&, const Tlsa&) = default;
  std::string to_string() const;  // "3 1 1 0a1b..." as in a zone file
};

// RDATA as it travels; nothing when it is shorter than its three parameters and one octet of data.
std::optional<Tlsa> parse_tlsa(std::string_view rdata);

}  // namespace net
