// What a rule's values may look like (interface.md §2 domain files, §6.27). Used by the configuration reader, which
// knows lines and keys, and by Routes::Builder. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/secret_file.hpp"
#include "mail/address.hpp"
#include "mail/reply.hpp"

namespace policy {

inline constexpr std::size_t kMaxDestinations = 100;  // of one rule, and of one address after expansion (LP-03)
inline constexpr std::size_t kMaxFallbacks = 16;      // of one rule
inline constexpr std::size_t kMaxDepth = 10;          // how often a destination is resolved again (LP-03)
inline constexpr std::size_t kMaxReplyText = 400;     // octets

// The meaning of a local part: without quotes, lower case. Empty when it cannot be one.
std::string plain_local(std::string_view text);

// A destination as it is written; `captures`: how many $1.. the rule's pattern has.
struct Destination {
  mail::Mailbox address;
  bool has_captures = false;
};
core::Explained<Destination> parse_destination(std::string_view text, int captures);

// "550 5.1.6 text": 4xx or 5xx, the enhanced code may be missing, the text not.
core::Explained<mail::Reply> parse_reject_reply(std::string_view text);

// What is wrong with `subaddressing`, `allow_from`; nothing: fine.
std::optional<std::string> separators_problem(std::string_view separators);
std::optional<std::string> sender_glob_problem(std::string_view glob);

// "example.org" or "*.example.org".
bool is_forwarded_name(std::string_view name);

}  // namespace policy
