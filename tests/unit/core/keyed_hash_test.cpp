#include "core/keyed_hash.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace {

// The paper's own key, 00 01 .. 0f, and its message 00 01 .. 0e (SipHash, appendix A); the other values are of its
// reference vectors for the messages 00 .. (n-1).
TEST(KeyedHash, ReferenceVectors) {
  const core::KeyedHash hash({0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL});
  std::string message;
  for (char c = 0; c < 15; ++c) message += c;
  EXPECT_EQ(hash(message), 0xa129ca6149be45e5ULL);
  EXPECT_EQ(hash(""), 0x726fdb47dd0e0e31ULL);
  EXPECT_EQ(hash(std::string_view(message).substr(0, 1)), 0x74f839c593dc67fdULL);
  EXPECT_EQ(hash(std::string_view(message).substr(0, 8)), 0x93f5f5799a932462ULL);
}

TEST(KeyedHash, AnotherKeyIsAnotherHash) {
  core::SeededRandom random(1);
  const core::KeyedHash a(random), b(random);
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 1000; ++i) {
    seen.insert(a(std::to_string(i)));
    seen.insert(b(std::to_string(i)));
  }
  EXPECT_EQ(seen.size(), 2000U);
}

}  // namespace
