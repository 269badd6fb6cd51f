#include "net/proxy_header.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "core/text.hpp"

namespace net {
namespace {

using Parsed = std::variant<ProxyHeader, ProxyNeedsMore, ProxyFault>;

constexpr std::string_view kV1 = "PROXY ";
constexpr std::string_view kV2("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t kFixed = 16;       // octets of a version 2 header before its addresses
constexpr std::size_t kV1Least = 15;     // "PROXY UNKNOWN" CRLF
constexpr unsigned char kCrc32c = 0x03;  // §2.2: PP2_TYPE_CRC32C

unsigned octet(std::string_view text, std::size_t at) {
  return static_cast<unsigned char>(text[at]);
}
std::uint16_t number16(std::string_view text, std::size_t at) {
  return static_cast<std::uint16_t>(octet(text, at) << 8 | octet(text, at + 1));
}

core::IpAddress address4(std::string_view octets) {
  std::array<std::uint8_t, 4> bytes{};
  std::copy_n(octets.begin(), bytes.size(), bytes.begin());
  return core::IpAddress::v4(bytes);
}
core::IpAddress address6(std::string_view octets) {
  std::array<std::uint8_t, 16> bytes{};
  std::copy_n(octets.begin(), bytes.size(), bytes.begin());
  return core::IpAddress::v6(bytes).unmapped();
}

// §2.1: decimal, no sign, no leading zeros.
std::optional<std::uint16_t> parse_port(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  const auto number = core::parse_number(text);
  if (!number || *number > 65535) return std::nullopt;
  return static_cast<std::uint16_t>(*number);
}

Parsed parse_v1(std::string_view input) {
  const auto end = input.substr(0, kMaxProxyV1).find("\r\n");
  if (end == std::string_view::npos) {
    if (input.size() >= kMaxProxyV1) return ProxyFault{"a version 1 header that is too long"};
    if (input.size() < kV1Least) return ProxyNeedsMore{kV1Least - input.size()};
    return ProxyNeedsMore{input.ends_with('\r') ? std::size_t{1} : std::size_t{2}};
  }
  ProxyHeader header;
  header.size = end + 2;
  const auto line = input.substr(kV1.size(), end - kV1.size());
  if (line == "UNKNOWN" || line.starts_with("UNKNOWN ")) {
    header.local = true;
    return header;
  }
  const auto words = core::split(line, ' ');
  const bool four = words.front() == "TCP4", six = words.front() == "TCP6";
  if ((!four && !six) || words.size() != 5) return ProxyFault{"a version 1 header that is malformed"};
  const auto source = core::IpAddress::parse(words[1]), destination = core::IpAddress::parse(words[2]);
  if (!source || !destination || source->is_v6() != six || destination->is_v6() != six) {
    return ProxyFault{"a version 1 header with a bad address"};
  }
  const auto source_port = parse_port(words[3]), destination_port = parse_port(words[4]);
  if (!source_port || !destination_port) return ProxyFault{"a version 1 header with a bad port"};
  header.source = source->unmapped();
  header.destination = destination->unmapped();
  header.source_port = *source_port;
  header.destination_port = *destination_port;
  return header;
}

// §2.2: what stands behind the addresses. Nothing is wrong: "".
std::string_view check_tlvs(std::string_view header, std::size_t at) {
  while (at < header.size()) {
    if (header.size() - at < 3) return "a version 2 header with a broken TLV";
    const auto type = octet(header, at);
    const std::size_t size = number16(header, at + 1);
    at += 3;
    if (header.size() - at < size) return "a version 2 header with a broken TLV";
    if (type == kCrc32c) {
      if (size != 4) return "a version 2 header with a broken checksum";
      const auto told = static_cast<std::uint32_t>(number16(header, at)) << 16 | number16(header, at + 2);
      std::string zeroed(header);
      std::fill_n(zeroed.begin() + static_cast<std::ptrdiff_t>(at), size, '\0');
      if (crc32c(zeroed) != told) return "a version 2 header whose checksum is wrong";
    }
    at += size;
  }
  return {};
}

Parsed parse_v2(std::string_view input) {
  if (input.size() > 12 && octet(input, 12) != 0x20 && octet(input, 12) != 0x21) {
    return ProxyFault{"a version 2 header of an unknown version or command"};
  }
  if (input.size() < kFixed) return ProxyNeedsMore{kFixed - input.size()};
  const bool local = octet(input, 12) == 0x20;
  const auto family = octet(input, 13) >> 4, transport = octet(input, 13) & 0xf;
  ProxyHeader header;
  header.size = kFixed + number16(input, 14);
  if (header.size > kMaxProxyV2) return ProxyFault{"a version 2 header that is too long"};
  // 0 unspecified, 1 IPv4, 2 IPv6, 3 Unix; 0 unspecified, 1 stream, 2 datagram. LOCAL: whatever it says is ignored.
  if (!local && (family > 3 || transport > 2)) return ProxyFault{"a version 2 header of an unknown family"};
  static constexpr std::size_t kAddresses[] = {0, 12, 36, 216};
  const auto addresses = local ? 0 : kAddresses[family];
  if (header.size - kFixed < addresses) return ProxyFault{"a version 2 header too short for its family"};
  if (input.size() < header.size) return ProxyNeedsMore{header.size - input.size()};
  if (local) {
    header.local = true;
    return header;
  }
  const auto whole = input.substr(0, header.size);
  if (const auto wrong = check_tlvs(whole, kFixed + addresses); !wrong.empty()) return ProxyFault{wrong};
  if (family == 1) {
    header.source = address4(whole.substr(16, 4));
    header.destination = address4(whole.substr(20, 4));
    header.source_port = number16(whole, 24);
    header.destination_port = number16(whole, 26);
  } else if (family == 2) {
    header.source = address6(whole.substr(16, 16));
    header.destination = address6(whole.substr(32, 16));
    header.source_port = number16(whole, 48);
    header.destination_port = number16(whole, 50);
  } else {
    header.local = true;
  }
  return header;
}

// As far as both go, are they the same?
bool agree(std::string_view input, std::string_view signature) {
  const auto size = std::min(input.size(), signature.size());
  return input.substr(0, size) == signature.substr(0, size);
}

}  // namespace

std::uint32_t crc32c(std::string_view octets) {
  static constexpr auto kTable = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < table.size(); ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82f63b78U : 0U);
      table[i] = value;
    }
    return table;
  }();
  std::uint32_t crc = 0xffffffff;
  for (const char c : octets) crc = (crc >> 8) ^ kTable[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  return ~crc;
}

Parsed parse_proxy_header(std::string_view input, ProxyMode mode) {
  const bool one = mode != ProxyMode::v2 && agree(input, kV1);
  const bool two = mode != ProxyMode::v1 && agree(input, kV2);
  if (!one && !two) return ProxyFault{"no PROXY header"};
  if (one && input.size() >= kV1.size()) return parse_v1(input);
  if (two && input.size() >= kV2.size()) return parse_v2(input);
  // Both signatures, and all headers, are at least 12 octets long.
  return ProxyNeedsMore{kV2.size() - input.size()};
}

}  // namespace net
