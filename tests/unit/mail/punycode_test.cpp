#include "mail/punycode.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "core/random.hpp"
#include "core/text.hpp"

namespace mail {
namespace {

// RFC 3492 §7.1, and a few real names.
TEST(Punycode, samples_of_RFC_3492) {
  struct Sample {
    std::u32string text;
    const char* encoded;
  };
  const std::vector<Sample> samples = {
      {U"b\u00fccher", "bcher-kva"},
      {U"m\u00fcnchen", "mnchen-3ya"},
      {U"\u4ed6\u4eec\u4e3a\u4ec0\u4e48\u4e0d\u8bf4\u4e2d\u6587", "ihqwcrb4cv8a8dqg056pqjye"},  // (B)
      {U"Pro\u010dprost\u011bnemluv\u00ed\u010desky", "Proprostnemluvesky-uyb24dma41a"},        // (D)
      {U"\u0644\u064a\u0647\u0645\u0627\u0628\u062a\u0643\u0644\u0645\u0648\u0634\u0639\u0631\u0628\u064a\u061f",
       "egbpdaj6bu4bxfgehfvwxn"},                                               // (A)
      {U"3\u5e74B\u7d44\u91d1\u516b\u5148\u751f", "3B-ww4c5e180e575a65lsy2b"},  // (L)
      {U"\u305d\u306e\u30b9\u30d4\u30fc\u30c9\u3067", "d9juau41awczczp"},       // (R)
      {U"\U0001f600x", "x-iv3s"},
  };
  for (const auto& [text, encoded] : samples) {
    const auto made = punycode_encode(text);
    ASSERT_TRUE(made) << encoded;
    EXPECT_EQ(core::lower(*made), core::lower(encoded));
    EXPECT_EQ(punycode_decode(encoded), text) << encoded;
  }
}

TEST(Punycode, what_is_none) {
  for (const auto* text : {"", "-kva", "99999999", "kva-!", "a-\xc3\xbc", "bcher-kv", "zzzzzzzzzzzzzzzzzzzzzzz",
                           "0123456789012345678901234567890123456789012345678901234567890123"}) {
    EXPECT_FALSE(punycode_decode(text)) << text;
  }
  EXPECT_FALSE(punycode_encode(U""));
  EXPECT_FALSE(punycode_encode(std::u32string(64, U'\u00fc')));
  EXPECT_FALSE(punycode_encode(std::u32string(40, U'a') + std::u32string(23, U'\U0010ffff')));
}

TEST(Punycode, round_trips) {
  core::SeededRandom random(3);
  for (int round = 0; round < 20'000; ++round) {
    std::u32string text;
    const char32_t limit = random.below(2) ? 0x250 : 0xd000;
    for (auto n = 1 + random.below(15); n > 0; --n) text += static_cast<char32_t>(0x61 + random.below(limit));
    const auto encoded = punycode_encode(text);
    if (!encoded) continue;  // longer than a label
    ASSERT_EQ(punycode_decode(*encoded), text);
  }
}

TEST(Punycode, case_folding) {
  EXPECT_EQ(fold_case(U'A'), U'a');
  EXPECT_EQ(fold_case(U'@'), U'@');
  EXPECT_EQ(fold_case(U'['), U'[');
  const std::u32string upper = U"\u00c4\u00d8\u0100\u0141\u0160\u017d\u0391\u03a9\u0416\u0401";
  const std::u32string lower = U"\u00e4\u00f8\u0101\u0142\u0161\u017e\u03b1\u03c9\u0436\u0451";
  for (std::size_t i = 0; i < upper.size(); ++i) {
    EXPECT_EQ(fold_case(upper[i]), lower[i]) << i;
    EXPECT_EQ(fold_case(lower[i]), lower[i]) << i;
  }
  for (const char32_t same : U"\u00d7\u00f7\u00df\u0138\u4e00") EXPECT_EQ(fold_case(same), same);
  EXPECT_EQ(to_utf8(U"a\u00fc\u4e2d\U0001f600"), "a\u00fc\u4e2d\U0001f600");
}

}  // namespace
}  // namespace mail
