#include "net/ticket_keys.hpp"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include <algorithm>

namespace net {
namespace {

void wipe(std::optional<TicketKeys::Key>& key) {
  if (key) OPENSSL_cleanse(&*key, sizeof *key);
  key.reset();
}

bool set_mac(EVP_MAC_CTX* mac, TicketKeys::Key& key) {
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.mac.data(), key.mac.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
  return EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

// OpenSSL's question (SSL_CTX_set_tlsext_ticket_key_evp_cb): 0 no ticket, 1 done, 2 done and the client gets a new one,
// -1 failed.
int on_ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, int make) {
  auto* keys = static_cast<TicketKeys*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  if (keys == nullptr) return 0;
  const auto now = core::Steady::now();
  if (make != 0) {
    auto key = keys->current(now);
    if (!key || RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1) return 0;
    std::copy(key->name.begin(), key->name.end(), name);
    const bool done =
        EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key->cipher.data(), iv) == 1 && set_mac(mac, *key);
    wipe(key);
    return done ? 1 : -1;
  }
  auto found = keys->find(std::span<const unsigned char, TicketKeys::kNameSize>(name, TicketKeys::kNameSize), now);
  if (!found) return 0;
  const bool done = set_mac(mac, found->key) &&
                    EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr, found->key.cipher.data(), iv) == 1;
  OPENSSL_cleanse(&found->key, sizeof found->key);
  return !done ? -1 : found->current ? 1 : 2;
}

}  // namespace

TicketKeys::~TicketKeys() {
  wipe(current_);
  wipe(previous_);
}

std::optional<TicketKeys::Key> TicketKeys::current(Time now) {
  const std::lock_guard lock(mutex_);
  if (current_ && now - current_->made < kLifetime) return current_;
  Key fresh;
  fresh.made = now;
  if (RAND_bytes(fresh.name.data(), static_cast<int>(fresh.name.size())) != 1 ||
      RAND_priv_bytes(fresh.cipher.data(), static_cast<int>(fresh.cipher.size())) != 1 ||
      RAND_priv_bytes(fresh.mac.data(), static_cast<int>(fresh.mac.size())) != 1) {
    ERR_clear_error();
    return std::nullopt;
  }
  wipe(previous_);
  previous_ = current_;
  wipe(current_);
  current_ = fresh;
  OPENSSL_cleanse(&fresh, sizeof fresh);
  return current_;
}

std::optional<TicketKeys::Found> TicketKeys::find(std::span<const unsigned char, kNameSize> name, Time now) {
  const std::lock_guard lock(mutex_);
  for (auto* key : {&current_, &previous_}) {
    if (!*key || !std::equal(name.begin(), name.end(), (*key)->name.begin())) continue;
    if (now - (*key)->made >= 2 * kLifetime) {
      wipe(*key);
      return std::nullopt;
    }
    return Found{**key, now - (*key)->made < kLifetime};
  }
  return std::nullopt;
}

void TicketKeys::use_in(ssl_ctx_st* context) {
  SSL_CTX_set_app_data(context, this);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket);
}

}  // namespace net
