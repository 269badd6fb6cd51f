// A-labels and U-labels of domain names for comparing (RFC 3492, RFC 5890 §2.3.2.1), as far as forwarder/masking needs
// it: both directions of Punycode, and simple case folding of Latin, Greek and Cyrillic. No mapping tables, no
// judgement about what is a valid name. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace forwarder {

// What follows "xn--"; nothing when it is not Punycode or longer than a label may be.
std::optional<std::u32string> punycode_decode(std::string_view text);
std::optional<std::string> punycode_encode(std::u32string_view text);

std::string to_utf8(std::u32string_view text);

// The lower case of one code point, where that is one code point; the full stops of other scripts become "." (UTS 46
// §2.3).
char32_t fold_case(char32_t c);

}  // namespace forwarder
