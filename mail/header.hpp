// A view over the raw header section of a message (RFC 5322 §2.2). Nothing is changed or copied: we prepend fields, or
// leave out whole forged ones. Strict about what is a header, so that relay, DKIM and DMARC see the same (SM-06). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"

namespace mail {

struct HeaderField {
  std::string_view raw;            // with name, folding and final CRLF
  std::string_view name;           // without blanks before the colon
  std::string_view value() const;  // after the colon, folding kept, without the final CRLF
};

inline constexpr std::size_t kMaxHeaderOctets = std::size_t{256} * 1024;  // threats CR-06
inline constexpr std::size_t kMaxHeaderFields = 1000;

class Headers {
 public:
  // `section`: everything up to and including the CRLF that ends the last field, without the empty line. Errors:
  // Errc::malformed (first line folded, line without colon, blank before the colon, 8-bit or control in a name, a line
  // of blanks only inside the section, a bare CR or LF or a NUL, no CRLF at the end); Errc::exhausted above the limits.
  // The view must outlive the object. An empty section has no fields.
  static core::Result<Headers> parse(std::string_view section);

  const std::vector<HeaderField>& fields() const { return fields_; }
  // All fields of that name (ASCII case-insensitive), from the top.
  std::vector<const HeaderField*> all(std::string_view name) const;
  const HeaderField* first(std::string_view name) const;
  std::size_t count(std::string_view name) const;
  // The section that was parsed, with the same octets, is at `section` now.
  void moved_to(std::string_view section);

 private:
  std::vector<HeaderField> fields_;
};

// Finds the end of the header section in octets that arrive in slices.
class HeaderScanner {
 public:
  // The offset just past the empty line that ends the header (start of the body), or nothing yet. A message that starts
  // with an empty line has an empty header: offset 2. Feed the message from its first octet; total octets seen is kept,
  // and once found the offset is given again.
  std::optional<std::uint64_t> feed(std::string_view input);

 private:
  std::uint64_t seen_ = 0;
  std::uint32_t recent_ = 0x0d0a;  // the last octets; the start of a message is the start of a line
  std::optional<std::uint64_t> end_;
};

// Replaces folding by single blanks and trims; for logs and comparisons, not for signing.
std::string unfold(std::string_view value);

// One valid field "Name: text CRLF" folded at blanks to 78 columns where possible, never above 998 octets a line;
// control octets and 8-bit octets that are no UTF-8 become '?' (threats RL-04).
std::string make_field(std::string_view name, std::string_view text);

// Date as RFC 5322 §3.3 in UTC: "Sat, 21 Nov 2026 03:45:33 +0000". Held between 1970 and 9999.
std::string format_date(std::int64_t unix_seconds);

}  // namespace mail
