#include "net/certificate.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <climits>
#include <ctime>
#include <memory>

#include "core/text.hpp"

namespace net {
namespace {

template <auto Function>
struct Free {
  template <class T>
  void operator()(T* object) const {
    Function(object);
  }
};
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Bio = std::unique_ptr<BIO, Free<BIO_free_all>>;
using Names = std::unique_ptr<GENERAL_NAMES, Free<GENERAL_NAMES_free>>;

int no_passphrase(char*, int, int, void*) {
  return -1;
}

// "" for a name with octets that no host name has.
std::string text_of(const ASN1_STRING* string) {
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, string);
  if (size < 0) return {};
  const std::string text(reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(size));
  OPENSSL_free(utf8);
  return core::printable(text) == text ? core::lower(text) : std::string();
}

std::set<std::string> names_of(X509* certificate) {
  std::set<std::string> names;
  const Names alternatives(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; alternatives && i < sk_GENERAL_NAME_num(alternatives.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(alternatives.get(), i);
    if (name->type == GEN_DNS) names.insert(text_of(name->d.dNSName));
  }
  if (names.empty()) {
    X509_NAME* subject = X509_get_subject_name(certificate);
    const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at >= 0) names.insert(text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))));
  }
  names.erase("");
  return names;
}

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
  const auto name = core::lower(host);
  const auto dot = name.find('.');
  return names.contains(name) || (dot != std::string::npos && names.contains("*" + name.substr(dot)));
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
  out.expires = core::Wall::from_time_t(::timegm(&end));
  out.key_digest = key_digest_of(certificate.get());
  ERR_clear_error();
  if (out.key_digest.empty()) return wrong("the certificate's key cannot be read");
  return out;
}

}  // namespace net
