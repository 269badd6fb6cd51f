// What a certificate says of itself: its names, its end, and the digest of its key. For the commands and checks that
// compare it with DNS; TLS sessions do not come through here.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "core/clock.hpp"
#include "core/secret_file.hpp"
#include "net/tlsa.hpp"

namespace net {

struct CertificateSummary {
  // Lower case; wildcards as "*.example.org". The alternative names, or the common name when there are none (RFC 6125
  // §6.4.4).
  std::set<std::string> names;
  core::Wall::time_point expires;
  std::string key_digest;  // SHA-256 of the SubjectPublicKeyInfo, 32 octets: what TLSA 3 1 1 holds (RFC 6698 §2.1)

  // Exactly, or by a wildcard in place of the first label.
  bool covers(std::string_view host) const;
  // The record to publish: 3 1 1, which stays right when the certificate is renewed with the same key.
  Tlsa tlsa() const;
};

// The first certificate in `pem`. What is wrong otherwise.
core::Explained<CertificateSummary> summarise_certificate(std::string_view pem);

}  // namespace net
