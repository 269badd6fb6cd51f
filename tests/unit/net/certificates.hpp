// Certificates for tests, made on the spot and written as PEM files.
#pragma once

#include <string>
#include <vector>

namespace net::testing {

struct CertificateSpec {
  std::string common_name = "test";
  std::vector<std::string> dns_names;
  std::vector<std::string> ip_addresses;
  enum class Key { p256, rsa2048 } key = Key::p256;
  long valid_from = -3600;  // seconds from now
  long valid_until = 86400;
  // Who signs it: PEM files of write_certificate(); "" : itself. `authority`: it may sign others.
  std::string issuer_certificate, issuer_key;
  bool authority = false;
};

// Writes a certificate (the issuer's behind it, when it has one) and its key.
void write_certificate(const CertificateSpec& spec, const std::string& certificate_file, const std::string& key_file);
// Writes a key encrypted with a pass phrase.
void write_encrypted_key(const std::string& key_file);

}  // namespace net::testing
