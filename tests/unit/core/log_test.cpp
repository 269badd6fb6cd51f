// OP-06: whatever a peer says, one event is one line, and a line is one JSON object.
#include "core/log.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "core/text.hpp"

namespace core {
namespace {

using namespace std::string_literals;
using nlohmann::json;

class Lines final : public LogSink {
 public:
  void write(std::string_view line) override { all.emplace_back(line); }
  std::vector<std::string> all;
};

TEST(Log, one_json_object_a_line) {
  Lines lines;
  const Log log(lines, LogFormat::json, LogLevel::info);
  log.with("session", "abc").info("accepted", {{"ip", "192.0.2.1"}, {"port", 25}, {"tls", true}, {"rate", 1.5}});
  ASSERT_EQ(lines.all.size(), 1U);
  ASSERT_TRUE(lines.all[0].ends_with("}\n"));
  const auto object = json::parse(lines.all[0]);
  EXPECT_EQ(object["event"], "accepted");
  EXPECT_EQ(object["level"], "info");
  EXPECT_EQ(object["session"], "abc");
  EXPECT_EQ(object["ip"], "192.0.2.1");
  EXPECT_EQ(object["port"], 25);
  EXPECT_EQ(object["tls"], true);
  EXPECT_EQ(object["rate"], 1.5);
  EXPECT_EQ(object["time"].get<std::string>().size(), std::string("2026-11-21T03:45:33.000Z").size());
}

TEST(Log, levels) {
  Lines lines;
  Log log(lines, LogFormat::json, LogLevel::warn);
  log.debug("a");
  log.info("b");
  log.warn("c");
  log.error("d");
  EXPECT_EQ(lines.all.size(), 2U);
  log.set_level(LogLevel::debug);
  log.debug("e");
  EXPECT_EQ(lines.all.size(), 3U);
}

// A terminal that shows the line must show nothing but the line.
void expect_harmless(const std::string& line) {
  ASSERT_FALSE(line.empty());
  ASSERT_EQ(line.find('\n'), line.size() - 1);
  for (std::size_t i = 0; i + 1 < line.size(); ++i) {
    const auto c = static_cast<unsigned char>(line[i]);
    ASSERT_TRUE(c >= 0x20 && c != 0x7f) << static_cast<int>(c);
    ASSERT_FALSE(c == 0xc2 && static_cast<unsigned char>(line[i + 1]) < 0xa0) << "C1";
  }
  for (const auto* bidi : {"\xe2\x80\xae", "\xe2\x80\xab", "\xe2\x81\xa6", "\xe2\x81\xa9", "\xe2\x80\xa8"}) {
    ASSERT_EQ(line.find(bidi), std::string::npos);
  }
  ASSERT_TRUE(is_utf8(line));
}

TEST(Threats, OP_06_hostile_values_are_escaped) {
  const std::vector<std::string> values = {"a\r\n{\"event\":\"forged\"}\n"s,
                                           "\x1b]0;owned\x07"s,
                                           "\0\0"s,
                                           "\"},{\"x\":\""s,
                                           "\\"s,
                                           "\\\""s,
                                           "\x7f"s,
                                           "\xc2\x9b"
                                           "31m"s,
                                           "\xe2\x80\xae"
                                           "gpj.exe"s,
                                           "\xe2\x81\xa6"s,
                                           "\xe2\x80\xa8"s,
                                           "\xff\xfe"s,
                                           "\xc3\xa9"s,
                                           "\xc3"s,
                                           "\xe2\x80"s,
                                           "\xc2"s,
                                           "\xf0\x9f\x98\x80"s,
                                           "a=b c"s,
                                           ""s,
                                           "=evil"s};
  for (const auto& value : values) {
    for (const auto format : {LogFormat::json, LogFormat::text}) {
      Lines lines;
      const Log log(lines, format, LogLevel::info);
      log.with("bound", value).info("event", {{"helo", value}});
      ASSERT_EQ(lines.all.size(), 1U);
      ASSERT_NO_FATAL_FAILURE(expect_harmless(lines.all[0])) << printable(value);
      if (format == LogFormat::text) continue;
      const auto object = json::parse(lines.all[0]);
      EXPECT_EQ(object["event"], "event");
      EXPECT_EQ(object["bound"], object["helo"]);
      if (is_utf8(value)) EXPECT_EQ(object["helo"], value) << "nothing is lost";
    }
  }
}

TEST(Threats, OP_06_random_values_stay_one_object) {
  std::mt19937 random(4);
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  for (int round = 0; round < 3000; ++round) {
    std::string value;
    for (auto size = below(40); size > 0; --size) {
      value += below(3) == 0 ? "\xe2\x80\xae\xc2\x85\"\\\r\n"[below(9)] : static_cast<char>(below(256));
    }
    Lines lines;
    Log(lines, LogFormat::json, LogLevel::info).info("event", {{"v", value}, {"w", 1}});
    ASSERT_NO_FATAL_FAILURE(expect_harmless(lines.all[0])) << printable(value);
    const auto object = json::parse(lines.all[0], nullptr, false);
    ASSERT_FALSE(object.is_discarded());
    ASSERT_EQ(object.size(), 5U);
    ASSERT_EQ(object["w"], 1);
  }
}

TEST(Threats, OP_06_long_values_are_cut_and_stay_valid) {
  std::string accents;
  for (int i = 0; i < 2000; ++i) accents += "\xc3\xa9";
  for (const auto& value : {std::string(100'000, 'x'), accents, "x" + accents}) {
    Lines lines;
    Log(lines, LogFormat::json, LogLevel::info).info("event", {{"v", value}});
    ASSERT_NO_FATAL_FAILURE(expect_harmless(lines.all[0]));
    EXPECT_LT(lines.all[0].size(), 7000U);
    EXPECT_TRUE(json::accept(lines.all[0]));
  }
}

TEST(Log, text_form) {
  Lines lines;
  Log(lines, LogFormat::text, LogLevel::info).with("id", "x1").info("queued", {{"to", "a b"}, {"n", 3}, {"e", ""}});
  EXPECT_TRUE(lines.all[0].ends_with(" info queued id=x1 to=\"a b\" n=3 e=\"\"\n")) << lines.all[0];
}

}  // namespace
}  // namespace core
