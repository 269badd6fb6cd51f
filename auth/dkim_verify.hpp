// DKIM verification (RFC 6376, RFC 8301, RFC 8463) by libopendkim, which sees only what we have read and judged first:
// the fields of at most eight signatures, keys that we wrote anew, and a private field ahead of all others (why:
// libraries.md §1 (f)). The body is taken as it arrives; nothing is copied; keys are asked for while it does. Pure: no
// I/O, DNS is answers.
//
// One result a DKIM-Signature field, from the top, in the words of RFC 8601 §2.7.1:
//   none       the message has no signature (one result, all else empty)
//   pass       libopendkim passed signature and body hash, with a key and an algorithm that RFC 8301 accepts
//   fail       the signature, or the hash of the body, is wrong
//   neutral    the field is malformed (RFC 6376 §6.1.1), uses what nobody knows (v=, a=, c=, q=), or was not looked at
//              because there are too many
//   temperror  DNS did not answer for the key, or we have no memory
//   permerror  no key, revoked, a record that is no key or longer than 8 kB, a key below 1,024 or above 4,096 bits, not
//              for this type, hash or service, t=s with i= in a subdomain; rsa-sha1; expired; from the future; From not
//              signed; i= outside d=; l= above the body; the author of the message cannot be read
//
// Never "policy", which RFC 8601 has for signatures that this receiver does not like: rsa-sha1 and short keys are
// refused by the protocol itself. RFC 8301 §3.1 says that the former "have permanently failed evaluation" (RFC 6376
// §3.9: PERMFAIL), §3.2 that the latter are no valid signatures, and threats CR-02 wants permerror for both ends.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "auth/results.hpp"
#include "core/clock.hpp"
#include "dns/answer.hpp"
#include "mail/header.hpp"

namespace auth {

inline constexpr std::size_t kMaxDkimSignatures = 8;  // threats CR-01
inline constexpr unsigned kMinDkimKeyBits = 1024;     // RFC 8301 §3.2

// One for the program, made at the start; safe from several threads, as long as it outlives its verifiers.
class DkimLibrary {
 public:
  // libopendkim reads the system's clock. To verify as at another time (within a day of `clock`), say so here too.
  explicit DkimLibrary(core::Wall::time_point clock = core::Wall::now());
  ~DkimLibrary();
  DkimLibrary(const DkimLibrary&) = delete;
  DkimLibrary& operator=(const DkimLibrary&) = delete;

 private:
  friend class DkimVerifier;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

struct DkimSettings {
  core::Wall::time_point now = core::Wall::now();
  std::size_t max_signatures = kMaxDkimSignatures;
  unsigned min_key_bits = kMinDkimKeyBits;
  bool allow_rsa_sha1 = false;  // tests only: old suites sign with it
};

// For one message: headers(), body() as often as needed, finish().
class DkimVerifier {
 public:
  DkimVerifier(DkimLibrary& library, const DkimSettings& settings);
  DkimVerifier(DkimVerifier&&) noexcept;
  DkimVerifier& operator=(DkimVerifier&&) noexcept;
  ~DkimVerifier();

  // Once. Copies what is needed. Signatures aligned with the author come first when there are too many.
  void headers(const mail::Headers& headers);
  // Any slices, with CRLF line ends.
  void body(std::string_view slice);
  // After headers(): the TXT records that finish() will want, each once.
  std::vector<dns::Question> keys() const;
  // Nothing: answers are missing, and `lookup` now wants them. Once it gives results, it is done.
  std::optional<std::vector<DkimResult>> finish(dns::Lookup& lookup);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace auth
