// ASCII helpers that the standard library lacks. None of them looks at the locale.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace core {

constexpr char to_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
constexpr char to_upper(char c) {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}
constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
constexpr bool is_alpha(char c) {
  return to_lower(c) >= 'a' && to_lower(c) <= 'z';
}
constexpr bool is_alnum(char c) {
  return is_digit(c) || is_alpha(c);
}
constexpr bool is_8bit(char c) {
  return static_cast<unsigned char>(c) >= 0x80;
}

std::string lower(std::string_view text);
bool iequals(std::string_view a, std::string_view b);
bool istarts_with(std::string_view text, std::string_view prefix);
bool iends_with(std::string_view text, std::string_view suffix);
bool has_8bit(std::string_view text);
// Spaces and tabs off both ends.
std::string_view trim(std::string_view text);
std::vector<std::string_view> split(std::string_view text, char separator);

// Decimal digits only, no sign, no overflow.
std::optional<unsigned long long> parse_number(std::string_view text);

// For logs and replies: HT and 0x20-0x7e stay, every other octet becomes '?' (threats UP-01, OP-06).
std::string printable(std::string_view text);

// Valid UTF-8 (RFC 3629: no surrogates, no overlong forms).
bool is_utf8(std::string_view text);

// Glob with '*' (any run) and '?' (one octet), ASCII case-insensitive.
bool glob_match(std::string_view pattern, std::string_view text);

// Two digits an octet, lower case.
std::string hex(std::string_view bytes);
std::string base64_encode(std::string_view bytes);
std::optional<std::string> base64_decode(std::string_view text);  // white space skipped

}  // namespace core
