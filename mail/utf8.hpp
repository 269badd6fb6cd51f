// One code point at a time, for the few places of the grammar that must look inside UTF-8 (RFC 3629, RFC 6531): what an
// address may hold, and what a header field of ours may show. Pure.
#pragma once

#include <cstddef>
#include <string_view>

namespace mail {

// length 0: the text starts with no valid sequence (or is empty).
struct CodePoint {
  char32_t value = 0;
  std::size_t length = 0;
};

// The code point at the start of `text`.
CodePoint first_code_point(std::string_view text);

// C0, DEL, C1, and the line and paragraph separators: never part of an address or of a field we write.
constexpr bool is_control(char32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029;
}

// Valid UTF-8 without any control (see above).
bool is_plain_utf8(std::string_view text);

}  // namespace mail
