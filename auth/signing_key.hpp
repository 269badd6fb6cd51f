// A private key for DKIM and ARC signatures: parsed once (libraries.md §6: parsing costs more than signing), then used
// by all shards at the same time. RSA of 1024 to 4096 bits (RFC 8301 §3.2) or Ed25519 (RFC 8463). Owns the key; wipes
// it at the end.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include "core/error.hpp"
#include "core/secret_file.hpp"

namespace auth {

enum class KeyType { rsa, ed25519 };

class SigningKey {
 public:
  // PEM, PKCS#8 or PKCS#1, not encrypted.
  static core::Explained<SigningKey> parse(std::string_view pem);
  SigningKey(SigningKey&&) noexcept;
  SigningKey& operator=(SigningKey&&) noexcept;
  ~SigningKey();

  KeyType type() const;
  int bits() const;
  // The a= tag: "rsa-sha256" or "ed25519-sha256".
  std::string_view algorithm() const;
  // The TXT record to publish: "v=DKIM1; k=rsa; p=..." (RFC 6376 §3.6.1, RFC 8463 §4).
  std::string dns_record() const;

  // Signature in base64 over the SHA-256 digest of `pieces` taken together (RFC 6376 §3.7, RFC 8463 §3). Errors:
  // Errc::exhausted (OpenSSL has no memory). Safe from several threads.
  core::Result<std::string> sign(std::initializer_list<std::string_view> pieces) const;

 private:
  struct Impl;
  explicit SigningKey(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

enum class NewKey { rsa2048, ed25519 };

// A new private key as PEM (PKCS#8); SigningKey::parse of it gives the record to publish. For `onward dkim keygen`.
core::Explained<core::Secret> generate_key(NewKey type);

// A zone-file line for `owner` (a name without the final dot): the text in strings of at most 255 octets (RFC 1035
// §3.3.14).
std::string zone_txt(std::string_view owner, std::string_view text);

}  // namespace auth
