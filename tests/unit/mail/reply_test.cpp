// Replies: what an upstream may say and what of it a client gets to see.
#include "mail/reply.hpp"

#include <gtest/gtest.h>

#include <random>

#include "core/text.hpp"
#include "mail/jsonl.hpp"

namespace mail {
namespace {

using core::Errc;

// One reply from `wire`, fed as a whole; nothing when more input is needed.
core::Result<std::optional<Reply>> parse(std::string_view wire, std::size_t* used = nullptr) {
  ReplyParser parser;
  std::size_t consumed = 0;
  auto result = parser.feed(wire, consumed);
  if (used != nullptr) *used = consumed;
  return result;
}

Reply parsed(std::string_view wire) {
  auto result = parse(wire);
  EXPECT_TRUE(result.has_value() && result->has_value()) << wire;
  return result.has_value() && result->has_value() ? **result : Reply();
}

bool refused(std::string_view wire) {
  const auto result = parse(wire);
  return !result && result.error() == Errc::protocol;
}

std::vector<std::string> wire_lines(std::string_view wire) {
  std::vector<std::string> lines;
  while (!wire.empty()) {
    const auto end = wire.find("\r\n");
    EXPECT_NE(end, std::string_view::npos) << "a line without CRLF";
    if (end == std::string_view::npos) break;
    lines.emplace_back(wire.substr(0, end));
    wire.remove_prefix(end + 2);
  }
  return lines;
}

// What must be true of anything we send, whatever the reply holds (UP-01, UP-02).
void expect_sound(const Reply& reply, int code) {
  const auto wire = reply.to_wire();
  const auto lines = wire_lines(wire);
  ASSERT_FALSE(lines.empty());
  ASSERT_LE(lines.size(), 20U);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    ASSERT_LE(lines[i].size() + 2, 512U);
    ASSERT_EQ(lines[i], core::printable(lines[i]));
    ASSERT_EQ(lines[i].substr(0, 3), std::to_string(code));
    ASSERT_EQ(lines[i][3], i + 1 == lines.size() ? ' ' : '-');
  }
  std::size_t used = 0;
  ReplyParser parser;
  const auto back = parser.feed(wire, used);
  ASSERT_TRUE(back.has_value() && back->has_value());
  ASSERT_EQ(used, wire.size()) << "more than one reply";
  ASSERT_EQ((*back)->code, code);
  if (reply.enhanced && code / 100 != 3) ASSERT_EQ((*back)->enhanced.klass, code / 100);
}

TEST(EnhancedCode, parse) {
  EXPECT_EQ(parse_enhanced_code("5.7.1"), (EnhancedCode{5, 7, 1}));
  EXPECT_EQ(parse_enhanced_code("2.999.0 ok"), (EnhancedCode{2, 999, 0}));
  EXPECT_EQ(parse_enhanced_code("4.7.26 "), (EnhancedCode{4, 7, 26}));
  for (const auto* bad : {"", "5", "5.", "5.7", "5.7.", "5.7.1000", "5.1000.1", "55.7.1", "3.0.0", "6.8.9", "5.7.1x",
                          "5.7.1.2", "-5.7.1", " 5.7.1", "x"}) {
    EXPECT_FALSE(parse_enhanced_code(bad)) << bad;
  }
}

TEST(Reply, to_wire) {
  EXPECT_EQ(Reply(250, {2, 0, 0}, "ok").to_wire(), "250 2.0.0 ok\r\n");
  EXPECT_EQ(Reply(354, {}, "go on").to_wire(), "354 go on\r\n");
  EXPECT_EQ(Reply(354, {2, 0, 0}, "go on").to_wire(), "354 go on\r\n") << "RFC 2034: none with 3xx";
  EXPECT_EQ(Reply(250, {}, "").to_wire(), "250 \r\n");
  EXPECT_EQ(Reply(250, {2, 1, 5}, "").to_wire(), "250 2.1.5\r\n");
  Reply lines(550, {5, 7, 1}, "one");
  lines.lines.emplace_back("");
  lines.lines.emplace_back("three");
  EXPECT_EQ(lines.to_wire(), "550-5.7.1 one\r\n550-5.7.1\r\n550 5.7.1 three\r\n");
  Reply none;
  none.code = 220;
  EXPECT_EQ(none.to_wire(), "220 \r\n");
}

TEST(Reply, to_wire_without_a_code_is_no_success) {
  EXPECT_EQ(Reply().to_wire().substr(0, 1), "4");
}

TEST(Reply, long_text_wraps_at_blanks_and_keeps_the_tag_whole) {
  std::string text;
  while (text.size() < 480) text += "word ";
  const auto reply = make_refusal(550, {5, 7, 1}, text + "and a few more words", "dmarc", "0123456789abcdef");
  const auto lines = wire_lines(reply.to_wire());
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_TRUE(lines[1].ends_with("[dmarc 0123456789abcdef]")) << lines[1];
  for (const auto& line : lines) EXPECT_FALSE(line.ends_with("wor")) << "cut inside a word";
  expect_sound(reply, 550);
}

TEST(Reply, tag_is_not_cut_wherever_the_line_ends) {
  for (std::size_t size = 440; size < 520; ++size) {
    const auto reply = make_refusal(550, {5, 7, 1}, std::string(size, 'x'), "upstream", "id");
    const auto lines = wire_lines(reply.to_wire());
    EXPECT_TRUE(lines.back().ends_with("[upstream id]")) << size << lines.back();
    expect_sound(reply, 550);
  }
}

TEST(Reply, make_refusal) {
  EXPECT_EQ(make_refusal(550, {5, 1, 1}, "No such user", "unknown-recipient", "abc").to_wire(),
            "550 5.1.1 No such user [unknown-recipient abc]\r\n");
  EXPECT_EQ(make_refusal(550, {5, 1, 1}, "No", "srs", "").to_wire(), "550 5.1.1 No [srs]\r\n");
}

TEST(Reply, to_log) {
  Reply reply(550, {5, 1, 1}, "a\x1b[31m");
  reply.lines.emplace_back("b\r\n250 ok");
  EXPECT_EQ(reply.to_log(), "550 5.1.1 a?[31m / b??250 ok");
}

TEST(Threats, UP_01_no_octet_of_a_peer_makes_a_second_reply) {
  using namespace std::string_literals;
  const std::vector<std::string> texts = {"x\r\n250 ok"s,
                                          "x\n250 ok",
                                          "x\r250 ok",
                                          "a\0b"s,
                                          "\x1b]0;title\x07",
                                          "\xc2\x9b"
                                          "31m",
                                          "\xe2\x80\xae"
                                          "evil",
                                          "\xff\xfe",
                                          "250 2.0.0 ok",
                                          "250-",
                                          std::string(100'000, 'x'),
                                          std::string(3000, ' '),
                                          "\t\ttabs\t",
                                          std::string(600, '\n'),
                                          "5.7.1 5.7.1 twice"};
  for (const auto& text : texts) {
    for (const int code : {250, 354, 450, 550}) {
      expect_sound(Reply(code, {}, text), code);
      expect_sound(Reply(code, {static_cast<std::uint16_t>(code / 100), 7, 1}, text), code);
    }
  }
  // A server may put these after its code; CRLF is the only thing that ends a line.
  EXPECT_EQ(parsed("550 a\x1b[1m\xe2\x80\xae\x80\r\n").lines[0], "a?[1m????");
  EXPECT_TRUE(refused("550 a\nb\r\n"));
  EXPECT_TRUE(refused("550 a\rb\r\n"));
  EXPECT_TRUE(refused("550 a\r\r\n"));
}

TEST(Threats, UP_01_random_replies_stay_one_reply) {
  std::mt19937 random(7);
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  for (int round = 0; round < 2000; ++round) {
    const int code = 200 + static_cast<int>(below(400));
    Reply reply(code, {static_cast<std::uint16_t>(below(7)), static_cast<std::uint16_t>(below(1200)), 1}, "");
    reply.lines.clear();
    for (auto lines = below(30); lines > 0; --lines) {
      std::string line;
      for (auto size = below(below(10) == 0 ? 2000 : 60); size > 0; --size) line += static_cast<char>(below(256));
      reply.lines.push_back(line);
    }
    ASSERT_NO_FATAL_FAILURE(expect_sound(reply, code));
  }
}

TEST(Threats, UP_02_line_and_reply_limits_out) {
  Reply reply(550, {5, 7, 1}, "first");
  for (int i = 0; i < 1000; ++i) reply.lines.push_back(std::string(1000, 'x'));
  reply.lines.emplace_back("last [upstream id]");
  const auto lines = wire_lines(reply.to_wire());
  ASSERT_EQ(lines.size(), 20U);
  EXPECT_EQ(lines.front(), "550-5.7.1 first");
  EXPECT_EQ(lines.back(), "550 5.7.1 last [upstream id]") << "what is cut is the middle";
  EXPECT_EQ(lines[1].size(), 510U);
}

TEST(Threats, UP_02_limits_in) {
  // 64 KiB are read, the octet after them is too much.
  const std::string line = "550-" + std::string(122, 'x') + "\r\n";  // 128 octets
  std::string wire;
  while (wire.size() < ReplyParser::kMaxOctets - line.size()) wire += line;
  std::string last = line;
  last[3] = ' ';
  const auto reply = parsed(wire + last);
  EXPECT_EQ(reply.lines.size(), ReplyParser::kMaxKeptLines);
  std::size_t used = 0;
  const auto over = parse(wire + "550-" + std::string(123, 'x') + "\r\n", &used);
  EXPECT_TRUE(!over && over.error() == Errc::protocol);
  EXPECT_EQ(used, ReplyParser::kMaxOctets + 1);
  EXPECT_TRUE(refused("550 " + std::string(1'000'000, 'x')));

  const auto big = parsed("550 " + std::string(60'000, 'x') + "\r\n");
  ASSERT_EQ(big.lines.size(), 1U);
  EXPECT_EQ(big.lines[0].size(), ReplyParser::kMaxKeptText);
}

TEST(Threats, UP_03_broken_grammar_is_an_error_not_a_success) {
  for (const auto* wire :
       {"250-a\r\n550 b\r\n", "250-a\r\n251 b\r\n", "25\r\n",     "25 ok\r\n",        "099 ok\r\n",  "100 ok\r\n",
        "199 ok\r\n",         "600 ok\r\n",         "999 ok\r\n", "25x ok\r\n",       "x50 ok\r\n",  "250x\r\n",
        "250_ok\r\n",         "250\tok\r\n",        "\r\n",       "250-a\r\n\r\n",    " 250 ok\r\n", "ok\r\n",
        "2500 ok\r\n",        "250 ok\n",           "\n",         "250-a\r\n ok\r\n", "-250 ok\r\n"}) {
    EXPECT_TRUE(refused(wire)) << wire;
  }
  for (const auto* wire : {"250", "250 ok", "250 ok\r", "250-ok\r\n", "250-ok\r\n250", ""}) {
    const auto result = parse(wire);
    EXPECT_TRUE(result && !*result) << "wants more: " << wire;
  }
}

TEST(ReplyParser, an_error_stays) {
  ReplyParser parser;
  std::size_t used = 0;
  EXPECT_FALSE(parser.feed("nonsense\r\n", used).has_value());
  EXPECT_FALSE(parser.feed("250 ok\r\n", used).has_value());
  EXPECT_EQ(used, 0U);
  parser.reset();
  EXPECT_TRUE(parser.feed("250 ok\r\n", used).has_value());
}

TEST(ReplyParser, takes_one_reply_at_a_time_however_it_is_cut) {
  const std::string wire = "250-2.1.0 one\r\n250 2.1.0 two\r\n354 go\r\n";
  for (std::size_t cut = 0; cut <= wire.size(); ++cut) {
    ReplyParser parser;
    std::vector<Reply> replies;
    for (auto rest : {std::string_view(wire).substr(0, cut), std::string_view(wire).substr(cut)}) {
      while (!rest.empty()) {
        std::size_t used = 0;
        auto result = parser.feed(rest, used);
        ASSERT_TRUE(result.has_value());
        rest.remove_prefix(used);
        if (*result) replies.push_back(**result);
      }
    }
    ASSERT_EQ(replies.size(), 2U);
    EXPECT_EQ(replies[0].lines, (std::vector<std::string>{"one", "two"}));
    EXPECT_EQ(replies[0].enhanced, (EnhancedCode{2, 1, 0}));
    EXPECT_EQ(replies[1].code, 354);
    EXPECT_FALSE(replies[1].enhanced);
  }
}

TEST(ReplyParser, code_alone) {
  EXPECT_EQ(parsed("250\r\n"), Reply(250, {2, 0, 0}, ""));
  EXPECT_EQ(parsed("250 \r\n"), Reply(250, {2, 0, 0}, ""));
  EXPECT_EQ(parsed("550 5.1.1\r\n"), Reply(550, {5, 1, 1}, ""));
  EXPECT_EQ(parsed("299 odd\r\n").code, 299);
}

TEST(Threats, UP_04_classes_are_told_apart) {
  EXPECT_TRUE(parsed("250 ok\r\n").positive());
  EXPECT_TRUE(parsed("354 go\r\n").intermediate() && !parsed("354 go\r\n").positive());
  EXPECT_TRUE(parsed("450 later\r\n").transient());
  EXPECT_TRUE(parsed("550 no\r\n").permanent());
}

TEST(Threats, UP_05_closing_codes_are_plain_values_here) {
  EXPECT_EQ(parsed("421 4.7.0 go away\r\n"), Reply(421, {4, 7, 0}, "go away"));
  EXPECT_EQ(parsed("221 bye\r\n").code, 221);
  EXPECT_EQ(parsed("521 no mail here\r\n"), Reply(521, {5, 0, 0}, "no mail here"));
}

TEST(Threats, UP_06_enhanced_code_fits_the_reply) {
  EXPECT_EQ(parsed("550 4.1.1 no\r\n"), Reply(550, {5, 0, 0}, "no"));
  EXPECT_EQ(parsed("450 2.0.0 no\r\n"), Reply(450, {4, 0, 0}, "no"));
  EXPECT_EQ(parsed("550 9.1.1 no\r\n"), Reply(550, {5, 0, 0}, "no"));
  EXPECT_EQ(parsed("550 5.1000.1 no\r\n"), Reply(550, {5, 0, 0}, "5.1000.1 no"));
  EXPECT_EQ(parsed("550 no\r\n"), Reply(550, {5, 0, 0}, "no"));
  EXPECT_EQ(parsed("354 2.0.0 go\r\n"), Reply(354, {}, "go"));
  const auto two = parsed("550-4.1.1 a\r\n550-5.7.1 b\r\n550 5.1.1 c\r\n");
  EXPECT_EQ(two.enhanced, (EnhancedCode{5, 7, 1})) << "the first that fits";
  EXPECT_EQ(two.lines, (std::vector<std::string>{"a", "b", "c"}));
  // Not stale from the reply before.
  ReplyParser parser;
  std::size_t used = 0;
  ASSERT_TRUE(parser.feed("550 5.7.26 a\r\n", used).has_value());
  EXPECT_EQ((**parser.feed("550 b\r\n", used)).enhanced, (EnhancedCode{5, 0, 0}));
  // And out: a code that does not fit is never printed.
  EXPECT_EQ(Reply(550, {4, 7, 1}, "x").to_wire(), "550 5.0.0 x\r\n");
  EXPECT_EQ(Reply(550, {5, 1000, 1}, "x").to_wire(), "550 5.0.0 x\r\n");
}

TEST(Threats, UP_12_ehlo_keywords_are_capped) {
  std::string wire;
  for (int i = 0; i < 2000; ++i) wire += "250-KEYWORD" + std::to_string(i) + "\r\n";
  wire += "250 LAST\r\n";
  ReplyParser parser;
  parser.keep_lines(65);
  parser.keep_text(16'384);
  std::size_t used = 0;
  const auto result = parser.feed(wire, used);
  ASSERT_TRUE(result.has_value() && result->has_value());
  EXPECT_EQ((*result)->lines.size(), 65U);
}

TEST(Threats, UP_16_utf8_text_becomes_question_marks) {
  EXPECT_EQ(Reply(550, {5, 1, 1}, "\xc3\xa9t\xc3\xa9").to_wire(), "550 5.1.1 ??t??\r\n");
}

TEST(Conformance, smtp_responses_stalwart) {
  const auto cases = read_jsonl("smtp-responses/stalwart-responses.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no conformance data";
  for (const auto& each : cases) {
    SCOPED_TRACE(each["id"].get<std::string>());
    std::string wire;
    for (const char c : each["wire"].get<std::string>()) {
      if (c == '\n' && !wire.ends_with('\r')) wire += '\r';
      wire += c;
    }
    const auto reply = parsed(wire);
    EXPECT_EQ(reply.code, each["code"].get<int>());
    // Where theirs has no code, or one that the reply's class cannot have, ours is the general one (UP-06).
    EnhancedCode theirs{each["enhanced"][0], each["enhanced"][1], each["enhanced"][2]};
    if (theirs.klass != reply.code / 100) theirs = {static_cast<std::uint16_t>(reply.code / 100), 0, 0};
    EXPECT_EQ(reply.enhanced, theirs);
    // Their parser doubles the line ends of lines without text; the words are the same.
    std::string ours, expected;
    for (const auto& line : reply.lines) ours += line;
    for (const char c : each["text"].get<std::string>()) {
      if (c != '\n') expected += c;
    }
    EXPECT_EQ(ours, expected);
  }
}

TEST(Conformance, smtp_responses_of_providers_pass_through) {
  const auto cases = read_jsonl("smtp-responses/activecampaign-replies.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no conformance data";
  for (const auto& each : cases) {
    SCOPED_TRACE(each["id"].get<std::string>());
    auto text = each["text"].get<std::string>();
    const auto code = each["code"].get<int>();
    const auto number = std::to_string(code);
    if (text.starts_with("smtp;")) text.erase(0, 5);
    while (text.starts_with(' ')) text.erase(0, 1);
    if (text.size() > 3 && core::is_digit(text[0]) && core::is_digit(text[1]) && core::is_digit(text[2]) &&
        (text[3] == ' ' || text[3] == '-')) {
      text.erase(0, 4);
    }
    const auto reply = parsed(number + " " + text + "\r\n");
    EXPECT_EQ(reply.code, code);
    expect_sound(reply, code);
    // Every word reaches the client.
    const auto lines = wire_lines(reply.to_wire());
    std::string joined;
    for (const auto& line : lines) joined += " " + line.substr(4 + reply.enhanced.to_string().size() + 1);
    std::string words;
    if (const auto enhanced = parse_enhanced_code(text)) {
      const auto printed = enhanced->to_string();
      words = core::printable(text.substr(std::min(printed.size() + 1, text.size())));
      if (enhanced->klass == code / 100) EXPECT_EQ(reply.enhanced, *enhanced);
    } else {
      words = core::printable(text);
    }
    EXPECT_EQ(joined, " " + words);
  }
}

}  // namespace
}  // namespace mail
