#include "net/certificate.hpp"

#include <gtest/gtest.h>

#include <cstdio>

namespace net {
namespace {

// Made with: openssl req -x509 -newkey ed25519 -nodes -days 36500 -subj /CN=MX.example.org
//   -addext subjectAltName=DNS:MX.example.org,DNS:*.fwd.example,IP:192.0.2.1
constexpr const char* kCertificate = R"(-----BEGIN CERTIFICATE-----
MIIBezCCAS2gAwIBAgIUYRxmtnkAgIUwFvbPERYbODRNtAkwBQYDK2VwMBkxFzAV
BgNVBAMMDk1YLmV4YW1wbGUub3JnMCAXDTI2MTEyODIxNDMyOFoYDzIxMjYxMTA0
MjE0MzI4WjAZMRcwFQYDVQQDDA5NWC5leGFtcGxlLm9yZzAqMAUGAytlcAMhABVO
c3Hrhi93tkpdAy5dhkv25H9c/D01/qIGOLOewbLMo4GEMIGBMB0GA1UdDgQWBBR7
1WyzulzC1lW3YyR+KILMz+Ow3TAfBgNVHSMEGDAWgBR71WyzulzC1lW3YyR+KILM
z+Ow3TAPBgNVHRMBAf8EBTADAQH/MC4GA1UdEQQnMCWCDk1YLmV4YW1wbGUub3Jn
gg0qLmZ3ZC5leGFtcGxlhwTAAAIBMAUGAytlcANBAJGjadbNGO7lWFb0vnFIUsPp
AIynMsUM8fx9b+5G9EpJLttrsXfC2PVIg2URPfd2P1xapGjR1jH797oOXGgAZgA=
-----END CERTIFICATE-----
)";

TEST(Certificate, names_end_and_key) {
  const auto summary = summarise_certificate(kCertificate);
  ASSERT_TRUE(summary);
  EXPECT_EQ(summary->names, (std::set<std::string>{"mx.example.org", "*.fwd.example"}));
  EXPECT_GT(summary->expires, core::Wall::from_time_t(4'000'000'000));
  std::string hex;
  for (const char c : summary->key_digest) {
    char two[3];
    std::snprintf(two, sizeof two, "%02x", static_cast<unsigned char>(c));
    hex += two;
  }
  EXPECT_EQ(hex,
            "03038d734c4aa27cd3614269b516f65ba59140f8fb2519ade80a226ae05bba40");  // openssl x509 -pubkey | openssl pkey
                                                                                  // -pubin -outform DER | sha256sum
}

TEST(Certificate, covers) {
  CertificateSummary one;
  one.names = {"mx.example.org", "*.fwd.example"};
  for (const char* yes : {"mx.example.org", "MX.Example.org", "a.fwd.example"}) EXPECT_TRUE(one.covers(yes)) << yes;
  for (const char* no : {"example.org", "fwd.example", "a.b.fwd.example", "x.mx.example.org", ""}) {
    EXPECT_FALSE(one.covers(no)) << no;
  }
}

TEST(Certificate, nonsense) {
  for (const std::string text : {"", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}) {
    EXPECT_FALSE(summarise_certificate(text));
  }
  EXPECT_FALSE(summarise_certificate(std::string(kCertificate).substr(0, 200)));
}

}  // namespace
}  // namespace net
