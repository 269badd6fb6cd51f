// Framing of command lines: what is a line, what is a bad one, and where reading stops.
#include "smtpd/line_reader.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "mail/command.hpp"

namespace smtpd {
namespace {

using Kind = Line::Kind;

// All that the reader says about `input` when it comes in slices of `step` octets.
std::vector<std::pair<Kind, std::string>> read_all(std::string_view input, std::size_t step) {
  std::vector<std::pair<Kind, std::string>> lines;
  LineReader reader;
  std::string buffer;
  while (true) {
    const auto line = reader.next(buffer);
    EXPECT_LE(line.consumed, buffer.size());
    if (line.kind != Kind::more) lines.emplace_back(line.kind, line.text);
    if (line.kind == Kind::too_long || line.kind == Kind::tls || line.kind == Kind::proxy) return lines;
    const bool stuck = line.kind == Kind::more;
    buffer.erase(0, line.consumed);
    if (!stuck) continue;
    if (input.empty()) return lines;
    buffer += input.substr(0, step);
    input.remove_prefix(std::min(step, input.size()));
  }
}

using Lines = std::vector<std::pair<Kind, std::string>>;

void expect_lines(std::string_view input, const Lines& expected) {
  for (const std::size_t step : {1U, 2U, 3U, 7U, 100000U}) {
    EXPECT_EQ(read_all(input, step), expected) << "slices of " << step << ": " << input.substr(0, 60);
  }
}

TEST(LineReader, CrlfEndsALine) {
  expect_lines("NOOP\r\nQUIT\r\n", {{Kind::good, "NOOP"}, {Kind::good, "QUIT"}});
  expect_lines("\r\n", {{Kind::good, ""}});
  expect_lines("NOOP", {});
  expect_lines("NOOP\r", {});
}

TEST(Threats, SM_12_bare_line_ends_are_bad_lines) {
  expect_lines("NOOP\n", {{Kind::bare_end, "NOOP"}});
  expect_lines("NOOP\nQUIT\r\n", {{Kind::bare_end, "NOOP"}, {Kind::good, "QUIT"}});
  expect_lines("NOOP\rQUIT\r\n", {{Kind::bare_end, "NOOP"}, {Kind::good, "QUIT"}});
  expect_lines("NOOP\r\r\nQUIT\r\n", {{Kind::bare_end, "NOOP"}, {Kind::good, "QUIT"}});
  expect_lines("NOOP\r\r\rQ\r\n", {{Kind::bare_end, "NOOP"}, {Kind::good, "Q"}});
}

TEST(Threats, RS_04_line_limit_and_one_more) {
  const std::string longest(mail::kMaxCommandLine - 2, 'x');
  expect_lines(longest + "\r\n", {{Kind::good, longest}});
  expect_lines(longest + "x\r\nNOOP\r\n", {{Kind::too_long, ""}});
  expect_lines(std::string(mail::kMaxCommandLine - 1, 'x') + "\n",
               {{Kind::bare_end, std::string(mail::kMaxCommandLine - 1, 'x')}});
  expect_lines(std::string(kMaxDiscard, '\r'), {{Kind::too_long, ""}});
}

TEST(Threats, RS_04_at_most_64_KiB_are_discarded) {
  LineReader reader;
  std::size_t read = 0;
  const std::string slice(4096, 'x');
  for (;;) {
    const auto line = reader.next(slice);
    ASSERT_EQ(line.consumed, slice.size());
    read += line.consumed;
    if (line.kind == Kind::too_long) break;
    ASSERT_EQ(line.kind, Kind::more);
    ASSERT_LT(read, 2 * kMaxDiscard);
  }
  EXPECT_EQ(read, kMaxDiscard);
}

TEST(Threats, SM_13_a_TLS_record_needs_no_line_end) {
  expect_lines(std::string("\x16\x03\x01\x02\x00", 5), {{Kind::tls, ""}});
  expect_lines(std::string("NOOP\r\n\x16\x03\x01", 9), {{Kind::good, "NOOP"}, {Kind::tls, ""}});
}

TEST(Threats, OP_07_proxy_header_from_anybody) {
  LineReader v1;
  EXPECT_EQ(v1.next("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n").kind, Kind::proxy);
  LineReader v2;
  EXPECT_EQ(v2.next(std::string_view("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", 16)).kind, Kind::proxy);
  // Only as the very first thing; later it is just an unknown command.
  expect_lines("NOOP\r\nPROXY x\r\n", {{Kind::good, "NOOP"}, {Kind::good, "PROXY x"}});
}

}  // namespace
}  // namespace smtpd
