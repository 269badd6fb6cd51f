// The Authentication-Results field (RFC 8601): the one we write from our verdicts, and a reader for those of others, of
// which ones with our name are forged and must go (threats RL-04, RL-07). Every value we write is a token or a quoted
// string, so that nothing a peer said can end a value or add a result. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "auth/results.hpp"
#include "core/error.hpp"

namespace auth {

inline constexpr std::size_t kMaxReportedValue = 255;      // octets of one value
inline constexpr std::size_t kMaxReportedSignatures = 20;  // DKIM results in one field
inline constexpr std::size_t kMaxParsedResults = 100;

// "Authentication-Results: HOST; spf=...; dkim=...; dmarc=...; arc=..." folded, with its final CRLF. arc= only when
// there was a chain.
std::string make_authentication_results(std::string_view host, const Results& results);
// What stands after the colon, unfolded: "HOST; spf=...", for ARC-Authentication-Results ("i=1; " is put before it).
std::string authentication_results_text(std::string_view host, const Results& results);

struct ResultProperty {
  std::string type, name, value;  // "header" "d" "example.com"; type is "" for what some add without one
  friend bool operator==(const ResultProperty&, const ResultProperty&) = default;
};

struct MethodResult {
  std::string method, result;  // lower case
  std::string reason;
  std::vector<ResultProperty> properties;
};

struct AuthenticationResults {
  std::string authserv_id;
  std::vector<MethodResult> results;  // none: "; none"
};

// `value`: after the colon, folded or not. Liberal where senders are: unknown methods and result words, properties
// without a type, a final ";". Errors: Errc::malformed, Errc::exhausted above kMaxParsedResults.
core::Result<AuthenticationResults> parse_authentication_results(std::string_view value);

// Whether the field claims to be by `host` (case-insensitive). More liberal than the parser, because a reader further
// on may be: the rest of the field is not looked at.
bool claims_authserv_id(std::string_view value, std::string_view host);

}  // namespace auth
