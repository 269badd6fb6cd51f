// DNS block lists (RFC 5782): what to ask, what answers mean, and whether a list can be believed at all. Pure functions
// of DNS answers; forwarder/blocklists does the asking.
//
// A zone's name may hold a customer's key, so it is a secret: nothing here or above prints it, `name` stands for it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/ip.hpp"
#include "dns/answer.hpp"

namespace policy {

struct DnsblZone {
  enum class Kind { ip, domain } kind = Kind::ip;
  struct Range {  // IPv4, both included
    core::IpAddress first, last;
  };
  std::string name;
  std::string zone;           // secret
  std::vector<Range> listed;  // answers that mean listed; none: all but those that mean trouble
  int weight = 1;             // negative: an allow-list
};

// "127.0.0.2" or "127.0.0.2-127.0.0.11", both IPv4 and in order. Nothing: neither.
std::optional<DnsblZone::Range> parse_answer_range(std::string_view text);

// The question about a client: its octets, or nibbles, in reverse (RFC 5782 §2.1, §2.4).
dns::Question question_about(const DnsblZone& zone, const core::IpAddress& client);
// The question about a domain name (§3). Nothing: it is none that can be asked about (a literal, a single label, too
// long together with the zone).
std::optional<dns::Question> question_about(const DnsblZone& zone, std::string_view domain);

enum class Listing {
  no,
  yes,
  silent,  // DNS gave no answer
  wrong,   // an answer that no list gives about a client: 127.255.255.0/24, 127.0.0.1, or outside of 127.0.0.0/8
};
Listing judge_listing(const DnsblZone& zone, const dns::Answer& answer);

// RFC 5782 §5: of addresses 127.0.0.2 is listed and 127.0.0.1 is not (or ::ffff:7f00:2 and :1 on a list of IPv6 alone),
// of names TEST is listed and INVALID is not.
std::vector<dns::Question> self_test_questions(const DnsblZone& zone);
// `answers` to these, in order. What is wrong with the zone, in words that name no zone; "": it works.
std::string self_test_problem(const DnsblZone& zone, std::span<const dns::Answer> answers);

}  // namespace policy
