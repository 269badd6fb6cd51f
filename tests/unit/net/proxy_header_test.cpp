// PROXY headers: the vectors of ../shared/conformance/proxy-protocol, each of them also cut at every octet, and what
// the vectors leave out (versions that were not asked for, checksums, limits).
#include "net/proxy_header.hpp"

#include <gtest/gtest.h>

#include "tests/unit/mail/jsonl.hpp"

namespace {

using net::ProxyFault;
using net::ProxyHeader;
using net::ProxyMode;
using net::ProxyNeedsMore;

const std::string kSignature("\r\n\r\n\0\r\nQUIT\n", 12);

// What a reader comes to that asks for no more than it is told to.
std::variant<ProxyHeader, ProxyNeedsMore, ProxyFault> read(std::string_view wire, ProxyMode mode = ProxyMode::either) {
  std::size_t have = 0;
  for (;;) {
    auto parsed = net::parse_proxy_header(wire.substr(0, have), mode);
    const auto* more = std::get_if<ProxyNeedsMore>(&parsed);
    if (more == nullptr) {
      // No octet was asked for that is not the header's.
      if (const auto* header = std::get_if<ProxyHeader>(&parsed)) {
        EXPECT_EQ(have, header->size);
      }
      return parsed;
    }
    EXPECT_GT(more->octets, 0U);
    if (have + more->octets > wire.size()) return parsed;
    have += more->octets;
  }
}

std::string v2(unsigned char command, unsigned char family, std::string_view rest) {
  std::string out = kSignature;
  out += static_cast<char>(command);
  out += static_cast<char>(family);
  out += static_cast<char>(rest.size() >> 8);
  out += static_cast<char>(rest.size() & 0xff);
  return out + std::string(rest);
}
const std::string kFour("\xc0\x00\x02\x01\xc0\x00\x02\x19\x30\x39\x00\x19", 12);  // 192.0.2.1:12345 -> 192.0.2.25:25

TEST(ProxyHeader, Conformance) {
  const auto cases = read_jsonl("proxy-protocol/go-proxyproto.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no " ONWARD_CONFORMANCE;
  ASSERT_GE(cases.size(), 60U);
  for (const auto& c : cases) {
    const auto id = c["id"].get<std::string>();
    const auto wire = from_hex(c["raw_hex"].get<std::string>());
    const auto parsed = read(wire);
    const auto* header = std::get_if<ProxyHeader>(&parsed);
    ASSERT_EQ(header != nullptr, c["valid"].get<bool>()) << id;
    if (header == nullptr) continue;
    const auto rest = c.contains("rest_hex") ? from_hex(c["rest_hex"].get<std::string>()) : wire.substr(header->size);
    EXPECT_EQ(wire.substr(header->size), rest) << id;
    if (!c["src"].is_array()) {
      EXPECT_TRUE(header->local) << id;
      continue;
    }
    EXPECT_FALSE(header->local) << id;
    const auto source = core::IpAddress::parse(c["src"][0].get<std::string>()).value().unmapped();
    EXPECT_EQ(header->source, source) << id;
    EXPECT_EQ(header->source_port, c["src"][1].get<unsigned>()) << id;
    // Cut anywhere, it is not whole yet, and never anything else.
    for (std::size_t cut = 0; cut < header->size; ++cut) {
      const auto part = net::parse_proxy_header(std::string_view(wire).substr(0, cut), ProxyMode::either);
      ASSERT_TRUE(std::holds_alternative<ProxyNeedsMore>(part)) << id << " cut at " << cut;
      ASSERT_LE(cut + std::get<ProxyNeedsMore>(part).octets, header->size) << id << " cut at " << cut;
    }
  }
}

TEST(ProxyHeader, BothEnds) {
  const auto parsed = read(v2(0x21, 0x11, kFour));
  const auto& header = std::get<ProxyHeader>(parsed);
  EXPECT_EQ(header.source.to_string(), "192.0.2.1");
  EXPECT_EQ(header.source_port, 12345);
  EXPECT_EQ(header.destination.to_string(), "192.0.2.25");
  EXPECT_EQ(header.destination_port, 25);
  const auto one = read("PROXY TCP6 2001:db8::1 2001:db8::25 40000 25\r\nEHLO x\r\n");
  EXPECT_EQ(std::get<ProxyHeader>(one).destination.to_string(), "2001:db8::25");
}

TEST(ProxyHeader, OnlyTheVersionsAskedFor) {
  const std::string one = "PROXY UNKNOWN\r\n", two = v2(0x20, 0, "");
  EXPECT_TRUE(std::holds_alternative<ProxyHeader>(read(one, ProxyMode::v1)));
  EXPECT_TRUE(std::holds_alternative<ProxyFault>(read(one, ProxyMode::v2)));
  EXPECT_TRUE(std::holds_alternative<ProxyFault>(read(two, ProxyMode::v1)));
  EXPECT_TRUE(std::holds_alternative<ProxyHeader>(read(two, ProxyMode::v2)));
  EXPECT_TRUE(std::holds_alternative<ProxyFault>(read("EHLO client.example\r\n")));
  EXPECT_TRUE(std::holds_alternative<ProxyFault>(net::parse_proxy_header("E", ProxyMode::either)));
  EXPECT_TRUE(std::holds_alternative<ProxyFault>(net::parse_proxy_header("PROX ", ProxyMode::v1)));
}

TEST(ProxyHeader, Checksum) {
  EXPECT_EQ(net::crc32c("123456789"), 0xe3069283U);  // the check value of CRC-32C
  EXPECT_EQ(net::crc32c(""), 0U);
  auto wire = v2(0x21, 0x11, kFour + std::string("\x04\x00\x02xx\x03\x00\x04\0\0\0\0", 12));
  const auto crc = net::crc32c(wire);
  for (std::size_t i = 0; i < 4; ++i) wire[wire.size() - 4 + i] = static_cast<char>(crc >> (24 - 8 * i));
  EXPECT_TRUE(std::holds_alternative<ProxyHeader>(read(wire)));
  for (std::size_t at = 12; at < wire.size(); ++at) {
    auto bent = wire;
    bent[at] = static_cast<char>(bent[at] ^ 1);
    const auto parsed = read(bent);
    // LOCAL: nothing of the rest is looked at. And a checksum that is called something else is none.
    if (at == 12 || at == wire.size() - 7) continue;
    EXPECT_FALSE(std::holds_alternative<ProxyHeader>(parsed)) << "bent at " << at;
  }
}

TEST(Threats, OP_07_limits) {
  // Version 1: 107 octets with CRLF, and not one more.
  const auto unknown = [](std::size_t size) { return "PROXY UNKNOWN " + std::string(size - 16, 'x') + "\r\n"; };
  EXPECT_EQ(unknown(107).size(), 107U);
  EXPECT_TRUE(std::holds_alternative<ProxyHeader>(read(unknown(107))));
  EXPECT_TRUE(std::holds_alternative<ProxyFault>(read(unknown(108))));
  // Version 2: 4 KiB of addresses and TLVs, and not one octet more.
  const auto padded = [](std::size_t size) {
    const auto room = size - kFour.size() - 3;
    return v2(0x21, 0x11,
              kFour + '\x04' + static_cast<char>(room >> 8) + static_cast<char>(room & 0xff) + std::string(room, 'x'));
  };
  EXPECT_TRUE(std::holds_alternative<ProxyHeader>(read(padded(4096))));
  EXPECT_TRUE(std::holds_alternative<ProxyFault>(read(padded(4097))));
  EXPECT_TRUE(std::holds_alternative<ProxyFault>(net::parse_proxy_header(padded(4097).substr(0, 16), ProxyMode::v2)))
      << "known to be too long before it has come";
}

TEST(ProxyHeader, BrokenTlvs) {
  using namespace std::string_view_literals;
  for (const auto tlv : {"\x04"sv, "\x04\x00"sv, "\x04\x00\x05xxxx"sv, "\x03\x00\x03xxx"sv}) {
    const auto rest = kFour + std::string(tlv);
    EXPECT_TRUE(std::holds_alternative<ProxyFault>(read(v2(0x21, 0x11, rest)))) << tlv.size();
    EXPECT_TRUE(std::holds_alternative<ProxyHeader>(read(v2(0x20, 0x11, rest)))) << "LOCAL: skipped unseen";
  }
}

}  // namespace
