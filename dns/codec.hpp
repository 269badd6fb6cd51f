// DNS messages as octets: makes queries, and turns what came back into an Answer. Pure: no sockets, no clock, no state.
// Every octet of a response is a stranger's: names, counts and lengths are checked here, and nothing of ldns leaves
// dns/codec.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "dns/answer.hpp"

namespace dns {

inline constexpr std::uint16_t kUdpPayload = 1232;     // EDNS0: fits every path unfragmented
inline constexpr unsigned kMaxCnames = 8;              // DN-03
inline constexpr std::size_t kMaxRecords = 100;        // kept of an answer
inline constexpr std::size_t kMaxPtrNames = 10;        // DN-11
inline constexpr std::uint32_t kMaxTtl = 86'400;       // seconds
inline constexpr std::uint32_t kMaxNegativeTtl = 900;  // seconds; RFC 2308 §5 allows hours, a new MX should not wait

// Lower case, without trailing dot.
std::string normal_name(std::string_view name);
// Something to ask for: labels of 1 to 63 octets between blank and tilde, at most 253 in all. Wider than a host name
// because SPF macros put local parts into names, and "%_" a blank (RFC 7208 §7.1).
bool is_query_name(std::string_view name);
// What an MX or PTR may point to: letters, digits, hyphens and underscores.
bool is_host_name(std::string_view name);

enum class Edns { yes, no };

// RD, EDNS0, and AD, which asks for the AD bit in the answer (RFC 6840 §5.7) without the signatures that DO would
// bring: whoever trusts the bit trusts the resolver, and does not check signatures again. Empty: the name is not fit to
// ask.
std::string encode_query(const Question& question, std::uint16_t id, Edns edns = Edns::yes);

struct Response {
  enum class Kind {
    answer,     // `answer` is final; Status::failure when the server said so or its records contradict themselves
    foreign,    // not the response to this query (id, question, opcode): ignore it, wait on (RFC 5452 §9.1)
    malformed,  // ours, but cannot be parsed: ask another server
    truncated,  // ask again by TCP
    follow,     // a CNAME to `next`, whose records the server did not add
    no_edns,    // FORMERR or NOTIMP: the server may not know EDNS0
  };
  Kind kind = Kind::malformed;
  Answer answer;        // with `follow`: its ttl and AD bit so far
  std::string next;     // for `follow`
  unsigned cnames = 0;  // how many were followed inside
};

// `cnames_left`: how many CNAMEs may still be followed; one more is a failure.
Response decode_response(std::string_view octets, const Question& question, std::uint16_t id,
                         unsigned cnames_left = kMaxCnames);

}  // namespace dns
