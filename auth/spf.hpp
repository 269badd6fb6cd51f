// SPF (RFC 7208) as a pure function: the client and the identities in, a verdict with its explanation out. DNS is what
// a dns::Lookup knows so far: an empty result means that more answers are wanted, and that the evaluator is to be run
// again when they are in; it keeps nothing between the runs. Everything a stranger can lengthen has a limit below
// (threats DN-06, DN-07); how far questions are asked ahead never changes the verdict. Threads: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "auth/results.hpp"
#include "core/ip.hpp"
#include "dns/answer.hpp"
#include "mail/address.hpp"

namespace auth {

inline constexpr unsigned kSpfMaxTerms = 10;         // RFC 7208 §4.6.4: terms that ask, includes' and redirects' too
inline constexpr unsigned kSpfMaxVoids = 2;          // §4.6.4: answers without records
inline constexpr std::size_t kSpfMaxNames = 10;      // §4.6.4: hosts of one MX answer, names of one PTR answer
inline constexpr std::size_t kSpfMaxQuestions = 60;  // DN-06: of one evaluation, those asked ahead included
inline constexpr std::size_t kSpfMaxAhead = 16;      // asked ahead and not (yet) needed; what is needed has the rest
inline constexpr std::size_t kSpfMaxRecord = 16 * 1024;  // octets; a longer record is a permerror
inline constexpr std::size_t kSpfMaxExplanation = 1000;  // octets, before and after expansion

struct SpfInput {
  core::IpAddress client;       // an IPv4-mapped one is IPv4
  std::string helo;             // as the client said it
  mail::ReversePath mail_from;  // need not be valid: what is no domain name has no SPF (none)
  std::string receiver;         // our host name, %{r}
  std::int64_t time = 0;        // Unix seconds, %{t}
  bool explain = true;          // fetch and expand exp=; to be switched off where nobody reads the text (DN-07)
};

// The MAIL FROM identity; HELO's when the path is null (§2.4).
std::optional<SpfResult> evaluate_spf(const SpfInput& input, dns::Lookup& lookup);
// The HELO identity alone (§2.3).
std::optional<SpfResult> evaluate_spf_helo(const SpfInput& input, dns::Lookup& lookup);

// The whole field "Received-SPF: ..." with its CRLF (§9.1). Whatever the client said is quoted and cleansed (RL-04).
std::string received_spf_field(const SpfResult& result, const SpfInput& input, std::string_view receiver);

}  // namespace auth
