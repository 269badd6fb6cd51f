#include "core/units.hpp"

#include <gtest/gtest.h>

#include "core/error.hpp"

namespace core {
namespace {

TEST(Duration, parse) {
  const std::vector<std::pair<const char*, std::int64_t>> rows = {{"0", 0},
                                                                  {"0s", 0},
                                                                  {"5ms", 5},
                                                                  {"30s", 30'000},
                                                                  {"300s", 300'000},
                                                                  {"5m", 300'000},
                                                                  {"2h", 7'200'000},
                                                                  {"21d", 1'814'400'000},
                                                                  {"1w", 604'800'000},
                                                                  {"1h30m", 5'400'000},
                                                                  {"1d1ms", 86'400'001}};
  for (const auto& [text, ms] : rows) EXPECT_EQ(parse_duration(text), Milliseconds(ms)) << text;
  for (const auto* bad : {"", "5", "s", "-5s", "5 s", " 5s", "5s ", "5S", "5y", "1.5h", "5mm", "1h30", "99999999999d",
                          "18446744073709551615w", "18446744073709551616s", "9000w9000w9000w"}) {
    EXPECT_FALSE(parse_duration(bad)) << bad;
  }
}

TEST(Duration, format_is_the_shortest_exact_form) {
  const std::vector<std::pair<std::int64_t, const char*>> rows = {
      {0, "0s"},       {1, "1ms"},         {1500, "1500ms"},   {300'000, "5m"},
      {90'000, "90s"}, {86'400'000, "1d"}, {604'800'000, "1w"}};
  for (const auto& [ms, text] : rows) {
    EXPECT_EQ(format_duration(Milliseconds(ms)), text);
    EXPECT_EQ(parse_duration(text), Milliseconds(ms));
  }
}

TEST(Size, parse_and_format) {
  const std::vector<std::pair<const char*, std::uint64_t>> rows = {{"0", 0},
                                                                   {"512", 512},
                                                                   {"512 B", 512},
                                                                   {"256 KiB", 262'144},
                                                                   {"25 MiB", 26'214'400},
                                                                   {"25MiB", 26'214'400},
                                                                   {"25 mib", 26'214'400},
                                                                   {"10 GiB", 10'737'418'240},
                                                                   {"1 TiB", 1'099'511'627'776}};
  for (const auto& [text, octets] : rows) EXPECT_EQ(parse_size(text), octets) << text;
  for (const auto* bad :
       {"", " ", "MiB", "-1", "1.5 MiB", "25 MB", "25 M", "25 MiB x", "16777216 TiB", "18446744073709551616"}) {
    EXPECT_FALSE(parse_size(bad)) << bad;
  }
  EXPECT_EQ(format_size(0), "0 B");
  EXPECT_EQ(format_size(26'214'400), "25 MiB");
  EXPECT_EQ(format_size(1025), "1025 B");
}

TEST(Errc, every_value_has_its_own_text) {
  EXPECT_EQ(describe(Errc::timed_out), "timed out");
  EXPECT_EQ(describe(Error()), "success");
  for (int value = 1; value <= static_cast<int>(Errc::io); ++value) {
    EXPECT_NE(describe(static_cast<Errc>(value)), "unknown") << value;
  }
}

}  // namespace
}  // namespace core
