// SPF macro strings (RFC 7208 §7): their grammar and their expansion. Pure; the only thing that needs DNS, %{p}, comes
// in as a value. An expansion is as long as its text and its values allow: callers bound both.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/ip.hpp"

namespace auth {

// Where a macro string stands: in a text that people read %{c}, %{r}, %{t} and blanks are allowed too (§7.2).
enum class MacroUse { domain, any_letter, text };

// One step of a macro string: literal octets, or one %{...}.
struct MacroItem {
  std::string_view literal;  // when letter is 0
  char letter = 0;           // lower case
  bool url_escape = false;   // written in upper case
  bool reverse = false;
  bool expansion = false;       // written with '%'
  std::size_t parts = 0;        // right-hand parts to keep, 0 all
  std::string_view delimiters;  // "" is "."
};

// Takes the next item off `rest` (not empty). Nothing: a syntax error.
std::optional<MacroItem> next_macro_item(std::string_view& rest, MacroUse use);

bool is_macro_string(std::string_view text, MacroUse use);
// §7.1: ends in a top label or an expansion.
bool is_domain_spec(std::string_view text);
// Does a valid `text` use %{letter}?
bool uses_macro(std::string_view text, char letter);

struct MacroValues {
  core::IpAddress client;
  std::string local, sender_domain;  // %{l}, %{o}; %{s} is both
  std::string domain;                // %{d}
  std::string helo;                  // %{h}
  std::string receiver;              // %{r}
  std::string validated;             // %{p}
  std::int64_t time = 0;             // %{t}
};

// `text` must be a valid macro string for `use`.
std::string expand_macros(std::string_view text, const MacroValues& values, MacroUse use);
// Expands a domain-spec to a name: no trailing dot, labels off the left until it has 253 octets (§7.3). It need not be
// a name that can be asked for (is_dns_name).
std::string expand_domain(std::string_view text, const MacroValues& values);

// "4.3.2.1" or nibbles, as %{ir} gives them, with "in-addr.arpa" or "ip6.arpa": the PTR question's name.
std::string reverse_name(const core::IpAddress& client);

}  // namespace auth
