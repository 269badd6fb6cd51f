#include "core/text.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <random>

namespace core {
namespace {

using namespace std::string_literals;

TEST(Text, case_is_ascii_only) {
  EXPECT_EQ(lower("AbZ[\xc3\x89"), "abz[\xc3\x89");
  EXPECT_TRUE(iequals("AbC", "aBc"));
  EXPECT_FALSE(iequals("abc", "abcd"));
  EXPECT_FALSE(iequals("[", "{")) << "letters only";
  EXPECT_FALSE(iequals("@", "`"));
  EXPECT_TRUE(istarts_with("Mail From:", "mail"));
  EXPECT_FALSE(istarts_with("ma", "mail"));
  EXPECT_TRUE(iends_with("a.Example.ORG", ".example.org"));
  EXPECT_FALSE(iends_with("org", "example.org"));
  for (int c = 0; c < 256; ++c) {
    const char octet = static_cast<char>(c);
    EXPECT_EQ(is_alpha(octet), (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) << c;
    EXPECT_EQ(is_digit(octet), c >= '0' && c <= '9') << c;
    EXPECT_EQ(is_8bit(octet), c >= 128) << c;
  }
}

TEST(Text, trim_and_split) {
  EXPECT_EQ(trim(" \ta b\t "), "a b");
  EXPECT_EQ(trim(" \t "), "");
  EXPECT_EQ(trim("\r\na"), "\r\na") << "line ends are no blanks";
  EXPECT_EQ(split("a,,b,", ','), (std::vector<std::string_view>{"a", "", "b", ""}));
  EXPECT_EQ(split("", ','), (std::vector<std::string_view>{""}));
}

TEST(Text, parse_number) {
  EXPECT_EQ(parse_number("0"), 0U);
  EXPECT_EQ(parse_number("007"), 7U);
  EXPECT_EQ(parse_number("18446744073709551615"), 18446744073709551615U);
  for (const auto* bad : {"", "-1", "+1", " 1", "1 ", "1x", "0x1", "18446744073709551616", "1.0", "1e3"}) {
    EXPECT_FALSE(parse_number(bad)) << bad;
  }
  EXPECT_FALSE(parse_number("1\0"s));
}

TEST(Threats, UP_01_OP_06_printable_leaves_tab_and_ascii_only) {
  for (int c = 0; c < 256; ++c) {
    const std::string octet(1, static_cast<char>(c));
    EXPECT_EQ(printable(octet), c == '\t' || (c >= ' ' && c <= '~') ? octet : "?") << c;
  }
  EXPECT_EQ(printable("a\r\n\xe2\x80\xae"), "a?????");
}

TEST(Text, is_utf8) {
  for (const auto& good : {""s, "abc\0"s, "\xc2\x80"s, "\xdf\xbf"s, "\xe0\xa0\x80"s, "\xed\x9f\xbf"s, "\xee\x80\x80"s,
                           "\xef\xbf\xbf"s, "\xf0\x90\x80\x80"s, "\xf4\x8f\xbf\xbf"s, "a\xc3\xa9z"s}) {
    EXPECT_TRUE(is_utf8(good)) << printable(good);
  }
  for (const auto& bad :
       {"\x80"s, "\xbf"s, "\xc0\x80"s, "\xc1\xbf"s, "\xc2"s, "\xc2z"s, "\xe0\x80\x80"s, "\xe0\x9f\xbf"s,
        "\xed\xa0\x80"s, "\xed\xbf\xbf"s, "\xe2\x82"s, "\xf0\x80\x80\x80"s, "\xf0\x8f\xbf\xbf"s, "\xf4\x90\x80\x80"s,
        "\xf5\x80\x80\x80"s, "\xff"s, "\xfe"s, "a\xc3"s, "\xf0\x90\x80"s}) {
    EXPECT_FALSE(is_utf8(bad)) << printable(bad);
  }
}

TEST(Glob, table) {
  struct Row {
    const char *pattern, *text;
    bool match;
  };
  for (const auto& [pattern, text, match] : std::vector<Row>{{"*", "", true},
                                                             {"*", "anything", true},
                                                             {"", "", true},
                                                             {"", "a", false},
                                                             {"?", "", false},
                                                             {"?", "a", true},
                                                             {"a*c", "ac", true},
                                                             {"a*c", "abbbc", true},
                                                             {"a*c", "abbbcd", false},
                                                             {"*@spam.example", "Joe@SPAM.example", true},
                                                             {"*@spam.example", "joe@notspam.example", false},
                                                             {"*.example", "example", false},
                                                             {"a**b", "ab", true},
                                                             {"*a*b*", "xxaxxbxx", true},
                                                             {"*aab", "aaaab", true},
                                                             {"a?c*", "abc", true},
                                                             {"[a]", "a", false},
                                                             {"\\*", "*", false},
                                                             {"*?", "", false}}) {
    EXPECT_EQ(glob_match(pattern, text), match) << pattern << " " << text;
  }
}

bool slow_glob(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern.front() == '*') {
    return slow_glob(pattern.substr(1), text) || (!text.empty() && slow_glob(pattern, text.substr(1)));
  }
  if (text.empty() || (pattern.front() != '?' && pattern.front() != text.front())) return false;
  return slow_glob(pattern.substr(1), text.substr(1));
}

TEST(Glob, agrees_with_the_plain_definition) {
  std::mt19937 random(1);
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  int matches = 0;
  for (int round = 0; round < 50'000; ++round) {
    std::string pattern, text;
    for (auto size = below(7); size > 0; --size) pattern += "ab*?"[below(4)];
    for (auto size = below(7); size > 0; --size) text += "ab"[below(2)];
    const bool expected = slow_glob(pattern, text);
    matches += expected ? 1 : 0;
    ASSERT_EQ(glob_match(pattern, text), expected) << pattern << " " << text;
  }
  EXPECT_GT(matches, 1000);
}

TEST(Glob, many_stars_are_not_exponential) {
  std::string pattern;
  for (int i = 0; i < 100; ++i) pattern += "*a";
  pattern += "*b";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(glob_match(pattern, std::string(2000, 'a')));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(Base64, both_ways) {
  // RFC 4648 §10.
  const std::vector<std::pair<std::string, std::string>> rows = {{"", ""},
                                                                 {"f", "Zg=="},
                                                                 {"fo", "Zm8="},
                                                                 {"foo", "Zm9v"},
                                                                 {"foob", "Zm9vYg=="},
                                                                 {"fooba", "Zm9vYmE="},
                                                                 {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : rows) {
    EXPECT_EQ(base64_encode(plain), encoded);
    EXPECT_EQ(base64_decode(encoded), plain);
  }
  std::string all;
  for (int c = 0; c < 256; ++c) {
    all += static_cast<char>(c);
    EXPECT_EQ(base64_decode(base64_encode(all)), all);
  }
  EXPECT_EQ(base64_decode("Zm 9v\r\n\tYmFy"), "foobar");
  for (const auto* bad : {"Z", "Zg=", "Zg===", "Z===", "=", "Zm9v=", "Zg==Zg==", "Zm9*", "Zm\x80v", "Zm9vY"}) {
    EXPECT_FALSE(base64_decode(bad)) << bad;
  }
}

}  // namespace
}  // namespace core
