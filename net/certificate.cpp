#include "net/certificate.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>

#include <climits>
#include <ctime>

#include "core/text.hpp"
#include "net/x509.hpp"

namespace net {
namespace {

std::string key_digest_of(X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
  if (size <= 0) return {};
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(der, static_cast<std::size_t>(size), digest);
  OPENSSL_free(der);
  return {reinterpret_cast<const char*>(digest), sizeof digest};
}

}  // namespace

bool CertificateSummary::covers(std::string_view host) const {
  return net::covers(names, core::lower(host));
}

Tlsa CertificateSummary::tlsa() const {
  return {3, 1, 1, key_digest};
}

core::Explained<CertificateSummary> summarise_certificate(std::string_view pem) {
  const auto wrong = [](const char* what) {
    ERR_clear_error();  // the queue belongs to the thread
    return core::Problem{what};
  };
  if (pem.size() > INT_MAX) return wrong("is too large");
  const Bio memory(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const Certificate certificate(memory ? PEM_read_bio_X509_AUX(memory.get(), nullptr, no_passphrase, nullptr)
                                       : nullptr);
  std::tm end{};
  if (!certificate) return wrong("no certificate in it");
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &end) != 1) return wrong("the certificate has no end");
  CertificateSummary out;
  out.names = names_of(certificate.get());
  // Octets that no host name has are nothing to show.
  std::erase_if(out.names, [](const std::string& name) { return name.empty() || core::printable(name) != name; });
  out.expires = core::Wall::from_time_t(::timegm(&end));
  out.key_digest = key_digest_of(certificate.get());
  ERR_clear_error();
  if (out.key_digest.empty()) return wrong("the certificate's key cannot be read");
  return out;
}

}  // namespace net
