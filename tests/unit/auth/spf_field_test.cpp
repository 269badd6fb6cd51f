// Received-SPF: RFC 7208 §9.1's grammar, whatever the client said.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "auth/spf_zone.hpp"
#include "core/random.hpp"
#include "mail/header.hpp"

namespace {

using auth::Verdict;
using spf_test::input;
using testing::HasSubstr;

auth::SpfResult result(Verdict verdict, const std::string& reason, bool helo = false) {
  auth::SpfResult out;
  out.result = verdict;
  out.domain = "example.com";
  out.helo = helo;
  out.reason = reason;
  return out;
}

// result FWS comment FWS key-value-list, as pairs; empty when the text is not of that form. Written from the ABNF.
std::map<std::string, std::string> parse(const std::string& field) {
  std::map<std::string, std::string> pairs;
  const auto text = mail::unfold(std::string_view(field).substr(field.find(':') + 1));
  std::size_t i = text.find(' ');
  if (i == std::string::npos || text.compare(i, 2, " (") != 0) return {};
  pairs["result"] = text.substr(0, i);
  const auto close = text.find(')', i);
  if (close == std::string::npos || text.find('(', i + 2) < close) return {};
  pairs["comment"] = text.substr(i + 2, close - i - 2);
  i = close + 1;
  while (i < text.size()) {
    if (text[i] == ';') ++i;
    while (i < text.size() && text[i] == ' ') ++i;
    const auto equals = text.find('=', i);
    if (equals == std::string::npos) return {};
    const auto key = text.substr(i, equals - i);
    if (key.empty() || key.find_first_not_of("abcdefghijklmnopqrstuvwxyz-") != std::string::npos) return {};
    std::string value;
    i = equals + 1;
    if (i < text.size() && text[i] == '"') {
      for (++i; i < text.size() && text[i] != '"'; ++i) {
        if (text[i] == '\\') ++i;
        if (i < text.size()) value += text[i];
      }
      if (i++ >= text.size()) return {};
    } else {
      for (; i < text.size() && text[i] != ';'; ++i) {
        if (!core::is_alnum(text[i]) &&
            std::string_view("!#$%&'*+-/=?^_`{|}~.").find(text[i]) == std::string_view::npos) {
          return {};
        }
        value += text[i];
      }
      if (value.empty()) return {};
    }
    if (i < text.size() && text[i] != ';') return {};
    if (!pairs.emplace(key, value).second) return {};
  }
  return pairs;
}

TEST(ReceivedSpf, says_what_was_found) {
  const auto field =
      auth::received_spf_field(result(Verdict::pass, "ip4:192.0.2.0/24"),
                               input("::ffff:192.0.2.1", "joe@example.com", "mail.example.com"), "mx.example.org");
  EXPECT_EQ(mail::unfold(field),
            "Received-SPF: pass (mx.example.org: domain of joe@example.com designates 192.0.2.1 as permitted sender) "
            "receiver=mx.example.org; identity=mailfrom; client-ip=192.0.2.1; envelope-from=\"joe@example.com\"; "
            "helo=mail.example.com; mechanism=\"ip4:192.0.2.0/24\"");
  const auto pairs = parse(field);
  EXPECT_EQ(pairs.at("mechanism"), "ip4:192.0.2.0/24");
}

TEST(ReceivedSpf, each_verdict) {
  for (const auto verdict : {Verdict::none, Verdict::pass, Verdict::fail, Verdict::softfail, Verdict::neutral,
                             Verdict::temperror, Verdict::permerror}) {
    const auto pairs =
        parse(auth::received_spf_field(result(verdict, "why, \"why\""), input("2001:db8::1", "a@b.test"), "mx.test"));
    ASSERT_FALSE(pairs.empty());
    EXPECT_EQ(pairs.at("result"), auth::to_string(verdict));
    EXPECT_EQ(pairs.at("client-ip"), "2001:db8::1");
    const bool error = verdict == Verdict::temperror || verdict == Verdict::permerror;
    EXPECT_EQ(pairs.contains("problem"), error);
    EXPECT_EQ(pairs.contains("mechanism"), !error && verdict != Verdict::none);
    if (error) EXPECT_EQ(pairs.at("problem"), "why, \"why\"");
  }
}

TEST(ReceivedSpf, helo_identity_of_a_null_path) {
  const auto pairs =
      parse(auth::received_spf_field(result(Verdict::fail, "-all", true), input("192.0.2.1", "", "h.test"), "mx.test"));
  EXPECT_EQ(pairs.at("identity"), "helo");
  EXPECT_EQ(pairs.at("envelope-from"), "");
  EXPECT_THAT(pairs.at("comment"), HasSubstr("domain of h.test does not"));
}

TEST(Threats, RL_04_received_spf_is_one_valid_field) {
  core::SeededRandom random(7);
  std::vector<std::string> nasty = {"",
                                    "x\r\nEvil: 1",
                                    ")) evil=1; (",
                                    "\"; result=pass; x=\"",
                                    "\\",
                                    "\\\"",
                                    "a\\\r\n\r\nbody",
                                    std::string("a\0b", 3),
                                    "\x80\xff",
                                    "gr\xc3\xbc\xc3\x9f"
                                    "e",
                                    std::string(1024, 'h'),
                                    std::string(3000, '"'),
                                    std::string(1024, ' '),
                                    std::string(319, 'x') + "\xc3\xbc"};
  for (int i = 0; i < 300; ++i) {
    std::string text;
    const auto size = random.below(40);
    for (std::uint64_t k = 0; k < size; ++k) text += static_cast<char>(random.below(256));
    nasty.push_back(text);
  }
  for (const auto& text : nasty) {
    auto in = input("192.0.2.1", "a@b.test", text);
    in.mail_from.mailbox.local = text;
    for (const bool helo : {false, true}) {
      const auto field = auth::received_spf_field(result(Verdict::permerror, text, helo), in, "mx.test");
      const auto headers = mail::Headers::parse(field);
      ASSERT_TRUE(headers);
      ASSERT_EQ(headers->fields().size(), 1U);
      EXPECT_EQ(headers->fields()[0].name, "Received-SPF");
      const auto pairs = parse(field);
      ASSERT_FALSE(pairs.empty()) << field;
      EXPECT_EQ(pairs.at("result"), "permerror");
      EXPECT_EQ(pairs.at("client-ip"), "192.0.2.1");
      EXPECT_FALSE(pairs.contains("evil"));
      for (std::size_t at = 0; at < field.size();) {
        const auto end = field.find("\r\n", at);
        ASSERT_NE(end, std::string::npos);
        EXPECT_LE(end - at, 998U);
        at = end + 2;
      }
    }
  }
}

}  // namespace
