// HMAC with a key that is set up once, and base32; shared by the files of srs/. Immutable, safe from several threads.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

struct evp_mac_ctx_st;  // OpenSSL's EVP_MAC_CTX

namespace srs {

enum class HmacHash { sha256, sha1 };

class Hmac {
 public:
  Hmac(HmacHash hash, std::string_view key);
  // The octets (32 or 20) of the HMAC over `pieces` taken together.
  std::string operator()(std::initializer_list<std::string_view> pieces) const;

 private:
  struct Free {
    void operator()(evp_mac_ctx_st* context) const noexcept;
  };
  std::unique_ptr<evp_mac_ctx_st, Free> keyed_;
};

// The first `characters` of the base32 form (A-Z, 2-7: RFC 4648 §6), which reads the same in any case.
std::string base32(std::string_view octets, std::size_t characters);

// ASCII case is ignored; the time taken depends on the lengths only.
bool equal_in_constant_time(std::string_view a, std::string_view b);

}  // namespace srs
