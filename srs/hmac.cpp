#include "srs/hmac.hpp"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <array>
#include <new>

#include "core/text.hpp"

namespace srs {
namespace {

EVP_MAC* algorithm() {
  struct Fetched {
    EVP_MAC* mac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
    ~Fetched() { EVP_MAC_free(mac); }
  };
  static const Fetched fetched;
  return fetched.mac;
}

}  // namespace

void Hmac::Free::operator()(evp_mac_ctx_st* context) const noexcept {
  EVP_MAC_CTX_free(context);
}

Hmac::Hmac(HmacHash hash, std::string_view key) : keyed_(EVP_MAC_CTX_new(algorithm())) {
  std::string name = hash == HmacHash::sha256 ? "SHA256" : "SHA1";
  const std::array<OSSL_PARAM, 2> settings = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name.data(), 0),
                                              OSSL_PARAM_construct_end()};
  if (!keyed_ || EVP_MAC_init(keyed_.get(), reinterpret_cast<const unsigned char*>(key.data()), key.size(),
                              settings.data()) != 1) {
    throw std::bad_alloc();
  }
}

std::string Hmac::operator()(std::initializer_list<std::string_view> pieces) const {
  const std::unique_ptr<EVP_MAC_CTX, Free> context(EVP_MAC_CTX_dup(keyed_.get()));
  std::array<unsigned char, 32> out{};
  std::size_t size = 0;
  bool ok = context != nullptr;
  for (const auto piece : pieces) {
    ok = ok && EVP_MAC_update(context.get(), reinterpret_cast<const unsigned char*>(piece.data()), piece.size()) == 1;
  }
  if (!ok || EVP_MAC_final(context.get(), out.data(), &size, out.size()) != 1) throw std::bad_alloc();
  return {reinterpret_cast<const char*>(out.data()), size};
}

std::string base32(std::string_view octets, std::size_t characters) {
  static constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  std::string out;
  out.reserve(characters);
  std::uint32_t bits = 0;
  unsigned have = 0;
  for (const char octet : octets) {
    bits = (bits << 8) | static_cast<std::uint8_t>(octet);
    have += 8;
    while (have >= 5 && out.size() < characters) {
      have -= 5;
      out += kAlphabet[(bits >> have) & 31];
    }
  }
  return out;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference |= static_cast<unsigned>(static_cast<unsigned char>(core::to_lower(a[i])) ^
                                        static_cast<unsigned char>(core::to_lower(b[i])));
  }
  return difference == 0;
}

}  // namespace srs
