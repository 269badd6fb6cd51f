#include "dns/codec.hpp"

// ldns is C, and its headers do not pass our warnings.
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Weverything"
#include <ldns/ldns.h>
#pragma clang diagnostic pop

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>

#include "core/text.hpp"

namespace dns {
namespace {

struct FreePacket {
  void operator()(ldns_pkt* packet) const { ldns_pkt_free(packet); }
};
using Packet = std::unique_ptr<ldns_pkt, FreePacket>;
struct FreeOctets {
  void operator()(std::uint8_t* octets) const { std::free(octets); }
};

constexpr std::size_t kHeader = 12;
constexpr std::size_t kMaxName = 253;
constexpr std::size_t kMaxLabel = 63;

// RFC 2181 §11 lets any octet be in a name. Of those that are no letters, digits or hyphens SPF needs the visible ones
// and the blank; the others have no business in a question of ours, or in a log.
constexpr bool is_name_octet(char c) {
  return c >= ' ' && c <= '~';
}

template <class F>
bool is_name(std::string_view name, F allowed) {
  if (name.empty() || name.size() > kMaxName) return false;
  std::size_t label = 0;
  for (const char c : name) {
    if (c == '.') {
      if (label == 0) return false;
      label = 0;
    } else if (++label > kMaxLabel || !allowed(c)) {
      return false;
    }
  }
  return label > 0;
}

std::string_view octets_of(const ldns_rdf* rdf) {
  return {reinterpret_cast<const char*>(ldns_rdf_data(rdf)), ldns_rdf_size(rdf)};
}

// The name in an uncompressed dname; the root is "". Nothing when a label holds what our textual form cannot.
std::optional<std::string> name_of(const ldns_rdf* rdf) {
  if (rdf == nullptr || ldns_rdf_get_type(rdf) != LDNS_RDF_TYPE_DNAME) return std::nullopt;
  auto wire = octets_of(rdf);
  std::string name;
  while (!wire.empty()) {
    const auto length = static_cast<std::size_t>(static_cast<unsigned char>(wire[0]));
    if (length == 0) return name;
    if (length > kMaxLabel || length >= wire.size()) return std::nullopt;
    const auto label = wire.substr(1, length);
    if (!std::all_of(label.begin(), label.end(), [](char c) { return is_name_octet(c) && c != '.'; })) {
      return std::nullopt;
    }
    if (!name.empty()) name += '.';
    name += core::lower(label);
    wire.remove_prefix(length + 1);
  }
  return std::nullopt;  // no root label
}

std::string wire_name(std::string_view name) {
  std::string wire;
  for (const auto label : core::split(name, '.')) {
    wire += static_cast<char>(label.size());
    wire += label;
  }
  wire += '\0';
  return wire;
}

// RFC 2181 §8: a TTL with the highest bit set is zero.
std::uint32_t ttl_of(const ldns_rr* rr) {
  const std::uint32_t ttl = ldns_rr_ttl(rr);
  return ttl > 0x7fffffff ? 0 : std::min(ttl, kMaxTtl);
}

std::uint32_t number32(const ldns_rdf* rdf) {
  const auto bytes = octets_of(rdf);
  std::uint32_t value = 0;
  for (const char c : bytes.substr(0, 4)) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

// Character-strings joined (RFC 7208 §3.3, RFC 6376 §3.6.2.2).
std::optional<std::string> text_of(const ldns_rr* rr) {
  std::string text;
  for (std::size_t i = 0; i < ldns_rr_rd_count(rr); ++i) {
    const auto part = octets_of(ldns_rr_rdf(rr, i));
    if (part.empty() || static_cast<unsigned char>(part[0]) + std::size_t{1} > part.size()) return std::nullopt;
    text += part.substr(1, static_cast<unsigned char>(part[0]));
  }
  return text;
}

std::optional<core::IpAddress> address_of(const ldns_rr* rr, Type type) {
  if (ldns_rr_rd_count(rr) != 1) return std::nullopt;
  const auto bytes = octets_of(ldns_rr_rdf(rr, 0));
  if (type == Type::a) {
    std::array<std::uint8_t, 4> out{};
    if (bytes.size() != out.size()) return std::nullopt;
    std::copy(bytes.begin(), bytes.end(), out.begin());
    return core::IpAddress::v4(out);
  }
  std::array<std::uint8_t, 16> out{};
  if (bytes.size() != out.size()) return std::nullopt;
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return core::IpAddress::v6(out);
}

std::optional<Mx> mx_of(const ldns_rr* rr) {
  if (ldns_rr_rd_count(rr) != 2 || ldns_rdf_size(ldns_rr_rdf(rr, 0)) != 2) return std::nullopt;
  const auto preference = octets_of(ldns_rr_rdf(rr, 0));
  auto host = name_of(ldns_rr_rdf(rr, 1));
  if (!host || (!host->empty() && !is_host_name(*host))) return std::nullopt;
  return Mx{static_cast<std::uint16_t>(static_cast<unsigned char>(preference[0]) << 8 |
                                       static_cast<unsigned char>(preference[1])),
            std::move(*host)};
}

template <class T>
bool keep(std::vector<T>& list, std::optional<T> value, std::size_t most = kMaxRecords) {
  if (!value) return false;
  if (list.size() < most) list.push_back(std::move(*value));
  return true;
}

// False when the record says nothing that can be used.
bool add_record(Answer& answer, const ldns_rr* rr, Type type) {
  switch (type) {
    case Type::a:
    case Type::aaaa:
      return keep(answer.addresses, address_of(rr, type));
    case Type::mx:
      return keep(answer.mx, mx_of(rr));
    case Type::txt:
      return keep(answer.texts, text_of(rr));
    case Type::cname:
      return keep(answer.names, ldns_rr_rd_count(rr) == 1 ? name_of(ldns_rr_rdf(rr, 0)) : std::nullopt);
    case Type::ptr: {
      auto name = ldns_rr_rd_count(rr) == 1 ? name_of(ldns_rr_rdf(rr, 0)) : std::nullopt;
      if (name && !is_host_name(*name)) name.reset();
      return keep(answer.names, std::move(name), kMaxPtrNames);
    }
    case Type::tlsa: {
      std::string raw;
      for (std::size_t i = 0; i < ldns_rr_rd_count(rr); ++i) raw += octets_of(ldns_rr_rdf(rr, i));
      return keep(answer.raw, std::optional(std::move(raw)));
    }
  }
  return false;
}

bool is_record(const ldns_rr* rr, unsigned type, const std::string& owner) {
  return static_cast<unsigned>(ldns_rr_get_type(rr)) == type && ldns_rr_get_class(rr) == LDNS_RR_CLASS_IN &&
         name_of(ldns_rr_owner(rr)) == owner;
}

const ldns_rr* find_record(const ldns_rr_list* list, unsigned type, const std::string& owner) {
  for (std::size_t i = 0; i < ldns_rr_list_rr_count(list); ++i) {
    const ldns_rr* rr = ldns_rr_list_rr(list, i);
    if (is_record(rr, type, owner)) return rr;
  }
  return nullptr;
}

// All records of `type` at `owner`; how many there were, usable or not.
std::size_t collect(Answer& answer, const ldns_rr_list* list, Type type, const std::string& owner) {
  std::size_t found = 0;
  std::size_t usable = 0;
  for (std::size_t i = 0; i < ldns_rr_list_rr_count(list) && usable < kMaxRecords; ++i) {
    const ldns_rr* rr = ldns_rr_list_rr(list, i);
    if (!is_record(rr, static_cast<unsigned>(type), owner)) continue;
    ++found;
    answer.ttl = std::min(answer.ttl, ttl_of(rr));
    if (add_record(answer, rr, type)) ++usable;
  }
  if (found > 0) {
    // Records that cannot be used are no proof that there are none.
    answer.status = usable > 0 ? Status::ok : Status::failure;
    if (usable == 0) answer.error = "no usable record";
  }
  return found;
}

struct Authority {
  bool soa = false;
  bool referral = false;
  std::uint32_t ttl = 0;  // RFC 2308 §5: the smaller of the SOA's own TTL and its MINIMUM
};

Authority authority_of(const ldns_pkt* packet) {
  Authority found;
  const ldns_rr_list* list = ldns_pkt_authority(packet);
  for (std::size_t i = 0; i < ldns_rr_list_rr_count(list); ++i) {
    const ldns_rr* rr = ldns_rr_list_rr(list, i);
    if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_NS) found.referral = true;
    if (ldns_rr_get_type(rr) != LDNS_RR_TYPE_SOA || ldns_rr_rd_count(rr) != 7) continue;
    found.soa = true;
    found.ttl = std::min({ttl_of(rr), number32(ldns_rr_rdf(rr, 6)), kMaxNegativeTtl});
  }
  if (found.soa || ldns_pkt_aa(packet)) found.referral = false;
  return found;
}

std::string rcode_name(unsigned rcode) {
  switch (rcode) {
    case LDNS_RCODE_SERVFAIL:
      return "SERVFAIL";
    case LDNS_RCODE_REFUSED:
      return "REFUSED";
    case LDNS_RCODE_FORMERR:
      return "FORMERR";
    case LDNS_RCODE_NOTIMPL:
      return "NOTIMP";
    default:
      return "RCODE " + std::to_string(rcode);
  }
}

Response failed(std::string error) {
  Response response;
  response.kind = Response::Kind::answer;
  response.answer.error = std::move(error);
  return response;
}

bool asks(const ldns_pkt* packet, const Question& question) {
  const ldns_rr_list* questions = ldns_pkt_question(packet);
  return ldns_rr_list_rr_count(questions) == 1 &&
         is_record(ldns_rr_list_rr(questions, 0), static_cast<unsigned>(question.type), question.name);
}

// NOERROR or NXDOMAIN, for our question.
Response interpret(const ldns_pkt* packet, const Question& question, unsigned cnames_left) {
  const ldns_rr_list* list = ldns_pkt_answer(packet);
  const bool nx_domain = ldns_pkt_get_rcode(packet) == LDNS_RCODE_NXDOMAIN;
  Response response;
  response.kind = Response::Kind::answer;
  Answer& answer = response.answer;
  answer.authenticated = ldns_pkt_ad(packet);
  answer.ttl = kMaxTtl;
  std::string owner = question.name;
  for (;;) {
    if (collect(answer, list, question.type, owner) > 0) {
      return nx_domain ? failed("records with NXDOMAIN") : std::move(response);
    }
    const ldns_rr* cname = find_record(list, LDNS_RR_TYPE_CNAME, owner);
    if (cname == nullptr) break;
    if (++response.cnames > cnames_left) return failed("too many CNAMEs");
    auto target = ldns_rr_rd_count(cname) == 1 ? name_of(ldns_rr_rdf(cname, 0)) : std::nullopt;
    if (!target || !is_query_name(*target)) return failed("unusable CNAME");
    answer.ttl = std::min(answer.ttl, ttl_of(cname));
    owner = answer.canonical = std::move(*target);
  }
  const auto authority = authority_of(packet);
  if (nx_domain) {  // RFC 2308 §2.1: of the last name of the chain
    answer.status = Status::nx_domain;
  } else if (response.cnames > 0 && !authority.soa) {
    response.kind = Response::Kind::follow;
    response.next = std::move(owner);
    return response;
  } else if (authority.referral) {
    return failed("referral: the server does not recurse");
  } else {
    answer.status = Status::no_data;
  }
  answer.ttl = std::min(answer.ttl, authority.ttl);
  return response;
}

}  // namespace

std::string normal_name(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  return core::lower(name);
}

bool is_query_name(std::string_view name) {
  return is_name(name, is_name_octet);
}

bool is_host_name(std::string_view name) {
  return is_name(name, [](char c) { return core::is_alnum(c) || c == '-' || c == '_'; });
}

std::string encode_query(const Question& question, std::uint16_t id, Edns edns) {
  if (!is_query_name(question.name)) return {};
  const std::string name = wire_name(question.name);
  ldns_rdf* const owner = ldns_dname_new_frm_data(static_cast<std::uint16_t>(name.size()), name.data());
  if (owner == nullptr) return {};
  const Packet packet(ldns_pkt_query_new(owner, static_cast<ldns_rr_type>(question.type), LDNS_RR_CLASS_IN,
                                         LDNS_RD | LDNS_AD));  // owns `owner` now
  if (!packet) {
    ldns_rdf_deep_free(owner);
    return {};
  }
  ldns_pkt_set_id(packet.get(), id);
  if (edns == Edns::yes) ldns_pkt_set_edns_udp_size(packet.get(), kUdpPayload);
  std::uint8_t* octets = nullptr;
  std::size_t size = 0;
  const auto status = ldns_pkt2wire(&octets, packet.get(), &size);
  const std::unique_ptr<std::uint8_t, FreeOctets> owned(octets);
  if (status != LDNS_STATUS_OK) return {};
  return {reinterpret_cast<const char*>(octets), size};
}

Response decode_response(std::string_view octets, const Question& question, std::uint16_t id, unsigned cnames_left) {
  Response response;
  response.kind = Response::Kind::foreign;
  if (octets.size() < kHeader) return response;
  const auto* const data = reinterpret_cast<const std::uint8_t*>(octets.data());
  // Before any parser sees it: the id, QR set, opcode QUERY.
  if ((data[0] << 8 | data[1]) != id || (data[2] & 0xf8) != 0x80) return response;
  ldns_pkt* parsed = nullptr;
  const auto status = ldns_wire2pkt(&parsed, data, octets.size());
  const Packet packet(parsed);
  if (status != LDNS_STATUS_OK || !packet) {
    response.kind = Response::Kind::malformed;
    response.answer.error = "malformed response";
    return response;
  }
  const auto rcode = static_cast<unsigned>(ldns_pkt_get_rcode(packet.get()));
  const bool refuses_form = rcode == LDNS_RCODE_FORMERR || rcode == LDNS_RCODE_NOTIMPL;
  if (!asks(packet.get(), question)) {
    // A server that could not read the query repeats no question (RFC 1035 §4.1.1: format error).
    if (!refuses_form || ldns_pkt_qdcount(packet.get()) != 0) return response;
  }
  if (refuses_form) {
    response = failed(rcode_name(rcode));
    response.kind = Response::Kind::no_edns;
    return response;
  }
  if (ldns_pkt_tc(packet.get())) {
    response.kind = Response::Kind::truncated;
    response.answer.error = "truncated";
    return response;
  }
  if (rcode != LDNS_RCODE_NOERROR && rcode != LDNS_RCODE_NXDOMAIN) return failed(rcode_name(rcode));
  return interpret(packet.get(), question, cnames_left);
}

}  // namespace dns
