// DNS messages by hand, independent of the codec under test: what tests send to it and what they read from it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/ip.hpp"
#include "dns/answer.hpp"

namespace dns::testing {

inline std::string u16(unsigned n) {
  return {static_cast<char>(n >> 8 & 0xff), static_cast<char>(n & 0xff)};
}
inline std::string u32(std::uint32_t n) {
  return u16(n >> 16) + u16(n & 0xffff);
}
inline unsigned get16(std::string_view s, std::size_t at) {
  return static_cast<unsigned>(static_cast<unsigned char>(s[at]) << 8 | static_cast<unsigned char>(s[at + 1]));
}

// Labels of any octets but '.'; "" is the root.
inline std::string name(std::string_view text) {
  std::string wire;
  while (!text.empty()) {
    const auto label = text.substr(0, text.find('.'));
    wire += static_cast<char>(label.size());
    wire += label;
    text.remove_prefix(std::min(text.size(), label.size() + 1));
  }
  return wire + '\0';
}

struct Record {
  std::string owner;  // text
  unsigned type = 1;
  std::string rdata;
  std::uint32_t ttl = 300;
  unsigned rclass = 1;
  std::string wire() const {
    return name(owner) + u16(type) + u16(rclass) + u32(ttl) + u16(static_cast<unsigned>(rdata.size())) + rdata;
  }
};

inline Record a(std::string owner, const std::string& ip, std::uint32_t ttl = 300) {
  const auto address = *core::IpAddress::parse(ip);
  return {std::move(owner), address.is_v6() ? 28U : 1U, std::string(address.bytes()), ttl};
}
inline Record cname(std::string owner, std::string_view target, std::uint32_t ttl = 300) {
  return {std::move(owner), 5, name(target), ttl};
}
inline Record mx(std::string owner, unsigned preference, std::string_view host, std::uint32_t ttl = 300) {
  return {std::move(owner), 15, u16(preference) + name(host), ttl};
}
inline Record txt(std::string owner, const std::vector<std::string>& parts, std::uint32_t ttl = 300) {
  std::string rdata;
  for (const auto& part : parts) rdata += static_cast<char>(part.size()) + part;
  return {std::move(owner), 16, rdata, ttl};
}
inline Record ptr(std::string owner, std::string_view target) {
  return {std::move(owner), 12, name(target), 300};
}
inline Record soa(std::string owner, std::uint32_t ttl, std::uint32_t minimum) {
  return {std::move(owner), 6, name("ns.test") + name("root.test") + u32(1) + u32(2) + u32(3) + u32(4) + u32(minimum),
          ttl};
}
inline Record ns(std::string owner) {
  return {std::move(owner), 2, name("ns.test"), 300};
}

struct Message {
  unsigned id = 0;
  unsigned flags = 0x8180;  // QR, RD, RA
  unsigned rcode = 0;
  std::string question_name;
  unsigned question_type = 1;
  std::vector<Record> answer, authority;
  bool with_question = true;

  std::string wire() const {
    std::string out = u16(id) + u16(flags | rcode) + u16(with_question ? 1 : 0) +
                      u16(static_cast<unsigned>(answer.size())) + u16(static_cast<unsigned>(authority.size())) + u16(0);
    if (with_question) out += name(question_name) + u16(question_type) + u16(1);
    for (const auto& record : answer) out += record.wire();
    for (const auto& record : authority) out += record.wire();
    return out;
  }
};
inline constexpr unsigned kTruncated = 0x0200;
inline constexpr unsigned kAuthoritative = 0x0400;
inline constexpr unsigned kAuthenticated = 0x0020;

// A query as a server reads it.
struct Query {
  unsigned id = 0;
  unsigned flags = 0;
  std::string name;
  unsigned type = 0;
  bool edns = false;
  unsigned payload = 0;
  bool tcp = false;
  std::uint16_t from_port = 0;
};
inline Query parse_query(std::string_view wire) {
  Query query;
  query.id = get16(wire, 0);
  query.flags = get16(wire, 2);
  std::size_t at = 12;
  while (wire[at] != 0) {
    const auto length = static_cast<std::size_t>(wire[at]);
    if (!query.name.empty()) query.name += '.';
    query.name += wire.substr(at + 1, length);
    at += length + 1;
  }
  query.type = get16(wire, at + 1);
  at += 5;
  query.edns = get16(wire, 10) == 1 && wire[at] == 0 && get16(wire, at + 1) == 41;
  if (query.edns) query.payload = get16(wire, at + 3);
  return query;
}

// The reply skeleton to `query`.
inline Message reply_to(const Query& query) {
  Message message;
  message.id = query.id;
  message.question_name = query.name;
  message.question_type = query.type;
  return message;
}

}  // namespace dns::testing
