// Domain names as SPF sees them: any visible octets (macros put local parts into names), dots between labels of 1 to 63
// octets, 253 in all. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace auth {

inline constexpr std::size_t kMaxDnsName = 253;

// Can be asked for: labels of 1 to 63 octets between blank and tilde, no trailing dot. RFC 7208 §4.3.
bool is_dns_name(std::string_view name);

// The identity's domain in the form DNS wants: A-labels for U-labels (RFC 8616 §4), without a trailing dot, case kept.
// Nothing: not a domain name (§4.3), an address literal, or octets that are no U-label. A label is taken as it is,
// without mapping: what is not already in the form of RFC 5890 §2.3.2.1 ends as a name nobody can register.
std::optional<std::string> spf_domain(std::string_view domain);

}  // namespace auth
