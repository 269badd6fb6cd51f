// What DNS says of a client's names and of a sender's domain: the PTR record and whether it leads back (RFC 8601
// §2.7.3), the HELO name, and whether mail can be sent to the envelope sender's domain at all (RFC 5321 §5.1, RFC
// 7505). Pure functions over DNS answers, for dns::settle: an empty optional asks for more of them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/ip.hpp"
#include "dns/answer.hpp"

namespace policy {

inline constexpr std::size_t kMaxPtrNames = 10;  // of an address; the rest is not looked at (threats DN-11)

struct ReverseResult {
  enum class State {
    confirmed,    // a PTR name leads back
    missing,      // no PTR record
    unconfirmed,  // PTR names, and none of them leads back
    unknown,      // DNS did not answer
  } state = State::unknown;
  std::string name;                // the confirmed one
  std::vector<std::string> names;  // all of them, as far as they are host names
};
std::optional<ReverseResult> evaluate_reverse(const core::IpAddress& client, dns::Lookup& lookup);
std::string_view to_string(ReverseResult::State state);
// Is the HELO name one of the PTR names? An address literal is when it is the client's own.
bool is_own_name(std::string_view helo, const ReverseResult& reverse, const core::IpAddress& client);

enum class HeloResult {
  fine,
  literal,       // an address literal: nothing to look up
  malformed,     // neither a full name nor a literal
  unresolvable,  // no A, AAAA or MX record
  unknown,       // DNS did not answer
};
std::optional<HeloResult> evaluate_helo(std::string_view helo, dns::Lookup& lookup);
std::string_view to_string(HeloResult result);

enum class SenderDomain {
  fine,
  nowhere,      // does not exist, or has no MX, A or AAAA record
  null_mx,      // takes no mail (RFC 7505)
  bad_literal,  // an address literal of no public host
  unknown,      // DNS did not answer
};
// `domain`: in A-labels, or an address literal.
std::optional<SenderDomain> evaluate_sender_domain(std::string_view domain, dns::Lookup& lookup);
std::string_view to_string(SenderDomain result);

}  // namespace policy
