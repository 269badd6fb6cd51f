#include "certificates.hpp"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <stdexcept>

namespace net::testing {
namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Bio = std::unique_ptr<BIO, decltype(&BIO_free_all)>;

void check(bool ok, const char* what) {
  if (!ok) throw std::runtime_error(what);
}

Key make_key(CertificateSpec::Key kind) {
  return {kind == CertificateSpec::Key::p256 ? EVP_EC_gen("P-256") : EVP_RSA_gen(2048), &EVP_PKEY_free};
}

Bio output(const std::string& file) {
  Bio bio(BIO_new_file(file.c_str(), "w"), &BIO_free_all);
  check(bio != nullptr, "cannot write a certificate");
  return bio;
}

Bio input(const std::string& file) {
  Bio bio(BIO_new_file(file.c_str(), "r"), &BIO_free_all);
  check(bio != nullptr, "cannot read a certificate");
  return bio;
}

void add_extension(X509* certificate, int nid, const char* value) {
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
  check(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1, "X509_add_ext");
  X509_EXTENSION_free(extension);
}

}  // namespace

void write_certificate(const CertificateSpec& spec, const std::string& certificate_file, const std::string& key_file) {
  const Key key = make_key(spec.key);
  const Certificate certificate(X509_new(), &X509_free);
  X509* const c = certificate.get();
  X509_set_version(c, X509_VERSION_3);
  static long serial = 0;
  ASN1_INTEGER_set(X509_get_serialNumber(c), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(c), spec.valid_from);
  X509_gmtime_adj(X509_getm_notAfter(c), spec.valid_until);
  X509_NAME* const name = X509_get_subject_name(c);
  if (!spec.common_name.empty()) {
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(spec.common_name.data()),
                               static_cast<int>(spec.common_name.size()), -1, 0);
  }
  Certificate issuer(nullptr, &X509_free);
  Key issuer_key(nullptr, &EVP_PKEY_free);
  if (!spec.issuer_certificate.empty()) {
    issuer.reset(PEM_read_bio_X509(input(spec.issuer_certificate).get(), nullptr, nullptr, nullptr));
    issuer_key.reset(PEM_read_bio_PrivateKey(input(spec.issuer_key).get(), nullptr, nullptr, nullptr));
    check(issuer && issuer_key, "no issuer");
  }
  X509_set_issuer_name(c, issuer ? X509_get_subject_name(issuer.get()) : name);
  if (spec.authority) {
    add_extension(c, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(c, NID_key_usage, "critical,keyCertSign");
  }
  X509_set_pubkey(c, key.get());
  GENERAL_NAMES* const names = sk_GENERAL_NAME_new_null();
  for (const auto& dns : spec.dns_names) {  // by hand, because the text form cannot hold odd octets
    GENERAL_NAME* const general = GENERAL_NAME_new();
    ASN1_IA5STRING* const text = ASN1_IA5STRING_new();
    ASN1_STRING_set(text, dns.data(), static_cast<int>(dns.size()));
    GENERAL_NAME_set0_value(general, GEN_DNS, text);
    sk_GENERAL_NAME_push(names, general);
  }
  for (const auto& ip : spec.ip_addresses) {
    GENERAL_NAME* const general = GENERAL_NAME_new();
    GENERAL_NAME_set0_value(general, GEN_IPADD, a2i_IPADDRESS(ip.c_str()));
    sk_GENERAL_NAME_push(names, general);
  }
  if (sk_GENERAL_NAME_num(names) > 0) X509_add1_ext_i2d(c, NID_subject_alt_name, names, 0, 0);
  GENERAL_NAMES_free(names);
  check(X509_sign(c, issuer_key ? issuer_key.get() : key.get(), EVP_sha256()) > 0, "X509_sign");
  const Bio out = output(certificate_file);
  check(PEM_write_bio_X509(out.get(), c) == 1, "PEM_write_bio_X509");
  if (issuer) check(PEM_write_bio_X509(out.get(), issuer.get()) == 1, "PEM_write_bio_X509");
  check(PEM_write_bio_PrivateKey(output(key_file).get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1,
        "PEM_write_bio_PrivateKey");
}

void write_encrypted_key(const std::string& key_file) {
  const Key key = make_key(CertificateSpec::Key::p256);
  static constexpr char kPhrase[] = "secret";
  check(PEM_write_bio_PrivateKey(output(key_file).get(), key.get(), EVP_aes_128_cbc(),
                                 reinterpret_cast<const unsigned char*>(kPhrase), sizeof kPhrase - 1, nullptr,
                                 nullptr) == 1,
        "PEM_write_bio_PrivateKey");
}

}  // namespace net::testing
