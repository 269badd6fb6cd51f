#include "net/tlsa.hpp"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

namespace net {
namespace {

constexpr std::size_t kParameters = 3;

template <auto Function>
struct Deleter {
  template <class T>
  void operator()(T* object) const {
    Function(object);
  }
};

}  // namespace

std::string Tlsa::to_string() const {
  std::string text = fmt::format("{} {} {} ", usage, selector, matching);
  for (const char c : data) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return text;
}

std::optional<Tlsa> parse_tlsa(std::string_view rdata) {
  if (rdata.size() <= kParameters) return std::nullopt;
  Tlsa record;
  record.usage = static_cast<std::uint8_t>(rdata[0]);
  record.selector = static_cast<std::uint8_t>(rdata[1]);
  record.matching = static_cast<std::uint8_t>(rdata[2]);
  record.data = rdata.substr(kParameters);
  return record;
}

core::Explained<Tlsa> tlsa_of_certificate(const std::string& file) {
  errno = 0;
  const std::unique_ptr<BIO, Deleter<BIO_free_all>> in(BIO_new_file(file.c_str(), "r"));
  if (!in) {
    ERR_clear_error();
    return core::Problem{file + ": " + (errno != 0 ? std::strerror(errno) : "cannot be opened")};
  }
  const std::unique_ptr<X509, Deleter<X509_free>> certificate(
      PEM_read_bio_X509_AUX(in.get(), nullptr, [](char*, int, int, void*) { return -1; }, nullptr));
  unsigned char* der = nullptr;
  const int size = certificate ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate.get()), &der) : -1;
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  const bool done =
      size > 0 && EVP_Digest(der, static_cast<std::size_t>(size), digest.data(), &length, EVP_sha256(), nullptr) == 1;
  OPENSSL_free(der);
  ERR_clear_error();
  if (!done) return core::Problem{file + ": no certificate in it"};
  Tlsa record;
  record.usage = 3;
  record.selector = 1;
  record.matching = 1;
  record.data.assign(reinterpret_cast<const char*>(digest.data()), length);
  return record;
}

}  // namespace net
