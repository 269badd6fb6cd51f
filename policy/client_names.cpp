#include "policy/client_names.hpp"

#include <algorithm>

#include "core/text.hpp"
#include "mail/address.hpp"

namespace policy {
namespace {

using dns::Status;
using dns::Type;

std::string_view without_dot(std::string_view name) {
  return name.ends_with('.') ? name.substr(0, name.size() - 1) : name;
}

// The address in "[192.0.2.1]" or "[IPv6:2001:db8::1]".
std::optional<core::IpAddress> address_in(std::string_view literal) {
  if (literal.size() < 2 || !literal.starts_with('[') || !literal.ends_with(']')) return std::nullopt;
  literal = literal.substr(1, literal.size() - 2);
  const bool six = core::istarts_with(literal, "IPv6:");
  const auto ip = core::IpAddress::parse(six ? literal.substr(5) : literal);
  if (!ip || ip->is_v6() != six) return std::nullopt;
  return ip;
}

// RFC 5321 §2.3.5: fully qualified. A name whose last label is a number is an address that lost its brackets.
bool is_full_name(std::string_view name) {
  name = without_dot(name);
  const auto dot = name.rfind('.');
  if (dot == std::string_view::npos || !mail::is_domain(name)) return false;
  return !std::ranges::all_of(name.substr(dot + 1), core::is_digit);
}

}  // namespace

std::string_view to_string(ReverseResult::State state) {
  switch (state) {
    case ReverseResult::State::confirmed:
      return "pass";
    case ReverseResult::State::missing:
      return "missing";
    case ReverseResult::State::unconfirmed:
      return "unconfirmed";
    case ReverseResult::State::unknown:
      break;
  }
  return "unknown";
}

std::optional<ReverseResult> evaluate_reverse(const core::IpAddress& client, dns::Lookup& lookup) {
  const auto ip = client.unmapped();
  const auto* pointers =
      lookup.ask({ip.to_reversed_labels() + (ip.is_v6() ? ".ip6.arpa" : ".in-addr.arpa"), Type::ptr});
  if (pointers == nullptr) return std::nullopt;
  ReverseResult result;
  if (pointers->status == Status::failure) return result;
  for (const auto& name : pointers->names) {
    if (result.names.size() < kMaxPtrNames) result.names.push_back(name);
  }
  if (result.names.empty()) {
    result.state = ReverseResult::State::missing;
    return result;
  }
  bool waiting = false, failed = false;
  for (const auto& name : result.names) {
    const auto* forward = lookup.ask({name, ip.is_v6() ? Type::aaaa : Type::a});
    if (forward == nullptr) {
      waiting = true;
      continue;
    }
    failed = failed || forward->status == Status::failure;
    if (std::ranges::find(forward->addresses, ip) == forward->addresses.end()) continue;
    result.state = ReverseResult::State::confirmed;
    result.name = name;
    return result;
  }
  if (waiting) return std::nullopt;
  if (!failed) result.state = ReverseResult::State::unconfirmed;
  return result;
}

bool is_own_name(std::string_view helo, const ReverseResult& reverse, const core::IpAddress& client) {
  if (const auto literal = address_in(helo)) return literal->unmapped() == client.unmapped();
  helo = without_dot(helo);
  return std::ranges::any_of(reverse.names, [&](const std::string& name) { return core::iequals(name, helo); });
}

std::string_view to_string(HeloResult result) {
  switch (result) {
    case HeloResult::fine:
      return "pass";
    case HeloResult::literal:
      return "literal";
    case HeloResult::malformed:
      return "malformed";
    case HeloResult::unresolvable:
      return "unresolvable";
    case HeloResult::unknown:
      break;
  }
  return "unknown";
}

std::optional<HeloResult> evaluate_helo(std::string_view helo, dns::Lookup& lookup) {
  if (mail::is_address_literal(helo)) return HeloResult::literal;
  if (!is_full_name(helo)) return HeloResult::malformed;
  const auto name = core::lower(without_dot(helo));
  bool waiting = false, failed = false;
  for (const auto type : {Type::a, Type::aaaa, Type::mx}) {
    const auto* answer = lookup.ask({name, type});
    waiting = waiting || answer == nullptr;
    if (answer == nullptr) continue;
    if (answer->status == Status::ok) return HeloResult::fine;
    failed = failed || answer->status == Status::failure;
  }
  if (waiting) return std::nullopt;
  return failed ? HeloResult::unknown : HeloResult::unresolvable;
}

std::string_view to_string(SenderDomain result) {
  switch (result) {
    case SenderDomain::fine:
      return "pass";
    case SenderDomain::nowhere:
      return "nowhere";
    case SenderDomain::null_mx:
      return "null-mx";
    case SenderDomain::bad_literal:
      return "bad-literal";
    case SenderDomain::unknown:
      break;
  }
  return "unknown";
}

std::optional<SenderDomain> evaluate_sender_domain(std::string_view domain, dns::Lookup& lookup) {
  if (domain.starts_with('[')) {
    const auto ip = address_in(domain);
    return ip && !ip->is_private() ? SenderDomain::fine : SenderDomain::bad_literal;
  }
  const auto name = core::lower(without_dot(domain));
  const auto* mx = lookup.ask({name, Type::mx});
  const auto* four = lookup.ask({name, Type::a});
  const auto* six = lookup.ask({name, Type::aaaa});
  if (mx == nullptr) return std::nullopt;  // it alone can say that no mail is taken
  if (mx->status == Status::ok) {
    const bool null = std::ranges::all_of(mx->mx, [](const dns::Mx& one) { return one.host.empty(); });
    return null ? SenderDomain::null_mx : SenderDomain::fine;
  }
  for (const auto* addresses : {four, six}) {
    if (addresses != nullptr && addresses->status == Status::ok) return SenderDomain::fine;
  }
  if (mx->status == Status::nx_domain) return SenderDomain::nowhere;  // no name, no records of any type (RFC 8020)
  if (four == nullptr || six == nullptr) return std::nullopt;
  const bool failed =
      mx->status == Status::failure || four->status == Status::failure || six->status == Status::failure;
  return failed ? SenderDomain::unknown : SenderDomain::nowhere;
}

}  // namespace policy
