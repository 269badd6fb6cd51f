#include "auth/canonical.hpp"

#include <gtest/gtest.h>

#include <ctime>

#include "auth/messages.hpp"
#include "auth/naive_canonical.hpp"
#include "core/text.hpp"

namespace {

using auth::BodyHasher;
using auth::Canon;

struct Collect final : auth::ByteSink {
  void write(std::string_view octets) override { text += octets; }
  std::string text;
};

std::string body_in_one(Canon canon, std::string_view text) {
  Collect sink;
  auth::BodyCanonicalizer canonical(canon);
  canonical.update(text, sink);
  canonical.finish(sink);
  return sink.text;
}

std::string header(Canon canon, std::string_view raw) {
  std::string out;
  auth::append_canonical_header(canon, raw, out);
  return out;
}

TEST(Canonical, rfc6376_3_4_5_example) {
  constexpr std::string_view kBody = " C \r\nD \t E\r\n\r\n\r\n";
  EXPECT_EQ(header(Canon::relaxed, "A: X\r\n"), "a:X\r\n");
  EXPECT_EQ(header(Canon::relaxed, "B : Y\t\r\n\tZ  \r\n"), "b:Y Z\r\n");
  EXPECT_EQ(header(Canon::simple, "B : Y\t\r\n\tZ  \r\n"), "B : Y\t\r\n\tZ  \r\n");
  EXPECT_EQ(body_in_one(Canon::relaxed, kBody), " C\r\nD E\r\n");
  EXPECT_EQ(body_in_one(Canon::simple, kBody), " C \r\nD \t E\r\n");
}

TEST(Canonical, rfc6376_3_4_2_header_corners) {
  EXPECT_EQ(header(Canon::relaxed, "Subject:\r\n"), "subject:\r\n");
  EXPECT_EQ(header(Canon::relaxed, "Subject: \t \r\n"), "subject:\r\n");
  EXPECT_EQ(header(Canon::relaxed, "Subject:\r\n folded at once\r\n"), "subject:folded at once\r\n");
  EXPECT_EQ(header(Canon::relaxed, "X: a\r\n \r\n b\r\n"), "x:a b\r\n");
  EXPECT_EQ(header(Canon::relaxed, "X: a:b\xff\r\n"), "x:a:b\xff\r\n");
  EXPECT_EQ(header(Canon::relaxed, "X: no end"), "x:no end");
  EXPECT_EQ(header(Canon::relaxed, "X: cr\rlf\n\r\n"), "x:cr\rlf\n\r\n");
}

// RFC 6376 §3.4.3, §3.4.4: the hashes of the empty body are given there.
TEST(Canonical, rfc6376_empty_bodies) {
  EXPECT_EQ(BodyHasher(Canon::simple).finish().to_base64(), "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=");
  EXPECT_EQ(BodyHasher(Canon::relaxed).finish().to_base64(), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
  for (const auto* empty : {"", "\r\n", "\r\n\r\n\r\n"}) {
    EXPECT_EQ(body_in_one(Canon::simple, empty), "\r\n");
    EXPECT_EQ(body_in_one(Canon::relaxed, empty), "");
  }
  EXPECT_EQ(body_in_one(Canon::relaxed, " \r\n\t\r\n  "), "");
}

TEST(Canonical, a_body_without_final_line_end_gets_one) {
  EXPECT_EQ(body_in_one(Canon::simple, "a \r\nb "), "a \r\nb \r\n");
  EXPECT_EQ(body_in_one(Canon::relaxed, "a \r\nb "), "a\r\nb\r\n");
  EXPECT_EQ(body_in_one(Canon::relaxed, "a\r"), "a\r\r\n");
  EXPECT_EQ(body_in_one(Canon::simple, "a\r"), "a\r\r\n");
}

TEST(Canonical, blank_lines_at_the_end_hide_nothing_before_them) {
  EXPECT_EQ(body_in_one(Canon::relaxed, "a\r\n \r\n\t\r\n \r\nb\r\n \r\n"), "a\r\n\r\n\r\n\r\nb\r\n");
  EXPECT_EQ(body_in_one(Canon::relaxed, "a\r\n b\r\n"), "a\r\n b\r\n");
  EXPECT_EQ(body_in_one(Canon::relaxed, "a\r\n  b\r\n"), "a\r\n b\r\n");
}

// The vector scan looks at 64 octets at a time: a doubtful place at each offset around its borders.
TEST(Canonical, every_offset_of_a_doubtful_place) {
  for (const std::string_view place :
       {" ", "  ", "\t", " \t", "\r\n", "\r\n\r\n", " \r\n", "\r\n ", "\r\n \r\n", "\r\n\t\r\n", "\r", "\n", "\r\r\n",
        " \r", "\n\r\n", "\n ", "\r\n\r", "\r\n  \r\n\r\n"}) {
    for (std::size_t before = 0; before < 200; ++before) {
      for (const std::size_t after : {0UL, 1UL, 63UL, 64UL, 65UL, 130UL}) {
        const auto text = std::string(before, 'x') + std::string(place) + std::string(after, 'y');
        ASSERT_EQ(body_in_one(Canon::relaxed, text), naive::body(true, text)) << before << ' ' << after;
        ASSERT_EQ(body_in_one(Canon::simple, text), naive::body(false, text)) << before << ' ' << after;
      }
    }
  }
}

TEST(Canonical, any_slices_give_the_same) {
  messages::Generator random(3);
  for (int i = 0; i < 3000; ++i) {
    auto text = random.body();
    for (auto n = random.below(4); n > 0 && !text.empty(); --n) {  // lone CR and LF too
      text.insert(random.below(text.size()), 1, random.below(2) == 0 ? '\r' : '\n');
    }
    if (random.below(3) == 0 && !text.empty()) text.resize(random.below(text.size()));
    for (const auto canon : {Canon::simple, Canon::relaxed}) {
      const auto want = naive::body(canon == Canon::relaxed, text);
      ASSERT_EQ(body_in_one(canon, text), want);
      Collect sink;
      auth::BodyCanonicalizer canonical(canon);
      BodyHasher hasher(canon);
      const auto most = 1 + random.below(random.below(2) == 0 ? 4 : 200);
      for (std::string_view rest = text; !rest.empty();) {
        const auto size = std::min<std::size_t>(rest.size(), random.below(most + 1));
        canonical.update(rest.substr(0, size), sink);
        hasher.update(rest.substr(0, size));
        rest.remove_prefix(size);
      }
      canonical.finish(sink);
      ASSERT_EQ(sink.text, want);
      const auto hash = hasher.finish();
      EXPECT_EQ(hash.length, want.size());
      EXPECT_EQ(hash.digest, core::sha256(want));
    }
  }
}

TEST(Canonical, body_length_limit_counts_canonical_octets) {
  for (const std::uint64_t limit : {0U, 1U, 5U, 11U, 100U}) {
    BodyHasher hasher(Canon::relaxed, limit);
    hasher.update("one  two \r\nthree\r\n");
    const auto hash = hasher.finish();
    const auto want = std::string("one two\r\nthree\r\n").substr(0, limit);
    EXPECT_EQ(hash.length, want.size());
    EXPECT_EQ(hash.digest, core::sha256(want));
  }
}

// Linear: the worst octets cost at most a few times what prose costs. Processor time against processor time, so that
// the machine and its load do not matter much; the quadratic ways of doing this would be off by a factor of thousands.
TEST(Threats, CR_07_blanks_and_line_ends_cost_no_more_than_prose) {
  static constexpr std::size_t kSlice = 16384;
  const auto repeated = [](std::string_view piece, std::size_t size) {
    std::string out;
    while (out.size() < size) out += piece;
    return out;
  };
  const auto seconds_for_a_mebibyte = [](const std::string& text) {
    const auto start = std::clock();
    BodyHasher hasher;
    for (std::string_view rest = text; !rest.empty(); rest.remove_prefix(std::min(rest.size(), kSlice))) {
      hasher.update(rest.substr(0, kSlice));
    }
    EXPECT_LE(hasher.finish().length, text.size() + 2);
    const auto seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    return seconds * 1024 * 1024 / static_cast<double>(text.size());
  };
  constexpr std::size_t kMebibyte = 1024 * 1024;
  const auto prose = seconds_for_a_mebibyte(
      repeated("The quick brown fox jumps over the lazy dog, and then does it all over again.\r\n", 25 * kMebibyte));
  const auto check = [&](std::string_view piece, std::size_t size) {
    const auto text = repeated(piece, size);
    EXPECT_LT(seconds_for_a_mebibyte(text), 60 * prose + 0.05) << testing::PrintToString(piece);
    EXPECT_LT(seconds_for_a_mebibyte(text + "end"), 60 * prose + 0.05) << testing::PrintToString(piece);
  };
  for (const auto* piece : {" ", "\r\n"}) check(piece, 25 * kMebibyte);
  for (const auto* piece : {"\t", " \r\n", "a ", "a  ", "\r", "\n", "\r\n "}) check(piece, 2 * kMebibyte);
}

}  // namespace
