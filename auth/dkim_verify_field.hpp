// One DKIM-Signature field, read and judged as far as that goes without its key (RFC 6376 §6.1.1). What does not come
// through here never reaches libopendkim, whose own reading of i= and h= cannot be trusted with everything
// (libraries.md §1 (c), (f)). Pure; copies what it keeps.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "auth/canonical.hpp"
#include "auth/results.hpp"
#include "core/clock.hpp"
#include "dns/answer.hpp"

namespace auth {

// An honest field has some 500 to 3,000 octets.
inline constexpr std::size_t kMaxSignatureOctets = std::size_t{16} * 1024;
// libopendkim cuts h= at 4,096 octets and would then verify something else.
inline constexpr std::size_t kMaxSignedNamesOctets = 4000;
inline constexpr std::size_t kMaxIdentityOctets = 200;
// A sender whose clock, or time zone, is wrong.
inline constexpr core::Seconds kFutureTolerance = std::chrono::hours(24);

struct SignatureField {
  enum class Algorithm { unknown, rsa_sha1, rsa_sha256, ed25519_sha256 };

  // Empty when what is written there is none: names are names, i= has no control, a= is one that is known.
  std::string domain, selector, identity, algorithm_name;  // d=, s=, i= as written, a= in lower case
  std::string identity_domain;                             // of i=, else d=; lower case
  std::string b;                                           // base64 without white space
  Algorithm algorithm = Algorithm::unknown;
  Canon body_canon = Canon::simple;
  std::optional<std::uint64_t> length;  // l=
  bool covers_signatures = false;       // h= names DKIM-Signature
  bool covers_results = false;          // h= names Authentication-Results

  // `none`: worth checking. Anything else is the final verdict, and `reason` says why.
  Verdict verdict = Verdict::none;
  std::string reason;
  // Even when it is not worth checking it may be shown to libopendkim, as a field that another signature covers.
  bool harmless = false;

  bool live() const { return verdict == Verdict::none; }
  dns::Question question() const;  // SELECTOR._domainkey.DOMAIN TXT; of live ones only
};

struct FieldRules {
  core::Wall::time_point now;
  bool allow_rsa_sha1 = false;
};

SignatureField read_signature(std::string_view value, const FieldRules& rules);

// A name that may be asked of DNS: letters, digits, hyphens and (in selectors some use them) underscores.
enum class Underscore { no, yes };
bool is_dns_name(std::string_view name, Underscore underscore);

}  // namespace auth
