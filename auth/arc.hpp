// ARC (RFC 8617): the chain of a message verified while it arrives, and our own set put on top of it. Both on our own
// canonicaliser and OpenSSL; key records are read as for DKIM. Pure: no I/O, DNS is answers.
//
// The verdict is none, pass or fail. RFC 8617 §5.2.1 knows no temporary errors: a key that DNS does not give is a fail,
// whose reason has "DNS:" in it. Only rsa-sha256 is an algorithm of ARC here (§4.1.2, §4.1.3: everybody else says fail
// to anything newer). Beyond the RFC, a newest ARC-Message-Signature that has expired (x=), or whose l= leaves part of
// the body uncovered, is a fail as well (threats CR-03).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/canonical.hpp"
#include "auth/results.hpp"
#include "auth/signing_key.hpp"
#include "core/clock.hpp"
#include "core/error.hpp"
#include "dns/answer.hpp"
#include "mail/header.hpp"

namespace auth {

inline constexpr unsigned kMaxArcSets = 50;       // RFC 8617 §4.2.1, threats CR-05
inline constexpr unsigned kMinArcKeyBits = 1024;  // RFC 8301 §3.2

// For one message: headers(), body() as often as needed, finish().
class ArcVerifier {
 public:
  explicit ArcVerifier(core::Wall::time_point now);
  ArcVerifier(ArcVerifier&&) noexcept;
  ArcVerifier& operator=(ArcVerifier&&) noexcept;
  ~ArcVerifier();

  // Once. Copies what is needed.
  void headers(const mail::Headers& headers);
  // Any slices, with CRLF line ends. Costs nothing when there is no chain, or one that has failed already.
  void body(std::string_view slice);
  // After headers(): the TXT records that finish() will want, each once; at most one a seal and one more.
  const std::vector<dns::Question>& keys() const;
  // Nothing: answers are missing, and `lookup` now wants them.
  std::optional<ArcResult> finish(dns::Lookup& lookup);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// How the tags of our fields are written: folded, or as the signing suite of ValiMail wants them, so that signatures
// can be compared (sorted by name, on one line).
enum class ArcForm { folded, standard };

// What is sealed. `names` and `canonical` are those of SignedFields(..., Cover::arc), `body` the relaxed hash of the
// whole body, `headers` the header of the message with every ARC field that will leave with it.
struct ArcMessage {
  const mail::Headers& headers;
  std::string_view names, canonical;
  const BodyHash& body;
};

class ArcSealer {
 public:
  // An RSA key.
  ArcSealer(std::string domain, std::string selector, std::shared_ptr<const SigningKey> key,
            ArcForm form = ArcForm::folded);

  // ARC-Seal, ARC-Message-Signature, ARC-Authentication-Results, in this order (interface.md §6.17), each folded and
  // with its CRLF. `verified`: the verdict on this message; `results`: the value of our Authentication-Results field.
  //   no chain                 i=1, cv=none
  //   a chain that passed      i=N+1, cv=pass; the seal covers all sets
  //   a chain that failed      i=N+1, cv=fail; the seal covers our own set only (RFC 8617 §5.1.2)
  // "" (nothing to add) when the chain is not to be continued: it has said cv=fail before (§5.2), it has fifty sets,
  // its sets cannot be told apart, so that there is no N, or `verified` is not about this message. Errors:
  // Errc::malformed (not an RSA key), Errc::exhausted (no memory).
  core::Result<std::string> seal(const ArcResult& verified, std::string_view results, const ArcMessage& message,
                                 core::Wall::time_point now) const;

  const std::string& domain() const { return domain_; }
  const std::string& selector() const { return selector_; }

 private:
  struct Tag;
  core::Result<std::string> sign_field(std::string_view name, std::vector<Tag> tags, std::string_view covered) const;

  std::string domain_, selector_;
  std::shared_ptr<const SigningKey> key_;
  ArcForm form_;
};

}  // namespace auth
