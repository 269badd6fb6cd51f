#include "auth/dkim_verify_key.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <algorithm>
#include <bit>
#include <memory>

#include "auth/dkim_verify_tags.hpp"
#include "core/text.hpp"

namespace auth {
namespace {

using Algorithm = SignatureField::Algorithm;

constexpr std::size_t kEd25519Octets = 32;  // RFC 8463 §4

// DER (X.690), as far as keys use it.
constexpr char kSequence = 0x30, kInteger = 0x02, kBitString = 0x03;
// AlgorithmIdentifier: rsaEncryption, NULL (RFC 3279 §2.3.1).
constexpr std::string_view kRsaAlgorithm{"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00", 13};

// Takes the next element when it has that tag; its contents.
std::optional<std::string_view> take(std::string_view& in, char tag) {
  if (in.size() < 2 || in[0] != tag) return std::nullopt;
  std::size_t length = static_cast<unsigned char>(in[1]);
  in.remove_prefix(2);
  if (length >= 0x80) {
    const std::size_t octets = length - 0x80;
    if (octets < 1 || octets > 3 || in.size() < octets) return std::nullopt;
    length = 0;
    for (std::size_t i = 0; i < octets; ++i) length = length << 8 | static_cast<unsigned char>(in[i]);
    in.remove_prefix(octets);
  }
  if (in.size() < length) return std::nullopt;
  const auto content = in.substr(0, length);
  in.remove_prefix(length);
  return content;
}

// A positive integer without leading zeros, big-endian.
std::optional<std::string_view> take_number(std::string_view& in) {
  auto number = take(in, kInteger);
  if (!number || number->empty() || static_cast<unsigned char>(number->front()) >= 0x80) return std::nullopt;
  while (!number->empty() && number->front() == 0) number->remove_prefix(1);
  return number->empty() ? std::nullopt : number;
}

unsigned bits_of(std::string_view number) {
  return static_cast<unsigned>((number.size() - 1) * 8) +
         static_cast<unsigned>(std::bit_width(static_cast<unsigned char>(number.front())));
}

bool is_odd(std::string_view number) {
  return (static_cast<unsigned char>(number.back()) & 1) != 0;
}

struct RsaKey {
  std::string_view modulus, exponent;
};

// RSAPublicKey (RFC 8017 A.1.1).
std::optional<RsaKey> parse_pkcs1(std::string_view der) {
  const auto sequence = take(der, kSequence);
  if (!sequence || !der.empty()) return std::nullopt;
  auto in = *sequence;
  const auto modulus = take_number(in), exponent = take_number(in);
  if (!modulus || !exponent || !in.empty()) return std::nullopt;
  return RsaKey{*modulus, *exponent};
}

// SubjectPublicKeyInfo, which everybody publishes, or the bare key that RFC 6376 §3.6.1 asks for.
std::optional<RsaKey> parse_rsa(std::string_view der) {
  if (const auto bare = parse_pkcs1(der)) return bare;
  const auto outer = take(der, kSequence);
  if (!outer || !der.empty()) return std::nullopt;
  auto in = *outer;
  const auto algorithm = take(in, kSequence);
  // NULL may be left out.
  if (!algorithm || (*algorithm != kRsaAlgorithm && *algorithm != kRsaAlgorithm.substr(0, 11))) return std::nullopt;
  const auto bits = take(in, kBitString);
  if (!bits || !in.empty() || !bits->starts_with('\0')) return std::nullopt;
  return parse_pkcs1(bits->substr(1));
}

std::string element(char tag, std::string_view content) {
  std::string out(1, tag);
  if (content.size() >= 0x100) {
    out += '\x82';
    out += static_cast<char>(content.size() >> 8);
  } else if (content.size() >= 0x80) {
    out += '\x81';
  }
  out += static_cast<char>(content.size());
  out += content;
  return out;
}

std::string number_element(std::string_view number) {
  const bool high = static_cast<unsigned char>(number.front()) >= 0x80;
  return element(kInteger, (high ? std::string(1, '\0') : std::string()) + std::string(number));
}

std::string encode_rsa(const RsaKey& key) {
  const auto bare = element(kSequence, number_element(key.modulus) + number_element(key.exponent));
  return element(kSequence, element(kSequence, kRsaAlgorithm) + element(kBitString, std::string(1, '\0') + bare));
}

bool lists(std::string_view value, std::string_view wanted) {
  const auto list = without_space(value);
  const auto items = core::split(list, ':');
  return std::any_of(items.begin(), items.end(), [&](auto item) { return core::iequals(item, wanted); });
}

using Check = std::optional<std::string_view>;  // what is wrong, if anything

constexpr Check bad(std::string_view reason) {
  return reason;
}

// The tags other than p=.
Check check_tags(const TagList& tags, const SignatureField& field) {
  // RFC 6376 §3.6.1: if there, v= comes first and says DKIM1.
  if (const auto version = tags.find("v")) {
    if (tags.first_name() != "v" || *version != "DKIM1") return bad("key: unknown version");
  }
  const auto type = tags.find("k").value_or("rsa");
  if (!core::iequals(type, field.algorithm == Algorithm::ed25519_sha256 ? "ed25519" : "rsa"))
    return bad("key: not of the type of the signature");
  if (const auto hashes = tags.find("h")) {
    if (!lists(*hashes, field.algorithm == Algorithm::rsa_sha1 ? "sha1" : "sha256"))
      return bad("key: not for this hash");
  }
  if (const auto services = tags.find("s")) {
    if (!lists(*services, "*") && !lists(*services, "email")) return bad("key: not for mail");
  }
  // RFC 6376 §3.6.1 t=s: the domain of i= must be d= itself.
  if (lists(tags.find("t").value_or(""), "s") && field.identity_domain != core::lower(field.domain))
    return bad("key: i= may not be in a subdomain");
  return {};
}

Check read_rsa(std::string_view octets, unsigned min_bits, PublicKey& out) {
  const auto key = parse_rsa(octets);
  if (!key || !is_odd(key->modulus) || !is_odd(key->exponent) || bits_of(key->exponent) < 2)
    return bad("key: no RSA key");
  // RFC 8301 §3.2; dkim_verify.hpp says why these are permanent errors.
  if (bits_of(key->modulus) < min_bits) return bad("key: too short");
  if (bits_of(key->modulus) > kMaxRsaBits) return bad("key: too long");
  if (bits_of(key->exponent) > kMaxExponentBits) return bad("key: exponent too large");
  out.der = encode_rsa(*key);
  out.record = "v=DKIM1; k=rsa; p=" + core::base64_encode(out.der);
  return {};
}

Check read_ed25519(std::string octets, PublicKey& out) {
  if (octets.size() != kEd25519Octets) return bad("key: no Ed25519 key");
  out.der = std::move(octets);
  out.record = "v=DKIM1; k=ed25519; p=" + core::base64_encode(out.der);
  return {};
}

Check read_key(std::string_view text, const SignatureField& field, unsigned min_bits, PublicKey& out) {
  if (text.size() > kMaxKeyRecordOctets) return bad("key: record too long");
  const auto tags = TagList::parse(text);
  if (!tags) return bad("key: syntax error in the record");
  const auto value = tags->find("p");
  if (!value) return bad("key: no key in the record");
  if (auto problem = check_tags(*tags, field)) return problem;
  const auto key = without_space(*value);
  if (key.empty()) return bad("key: revoked");  // RFC 6376 §3.6.1 p=
  auto octets = decode_base64(key);
  if (!octets) return bad("key: no base64");
  out.testing = lists(tags->find("t").value_or(""), "y");
  return field.algorithm == Algorithm::ed25519_sha256 ? read_ed25519(std::move(*octets), out)
                                                      : read_rsa(*octets, min_bits, out);
}

template <auto Function>
struct Free {
  template <class T>
  void operator()(T* p) const noexcept {
    Function(p);
  }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Free<EVP_PKEY_CTX_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Free<EVP_MD_CTX_free>>;

const unsigned char* octets(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

bool verify_ed25519(const PublicKey& key, std::string_view signature, std::string_view digest) {
  const KeyPtr pkey(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, octets(key.der), key.der.size()));
  const DigestContext context(EVP_MD_CTX_new());
  return pkey && context && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, pkey.get()) == 1 &&
         EVP_DigestVerify(context.get(), octets(signature), signature.size(), octets(digest), digest.size()) == 1;
}

bool verify_rsa(const PublicKey& key, const EVP_MD* hash, std::string_view signature, std::string_view digest) {
  const auto* at = octets(key.der);
  const KeyPtr pkey(d2i_PUBKEY(nullptr, &at, static_cast<long>(key.der.size())));
  const KeyContext context(pkey ? EVP_PKEY_CTX_new(pkey.get(), nullptr) : nullptr);
  return context && EVP_PKEY_verify_init(context.get()) == 1 &&
         EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_PADDING) == 1 &&
         EVP_PKEY_CTX_set_signature_md(context.get(), hash) == 1 &&
         EVP_PKEY_verify(context.get(), octets(signature), signature.size(), octets(digest), digest.size()) == 1;
}

}  // namespace

KeyChoice choose_keys(const dns::Answer& answer, const SignatureField& field, unsigned min_key_bits) {
  KeyChoice choice;
  if (answer.status == dns::Status::failure) {
    choice.verdict = Verdict::temperror;
    choice.reason = "key: " + (answer.error.empty() ? std::string("DNS failure") : core::printable(answer.error));
    return choice;
  }
  // What is wrong with the first one is reported when none is right (RFC 6376 §6.1.2 leaves it to us).
  choice.verdict = Verdict::permerror;
  choice.reason = "key: none is published";
  for (std::size_t i = 0; i < std::min(answer.texts.size(), kMaxKeyRecords); ++i) {
    PublicKey key;
    if (const auto problem = read_key(answer.texts[i], field, min_key_bits, key)) {
      if (i == 0) choice.reason = *problem;
    } else {
      choice.usable.push_back(std::move(key));
    }
  }
  return choice;
}

bool is_signed_with(const PublicKey& key, const SignatureField& field, std::string_view digest) {
  const auto signature = decode_base64(field.b);
  if (!signature) return false;
  bool good = false;
  if (field.algorithm == Algorithm::ed25519_sha256) {
    good = verify_ed25519(key, *signature, digest);
  } else {
    good = verify_rsa(key, field.algorithm == Algorithm::rsa_sha1 ? EVP_sha1() : EVP_sha256(), *signature, digest);
  }
  ERR_clear_error();
  return good;
}

}  // namespace auth
