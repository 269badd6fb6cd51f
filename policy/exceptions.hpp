// [[policy.exceptions]]: whom the operator lets past which checks, by client network, by domain or by address
// (interface.md §2). A domain means exactly that domain, as the envelope sender's or as an author's. Pure; immutable
// after construction.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/ip.hpp"
#include "mail/address.hpp"

namespace policy {

enum class Check : std::uint8_t {
  access,
  dnsbl,
  spf,
  dmarc,
  require_auth,
  forecast,
  rdns,
  helo,
  sender_domain,
  early_talker,
  rate,
  greylist,
};
// "require-auth" and so on, as `skip` has them.
std::string_view to_string(Check check);
std::optional<Check> parse_check(std::string_view name);
std::vector<std::string_view> check_names();

// A set of checks.
class Checks {
 public:
  Checks() = default;
  void add(Check check) { bits_ |= bit(check); }
  void add(Checks other) { bits_ |= other.bits_; }
  bool has(Check check) const { return (bits_ & bit(check)) != 0; }
  bool empty() const { return bits_ == 0; }
  friend bool operator==(Checks, Checks) = default;

 private:
  static std::uint32_t bit(Check check) { return 1U << static_cast<unsigned>(check); }
  std::uint32_t bits_ = 0;
};

struct Exception {
  // A network of clients, a domain (lower case, A-labels), or one address.
  std::variant<core::Prefix, std::string, mail::Mailbox> match;
  Checks skip;
  std::string why;
};
// "192.0.2.0/24", "192.0.2.1", "example.org", "ann@example.org"; nothing: none of these.
std::optional<decltype(Exception::match)> parse_exception_match(std::string_view text);

// Who is to be checked. What is not known yet is empty.
struct Party {
  core::IpAddress client;
  const mail::ReversePath* sender = nullptr;
  std::span<const std::string> author_domains;  // lower case, A-labels
};
// All that is skipped for this party.
Checks skipped_checks(std::span<const Exception> exceptions, const Party& party);

}  // namespace policy
