// Key records (RFC 6376 §3.6.1, RFC 8301 §3.2, RFC 8463 §4) and the choice among those that DNS gave. A key that may be
// used is written anew as a minimal record ("v=DKIM1; k=rsa; p=..."): libopendkim never sees what was published, whose
// length it cuts at 1,024 octets (libraries.md §1 (b)). Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "auth/dkim_verify_field.hpp"
#include "auth/results.hpp"
#include "dns/answer.hpp"

namespace auth {

inline constexpr std::size_t kMaxKeyRecordOctets = std::size_t{8} * 1024;  // threats DN-12
inline constexpr std::size_t kMaxKeyRecords = 8;                           // of one name; more are not looked at
inline constexpr unsigned kMaxRsaBits = 4096;                              // threats CR-02, RFC 8301 §3.2
inline constexpr unsigned kMaxExponentBits = 64;                           // of those that occur all have at most 33

struct PublicKey {
  std::string record;    // what libopendkim is told
  std::string der;       // RSA: SubjectPublicKeyInfo; Ed25519: the 32 octets
  bool testing = false;  // t=y
};

struct KeyChoice {
  std::vector<PublicKey> usable;
  // When none is usable: temperror or permerror.
  Verdict verdict = Verdict::none;
  std::string reason;
};

// The keys of `answer` that `field` may be verified with.
KeyChoice choose_keys(const dns::Answer& answer, const SignatureField& field, unsigned min_key_bits);

// Whether the signature b= of `field` over `digest` (of the header) was made with `key`. Leaves no OpenSSL error
// behind.
bool is_signed_with(const PublicKey& key, const SignatureField& field, std::string_view digest);

}  // namespace auth
