// What A-labels and U-labels of domain names are compared by (RFC 3492, RFC 5890 §2.3.2.1): both directions of
// Punycode, and simple case folding of Latin, Greek and Cyrillic. No mapping tables, no judgement about what is a valid
// name: who asks knows which code points it lets in. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mail {

// What follows "xn--" (RFC 3492 §6.2, §6.3). Nothing: not Punycode, or longer than the 63 octets of a label. Case is
// kept.
std::optional<std::u32string> punycode_decode(std::string_view text);
std::optional<std::string> punycode_encode(std::u32string_view text);

std::string to_utf8(std::u32string_view text);

// The lower case of one code point, where that is one code point; the full stops of other scripts become "." (UTS 46
// §2.3).
char32_t fold_case(char32_t c);

}  // namespace mail
