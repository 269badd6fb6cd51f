// Signs with any key and any tags, as our own signer never would: what senders, and attackers, send.
#pragma once

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <memory>
#include <optional>
#include <set>
#include <string>

#include "auth/canonical.hpp"
#include "auth/messages.hpp"
#include "core/text.hpp"
#include "mail/header.hpp"

namespace dkim {

struct FreeKey {
  void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
};
using Key = std::unique_ptr<EVP_PKEY, FreeKey>;

inline Key rsa_key(unsigned bits) {
  return Key(EVP_RSA_gen(bits));
}
inline Key ed25519_key() {
  return Key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
}

inline std::string der(int (*encode)(const EVP_PKEY*, unsigned char**), const Key& key) {
  unsigned char* out = nullptr;
  const int size = encode(key.get(), &out);
  std::string text(reinterpret_cast<char*>(out), static_cast<std::size_t>(size));
  OPENSSL_free(out);
  return text;
}

// p= as published: SubjectPublicKeyInfo, or the 32 octets.
inline std::string public_octets(const Key& key) {
  if (EVP_PKEY_get_id(key.get()) == EVP_PKEY_RSA) return der(i2d_PUBKEY, key);
  std::string raw(32, '\0');
  std::size_t size = raw.size();
  EVP_PKEY_get_raw_public_key(key.get(), reinterpret_cast<unsigned char*>(raw.data()), &size);
  return raw;
}
inline std::string p_of(const Key& key) {
  return core::base64_encode(public_octets(key));
}
inline std::string record_of(const Key& key) {
  return (EVP_PKEY_get_id(key.get()) == EVP_PKEY_RSA ? "v=DKIM1; k=rsa; p=" : "v=DKIM1; k=ed25519; p=") + p_of(key);
}

inline std::string sign_octets(const Key& key, std::string_view octets, const EVP_MD* hash) {
  const bool rsa = EVP_PKEY_get_id(key.get()) == EVP_PKEY_RSA;
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned length = 0;
  EVP_Digest(octets.data(), octets.size(), reinterpret_cast<unsigned char*>(digest.data()), &length, hash, nullptr);
  digest.resize(length);
  const std::string_view input = rsa ? octets : std::string_view(digest);  // RFC 8463 §3
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_DigestSignInit(context.get(), nullptr, rsa ? hash : nullptr, nullptr, key.get());
  std::size_t size = 0;
  const auto* in = reinterpret_cast<const unsigned char*>(input.data());
  EVP_DigestSign(context.get(), nullptr, &size, in, input.size());
  std::string signature(size, '\0');
  EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, in, input.size());
  signature.resize(size);
  return signature;
}

struct Wanted {
  std::string d = "sender.example", s = "sel";
  std::string a = "rsa-sha256";
  std::string h = "from:to:subject:from";
  std::string more = "";                    // "i=...; " and the like
  std::optional<std::uint64_t> limit = {};  // the hash covers so much of the body; l= is written by `more`
};

// The field for `message`, relaxed/relaxed.
inline std::string signature_field(const Key& key, std::string_view message, const Wanted& wanted) {
  const auto [section, body] = messages::split(message);
  const auto headers = mail::Headers::parse(section).value();
  auth::BodyHasher hasher(auth::Canon::relaxed, wanted.limit);
  hasher.update(body);
  const auto start = "DKIM-Signature: v=1; a=" + wanted.a + "; c=relaxed/relaxed; d=" + wanted.d +
                     ";\r\n s=" + wanted.s + "; " + wanted.more + "h=" + wanted.h +
                     ";\r\n bh=" + hasher.finish().to_base64() + ";\r\n b=";
  std::string input;
  std::set<const mail::HeaderField*> used;
  for (const auto name : core::split(wanted.h, ':')) {
    auto fields = headers.all(name);
    for (auto it = fields.rbegin(); it != fields.rend(); ++it) {
      if (!used.insert(*it).second) continue;
      auth::append_canonical_header(auth::Canon::relaxed, (*it)->raw, input);
      break;
    }
  }
  auth::append_canonical_header(auth::Canon::relaxed, start, input);
  return start + core::base64_encode(sign_octets(key, input, EVP_sha256())) + "\r\n";
}

inline std::string sign(const Key& key, std::string_view message, const Wanted& wanted = {}) {
  return signature_field(key, message, wanted) + std::string(message);
}

}  // namespace dkim
