// Our DKIM signatures (RFC 6376, RFC 8463; interface.md §5, §6.29): relaxed/relaxed, From and the other fields a reader
// sees oversigned, so that nothing can be added under our name (threats CR-04), no l= (CR-03), x= fourteen days after
// t=. Per message: one BodyHasher while the body arrives, one SignedFields, then one sign() a key. Pure but for the
// key.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "auth/canonical.hpp"
#include "auth/signing_key.hpp"
#include "core/clock.hpp"
#include "core/error.hpp"
#include "mail/header.hpp"

namespace auth {

// Longer than the queue keeps a message.
inline constexpr core::Seconds kSignatureLifetime = std::chrono::hours(24 * 14);

// What the signature stands for: dkim, or arc, which also covers the DKIM-Signature fields (RFC 8617 §4.1.2).
enum class Cover { dkim, arc };

// h= and the canonical form of the fields it names, made once for all keys. Fields are taken bottom-up (RFC 6376
// §5.4.2). `fields`: the message's own, from the top, without those that are cut; what we prepend is never signed.
// Copies what it needs.
class SignedFields {
 public:
  explicit SignedFields(std::span<const mail::HeaderField> fields, Cover cover = Cover::dkim);
  const std::string& names() const { return names_; }          // "from:from:to:..."
  const std::string& canonical() const { return canonical_; }  // relaxed, each with its CRLF

 private:
  std::string names_, canonical_;
};

class Signer {
 public:
  Signer(std::string domain, std::string selector, std::shared_ptr<const SigningKey> key);

  // "DKIM-Signature: ...", folded, with its final CRLF. `body` must be a relaxed hash of the whole body.
  core::Result<std::string> sign(const SignedFields& fields, const BodyHash& body, core::Wall::time_point now) const;

  const std::string& domain() const { return domain_; }
  const std::string& selector() const { return selector_; }
  const SigningKey& key() const { return *key_; }
  // For whoever signs other things with it.
  const std::shared_ptr<const SigningKey>& shared_key() const { return key_; }

 private:
  std::string domain_, selector_;
  std::shared_ptr<const SigningKey> key_;
};

}  // namespace auth
