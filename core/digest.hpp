// SHA-256, piece by piece. The algorithm is fetched from OpenSSL once for the program (libraries.md §6: fetching anew
// costs three times the hash of a short text).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

struct evp_md_ctx_st;  // OpenSSL's EVP_MD_CTX

namespace core {

using Digest = std::array<std::uint8_t, 32>;

inline std::string_view as_text(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

class Sha256 {
 public:
  Sha256();
  void update(std::string_view octets);
  Digest finish();  // and begins anew

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const noexcept;
  };
  void begin();
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

Digest sha256(std::string_view octets);

}  // namespace core
