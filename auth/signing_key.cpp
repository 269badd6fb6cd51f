#include "auth/signing_key.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <new>

#include "core/digest.hpp"
#include "core/text.hpp"

namespace auth {
namespace {

template <auto Function>
struct Free {
  template <class T>
  void operator()(T* p) const noexcept {
    Function(p);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Free<EVP_PKEY_CTX_free>>;
using SignContext = std::unique_ptr<EVP_MD_CTX, Free<EVP_MD_CTX_free>>;
using Memory = std::unique_ptr<BIO, Free<BIO_free_all>>;

constexpr int kMinRsaBits = 1024;  // RFC 8301 §3.2
constexpr int kMaxRsaBits = 4096;
constexpr std::size_t kMaxSignature = kMaxRsaBits / 8;

// No prompt on the terminal for a key with a passphrase.
int no_passphrase(char*, int, int, void*) {
  return -1;
}

std::string_view as_text(const unsigned char* octets, std::size_t size) {
  return {reinterpret_cast<const char*>(octets), size};
}

// p= of the record: SubjectPublicKeyInfo for RSA, the bare 32 octets for Ed25519 (RFC 8463 §4.2).
std::string public_key(EVP_PKEY* key, KeyType type) {
  if (type == KeyType::ed25519) {
    std::array<unsigned char, 32> raw{};
    std::size_t size = raw.size();
    if (EVP_PKEY_get_raw_public_key(key, raw.data(), &size) != 1) return {};
    return core::base64_encode(as_text(raw.data(), size));
  }
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  if (size <= 0) return {};
  auto text = core::base64_encode(as_text(der, static_cast<std::size_t>(size)));
  OPENSSL_free(der);
  return text;
}

}  // namespace

struct SigningKey::Impl {
  KeyType type = KeyType::rsa;
  Key key;
  KeyContext prepared;  // rsa: initialised for signing, copied for every signature
  std::string public_text;
};

SigningKey::SigningKey(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SigningKey::SigningKey(SigningKey&&) noexcept = default;
SigningKey& SigningKey::operator=(SigningKey&&) noexcept = default;
SigningKey::~SigningKey() = default;

core::Explained<SigningKey> SigningKey::parse(std::string_view pem) {
  const auto wrong = [](std::string_view what) {
    ERR_clear_error();  // the queue belongs to the thread: what is left in it would confuse the next user
    return core::Problem{std::string(what)};
  };
  if (pem.size() > core::kMaxSecretFile) return wrong("the key is too large");
  const Memory memory(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (!memory) return wrong("out of memory");
  auto impl = std::make_unique<Impl>();
  impl->key.reset(PEM_read_bio_PrivateKey(memory.get(), nullptr, no_passphrase, nullptr));
  if (!impl->key) return wrong("no private key in PEM form without passphrase; 'onward dkim keygen' makes one");
  auto* const key = impl->key.get();
  if (EVP_PKEY_is_a(key, "ED25519") == 1) {
    impl->type = KeyType::ed25519;
  } else if (EVP_PKEY_is_a(key, "RSA") == 1) {
    const int size = EVP_PKEY_get_bits(key);
    if (size < kMinRsaBits || size > kMaxRsaBits) {
      return wrong("an RSA key of " + std::to_string(size) + " bits; it must have 1024 to 4096, better 2048");
    }
    impl->prepared.reset(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
    if (!impl->prepared || EVP_PKEY_sign_init(impl->prepared.get()) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(impl->prepared.get(), RSA_PKCS1_PADDING) != 1 ||
        EVP_PKEY_CTX_set_signature_md(impl->prepared.get(), EVP_sha256()) != 1) {
      return wrong("the RSA key cannot sign");
    }
  } else {
    return wrong("neither an RSA nor an Ed25519 key");
  }
  impl->public_text = public_key(key, impl->type);
  if (impl->public_text.empty()) return wrong("the key has no public part");
  // A key whose parts do not fit would make signatures that nobody can verify: better to know at start.
  SigningKey made(std::move(impl));
  if (!made.sign({"probe"})) return wrong("the key cannot sign");
  return made;
}

KeyType SigningKey::type() const {
  return impl_->type;
}

int SigningKey::bits() const {
  return EVP_PKEY_get_bits(impl_->key.get());
}

std::string_view SigningKey::algorithm() const {
  return impl_->type == KeyType::rsa ? "rsa-sha256" : "ed25519-sha256";
}

std::string SigningKey::dns_record() const {
  return std::string("v=DKIM1; k=") + (impl_->type == KeyType::rsa ? "rsa" : "ed25519") + "; p=" + impl_->public_text;
}

core::Result<std::string> SigningKey::sign(std::initializer_list<std::string_view> pieces) const {
  core::Sha256 hash;
  for (const auto piece : pieces) hash.update(piece);
  const core::Digest digest = hash.finish();

  std::array<unsigned char, kMaxSignature> signature{};
  std::size_t size = signature.size();
  bool ok = false;
  if (impl_->type == KeyType::rsa) {
    const KeyContext context(EVP_PKEY_CTX_dup(impl_->prepared.get()));
    ok = context && EVP_PKEY_sign(context.get(), signature.data(), &size, digest.data(), digest.size()) == 1;
  } else {
    // RFC 8463 §3: PureEdDSA over the SHA-256 digest.
    const SignContext context(EVP_MD_CTX_new());
    ok = context && EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, impl_->key.get()) == 1 &&
         EVP_DigestSign(context.get(), signature.data(), &size, digest.data(), digest.size()) == 1;
  }
  if (!ok) {
    ERR_clear_error();
    return core::Errc::exhausted;
  }
  return core::base64_encode(as_text(signature.data(), size));
}

core::Explained<core::Secret> generate_key(NewKey type) {
  const Key key(type == NewKey::rsa2048 ? EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{2048})
                                        : EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  const Memory memory(BIO_new(BIO_s_secmem()));
  char* text = nullptr;
  if (!key || !memory ||
      PEM_write_bio_PrivateKey(memory.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    ERR_clear_error();
    return core::Problem{"OpenSSL could not make a key"};
  }
  const auto size = BIO_get_mem_data(memory.get(), &text);
  return core::Secret(std::string(text, static_cast<std::size_t>(size)));
}

std::string zone_txt(std::string_view owner, std::string_view text) {
  constexpr std::size_t kMaxString = 255;
  std::string out(owner);
  out += ". IN TXT (";
  do {
    const auto piece = text.substr(0, kMaxString);
    text.remove_prefix(piece.size());
    out += " \"";
    for (const char c : piece) {
      if (c == '"' || c == '\\') out += '\\';  // RFC 1035 §5.1
      out += c;
    }
    out += '"';
  } while (!text.empty());
  return out + " )";
}

}  // namespace auth
