// OpenSSL's certificates with owners, and what several files here read out of them. For net/*.cpp only.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>

struct bio_st;   // OpenSSL's BIO
struct x509_st;  // OpenSSL's X509

namespace net {

template <auto Function>
struct FreeBy {
  template <class T>
  void operator()(T* object) const {
    Function(object);
  }
};
struct FreeCertificate {
  void operator()(x509_st* certificate) const;
};
struct FreeBio {
  void operator()(bio_st* bio) const;
};
using Certificate = std::unique_ptr<x509_st, FreeCertificate>;
using Bio = std::unique_ptr<bio_st, FreeBio>;

// No terminal is asked for a pass phrase: what is encrypted is an error.
int no_passphrase(char*, int, int, void*);

// DNS names as the certificate has them, in lower case, any octets, perhaps "": the alternative names, or the common
// name when there are none (RFC 6125 §6.4.4). Wildcards are "*.example.org".
std::set<std::string> names_of(x509_st* certificate);

// "*.example.org" of "mx.example.org"; "" of a name without dots.
std::string wildcard_of(std::string_view name);

// `name`, in lower case, is one of `names`, or a wildcard in place of its first label is.
bool covers(const std::set<std::string>& names, std::string_view name);

}  // namespace net
