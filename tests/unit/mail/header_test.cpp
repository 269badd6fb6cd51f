#include "mail/header.hpp"

#include <gtest/gtest.h>

#include <random>

#include "core/text.hpp"

namespace mail {
namespace {

using core::Errc;
using namespace std::string_literals;

TEST(Headers, parse) {
  const std::string section =
      "Received: from a\r\n\tby b;\r\n  date\r\nSubject:x\r\nsubject: second\r\nEmpty:\r\nDate: \r\n";
  const auto headers = Headers::parse(section);
  ASSERT_TRUE(headers);
  ASSERT_EQ(headers->fields().size(), 5U);
  const auto& received = headers->fields()[0];
  EXPECT_EQ(received.name, "Received");
  EXPECT_EQ(received.raw, "Received: from a\r\n\tby b;\r\n  date\r\n");
  EXPECT_EQ(received.value(), " from a\r\n\tby b;\r\n  date");
  EXPECT_EQ(unfold(received.value()), "from a by b; date");
  EXPECT_EQ(headers->count("SUBJECT"), 2U);
  EXPECT_EQ(headers->first("Subject")->value(), "x");
  EXPECT_EQ(headers->all("subject")[1]->value(), " second");
  EXPECT_EQ(headers->first("Empty")->value(), "");
  EXPECT_EQ(headers->first("To"), nullptr);
  std::string all;
  for (const auto& field : headers->fields()) all += field.raw;
  EXPECT_EQ(all, section) << "every octet belongs to one field";
  EXPECT_TRUE(Headers::parse("")->fields().empty());
}

TEST(Threats, SM_06_what_is_not_clearly_a_header_is_refused) {
  for (const auto& bad : {" leading: space\r\n"s,
                          "\tleading: tab\r\n"s,
                          "A: b\r\n \r\nC: d\r\n"s,
                          "A: b\r\n \t \r\n"s,
                          "no colon\r\n"s,
                          "A: b\r\nno colon\r\nC: d\r\n"s,
                          "From : a@b\r\n"s,
                          "From\t: a@b\r\n"s,
                          "From\r\n : a@b\r\n"s,
                          ": no name\r\n"s,
                          "A b: c\r\n"s,
                          "\xc3\xa9: x\r\n"s,
                          "A\x01: x\r\n"s,
                          "A\x7f: x\r\n"s,
                          "\r\n"s,
                          "A: b\r\n\r\n"s,
                          "A: b\r\n\r\nC: d\r\n"s,
                          "A: b\n"s,
                          "A: b\rC: d\r\n"s,
                          "A: b\nC: d\r\n"s,
                          "A: b\r\r\n"s,
                          "A: b\0c\r\n"s,
                          "A: b"s,
                          "A: b\r"s,
                          "\n"s,
                          "A: b\r\n "s,
                          ">From x: y\r\n x\n"s}) {
    const auto headers = Headers::parse(bad);
    EXPECT_TRUE(!headers && headers.error() == Errc::malformed) << core::printable(bad);
  }
  EXPECT_TRUE(Headers::parse("A: b\r\n c\r\n")) << "a fold is none of these";
  EXPECT_TRUE(Headers::parse("A:\r\n b\r\n")) << "an empty first line is a legal fold";
  EXPECT_TRUE(Headers::parse("A: \xff\r\n")) << "8-bit octets in a value are content";
}

TEST(Threats, CR_06_header_limits) {
  std::string fields;
  for (std::size_t i = 0; i < kMaxHeaderFields; ++i) fields += "A: b\r\n";
  EXPECT_EQ(Headers::parse(fields)->fields().size(), kMaxHeaderFields);
  EXPECT_EQ(Headers::parse(fields + "A: b\r\n").error(), Errc::exhausted);
  const std::string big = "A: " + std::string(kMaxHeaderOctets - 5, 'x') + "\r\n";
  EXPECT_EQ(big.size(), kMaxHeaderOctets);
  EXPECT_TRUE(Headers::parse(big));
  EXPECT_EQ(Headers::parse("B: c\r\n" + big).error(), Errc::exhausted);
  std::string folds = "A: b\r\n";
  while (folds.size() + 4 <= kMaxHeaderOctets) folds += " c\r\n";
  EXPECT_EQ(Headers::parse(folds)->fields().size(), 1U);
}

TEST(HeaderScanner, finds_the_end_in_every_split) {
  const std::vector<std::pair<std::string, std::uint64_t>> rows = {
      {"\r\nbody", 2},
      {"A: b\r\n\r\nbody\r\n\r\nmore", 8},
      {"A: b\r\n \r\nC: d\r\n\r\n", 17},
      {"A: b\r\r\n\r\n", 9},
      {"A: b\n\nC\r\n\r\n", 11},
      {"\n\r\n\r\n", 5},
      {"A: b\r\n\r\r\n\r\n", 11},
  };
  for (const auto& [text, end] : rows) {
    for (std::size_t a = 0; a <= text.size(); ++a) {
      for (std::size_t b = a; b <= text.size(); ++b) {
        HeaderScanner scanner;
        std::optional<std::uint64_t> found;
        for (const auto& slice : {text.substr(0, a), text.substr(a, b - a), text.substr(b)})
          found = scanner.feed(slice);
        ASSERT_EQ(found, end) << core::printable(text) << " cut at " << a << ", " << b;
      }
    }
  }
  HeaderScanner scanner;
  EXPECT_EQ(scanner.feed("A: b\r\n\r"), std::nullopt);
  EXPECT_EQ(scanner.feed(""), std::nullopt);
  EXPECT_EQ(scanner.feed("\n"), 8U);
  EXPECT_EQ(scanner.feed("\r\n\r\n"), 8U) << "the first one counts";
}

TEST(HeaderScanner, agrees_with_find_on_all_short_inputs) {
  std::mt19937 random(5);
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (auto size = below(16); size > 0; --size) text += "\r\na"[below(3)];
    const auto at = ("\r\n" + text).find("\r\n\r\n");
    const auto expected = at == std::string::npos ? std::nullopt : std::optional<std::uint64_t>(at + 2);
    const auto cut = below(text.size() + 1);
    HeaderScanner scanner;
    scanner.feed(std::string_view(text).substr(0, cut));
    ASSERT_EQ(scanner.feed(std::string_view(text).substr(cut)), expected) << core::printable(text);
  }
}

TEST(Unfold, blanks) {
  EXPECT_EQ(unfold(" a\r\n b "), "a b");
  EXPECT_EQ(unfold("a \t\r\n \t b"), "a b");
  EXPECT_EQ(unfold("a  b"), "a  b") << "blanks that are no fold stay";
  EXPECT_EQ(unfold("\r\n a\r\n b\r\n"), "a b");
  EXPECT_EQ(unfold(""), "");
}

// RL-04: one valid field, whatever the name of a host or a certificate holds.
void expect_valid_field(const std::string& field, std::string_view name) {
  const auto headers = Headers::parse(field);
  ASSERT_TRUE(headers) << core::printable(field);
  ASSERT_EQ(headers->fields().size(), 1U);
  ASSERT_EQ(headers->fields()[0].name, name);
  ASSERT_TRUE(core::is_utf8(field));
  for (std::string_view rest = field; !rest.empty();) {
    const auto end = rest.find("\r\n");
    ASSERT_LE(end, 998U);
    rest.remove_prefix(end + 2);
  }
}

TEST(MakeField, folding) {
  EXPECT_EQ(make_field("A", "b"), "A: b\r\n");
  EXPECT_EQ(make_field("A", ""), "A:\r\n");
  EXPECT_EQ(make_field("A", "  b  c  "), "A: b  c\r\n");
  std::string text;
  for (int i = 0; i < 40; ++i) text += "word" + std::to_string(i) + " ";
  const auto field = make_field("X-Name", text);
  for (const auto line : core::split(field, '\n')) EXPECT_LE(line.size(), 79U);  // 78 and the CR
  EXPECT_EQ(unfold(field.substr(7)) + " ", text);
  // A word that fits a line of its own is not cut; the first stays beside the name.
  EXPECT_EQ(make_field("A", std::string(200, 'x')), "A: " + std::string(200, 'x') + "\r\n");
  EXPECT_EQ(make_field("A", "b " + std::string(200, 'x')), "A: b\r\n " + std::string(200, 'x') + "\r\n");
}

TEST(Threats, RL_04_fields_from_hostile_text_are_one_valid_field) {
  for (const auto& text :
       {"from evil)\r\nX-Injected: yes\r\n\r\nbody"s, "a\nb"s, "a\rb"s, "a\0b"s, "\x1b[31m"s, "\xff\xc3 \xe2\x80"s,
        "\xc2\x85\xe2\x80\xa8"s, std::string(1024, ')'), std::string(5000, 'x'), std::string(5000, ' ') + "x",
        "x" + std::string(3000, '\t') + "y", "\r\n \r\n"s}) {
    expect_valid_field(make_field("Received", text), "Received");
  }
  std::string accents;
  for (int i = 0; i < 2000; ++i) accents += "\xc3\xa9";
  expect_valid_field(make_field("A", accents), "A");
  EXPECT_EQ(make_field("A", "b\r\nC: d"), "A: b??C: d\r\n");
  EXPECT_EQ(make_field("A", "\xc3\xa9\xff"), "A: \xc3\xa9?\r\n");
  expect_valid_field(make_field("A\r\nB: x", "y"), "A--B--x");

  std::mt19937 random(9);
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (auto size = below(2500); size > 0; --size) {
      text += below(4) == 0 ? " "[0] : static_cast<char>(below(below(2) == 0 ? 256 : 128));
    }
    ASSERT_NO_FATAL_FAILURE(expect_valid_field(make_field("X-Test", text), "X-Test"));
  }
}

TEST(FormatDate, rfc5322) {
  EXPECT_EQ(format_date(1795232733), "Sat, 21 Nov 2026 03:45:33 +0000");
  EXPECT_EQ(format_date(0), "Thu, 1 Jan 1970 00:00:00 +0000");
  EXPECT_EQ(format_date(951782400), "Tue, 29 Feb 2000 00:00:00 +0000");
  EXPECT_EQ(format_date(-5), format_date(0));
  EXPECT_EQ(format_date(INT64_MAX), "Fri, 31 Dec 9999 23:59:59 +0000");
}

}  // namespace
}  // namespace mail
