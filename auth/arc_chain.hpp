// The ARC sets of a message, told apart and judged as far as that goes without keys (RFC 8617 §4.1, §4.2, §5.2). For
// the verifier and the sealer. Pure; views into the header section, which must outlive it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/canonical.hpp"
#include "auth/dkim_verify_field.hpp"
#include "mail/header.hpp"

namespace auth {

struct ArcCanon {
  Canon header = Canon::relaxed, body = Canon::relaxed;
};

// ARC-Message-Signature (§4.1.2): a DKIM-Signature but for i= and v=.
struct ArcMessageSignature {
  SignatureField key;            // d=, s=, a=, b=
  std::string body_hash;         // bh= decoded
  std::string names;             // h= without white space
  std::vector<ArcCanon> canons;  // what c= may mean; any of them will do
  std::optional<std::uint64_t> length, expires;
};

enum class ArcStatus { none, pass, fail };

// ARC-Seal (§4.1.3).
struct ArcSeal {
  SignatureField key;
  std::optional<ArcStatus> cv;  // empty: absent, or no such word
};

struct ArcSet {
  const mail::HeaderField* results_field = nullptr;
  const mail::HeaderField* signature_field = nullptr;
  const mail::HeaderField* seal_field = nullptr;
  ArcMessageSignature signature;
  ArcSeal seal;
};

struct ArcChain {
  static ArcChain parse(const mail::Headers& headers);

  bool present = false;      // there is an ARC field
  std::vector<ArcSet> sets;  // i=1 first; empty when they cannot be told apart
  std::string problem;       // why the chain has failed already, "" when only the signatures are to be checked

  // Another set may follow: the sets are known, fewer than fifty, and none says cv=fail.
  bool may_grow() const;
};

// The field without the value of its b= tag and without its final CRLF, as it is signed (RFC 6376 §3.7). `field` must
// be a tag list with b=.
std::string without_signature(const mail::HeaderField& field);

}  // namespace auth
