// UP-08: what an upstream says of a hidden destination reaches our client under the address the client used.
#include "forwarder/masking.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "core/random.hpp"
#include "core/text.hpp"

namespace forwarder {
namespace {

const std::vector<Mask> kSales = {{"alice@gmail.example", "sales@example.org"}};

struct Case {
  const char* text;
  const char* masked;
};

TEST(Threats, UP_08_every_spelling_of_a_hidden_address) {
  for (const auto& [text, masked] : std::vector<Case>{
           {"", ""},
           {"alice@gmail.example", "sales@example.org"},
           {"<alice@gmail.example>: user unknown", "<sales@example.org>: user unknown"},
           {"alice@gmail.example.", "sales@example.org."},
           {"no alice@gmail.example, alice@gmail.example!", "no sales@example.org, sales@example.org!"},
           {"ALICE@Gmail.EXAMPLE", "sales@example.org"},
           {"<\"alice\"@gmail.example>", "<sales@example.org>"},
           {"<\"a\\lice\"@gmail.example>", "<sales@example.org>"},
           {"\"\\a\\l\\i\\c\\e\"@gmail.example", "sales@example.org"},
           {"'alice'@gmail.example", "sales@example.org"},
           {"\"alice@gmail.example\"", "\"sales@example.org\""},
           {"'alice@gmail.example'", "'sales@example.org'"},
           // xtext (RFC 3461), URLs, quoted-printable, C, JSON, HTML
           {"rfc822;alice+40gmail.example", "rfc822;sales@example.org"},
           {"alice+40gmail+2Eexample", "sales@example.org"},
           {"https://x.example/?r=alice%40gmail.example&x=1", "https://x.example/?r=sales@example.org&x=1"},
           {"?r=%61%6cice%40gmail%2eexample", "?r=sales@example.org"},
           {"alice=40gmail.example", "sales@example.org"},
           {"=3Calice=40gmail.example=3E", "=3Csales@example.org=3E"},
           {"%3Calice%40gmail.example%3E", "%3Csales@example.org%3E"},
           {"+3Calice+40gmail.example+3E", "+3Csales@example.org+3E"},
           {"%22alice%22%40gmail.example", "sales@example.org"},
           {"alice\\x40gmail.example", "sales@example.org"},
           {"\\u003calice\\u0040gmail.example\\u003e", "\\u003csales@example.org\\u003e"},
           {"&lt;alice&#64;gmail.example&gt; &#x61;lice&#x40;gmail.example",
            "&lt;sales@example.org&gt; sales@example.org"},
           // the percent hack and what people write
           {"alice%gmail.example@relay.example", "sales@example.org@relay.example"},
           {"alice @ gmail.example, alice at gmail.example", "sales@example.org, sales@example.org"},
           {"alice(at)gmail.example alice[AT]gmail.example", "sales@example.org sales@example.org"},
           // VERP and other words right before it
           {"rcpt=alice@gmail.example", "rcpt=sales@example.org"},
           {"smtp;alice@gmail.example", "smtp;sales@example.org"},
           {"alice@gmail.examplealice@gmail.example", "sales@example.orgsales@example.org"},
           // other addresses of the hidden domain
           {"malice@gmail.example", "malice@example.org"},
           {"bob@gmail.example and bob%40GMAIL.example", "bob@example.org and bob%40example.org"},
           // the bare domain
           {"gmail.example does not like you", "example.org does not like you"},
           {"(Gmail.Example) [gmail.example]. =40gmail.example", "(example.org) [example.org]. =40example.org"},
           {"mx1.gmail.example says no", "mx1.example.org says no"},
           {"https://support.gmail.example/mail", "https://support.example.org/mail"},
           {"gmail.example. gmail.example- gmail.example.", "example.org. example.org- example.org."},
           {"-gmail.example", "-example.org"},
           // words that only contain it
           {"notgmail.example", "notgmail.example"},
           {"not-gmail.example my_gmail.example", "not-gmail.example my_gmail.example"},
           {"gmail.examples gmail.example-x gmail.example.net", "gmail.examples gmail.example-x gmail.example.net"},
           {"gmail example, gmailXexample", "gmail example, gmailXexample"},
           {"alice bob@other.example", "alice bob@other.example"},
           {"alice@", "alice@"},
           {"alice+4", "alice+4"},
           {"%", "%"},
           {"\\", "\\"},
           {"\"", "\""},
       }) {
    EXPECT_EQ(mask_text(text, kSales), masked) << text;
  }
}

TEST(Threats, UP_08_local_parts_with_marks_of_their_own) {
  const auto mask = [](std::string hidden, std::string_view text) {
    return mask_text(text, {{std::move(hidden), "sales@example.org"}});
  };
  EXPECT_EQ(mask("a+b@x.example", "<a+b@x.example> <a+2Bb+40x.example> <a%2Bb%40x.example>"),
            "<sales@example.org> <sales@example.org> <sales@example.org>");
  // "+2b" is a part of the name here, not an escape.
  EXPECT_EQ(mask("a+2bx@x.example", "a+2bx@x.example, a+2B2bx+40x.example"), "sales@example.org, sales@example.org");
  EXPECT_EQ(mask("a=40b@x.example", "a=40b@x.example a=3D40b@x.example"), "sales@example.org sales@example.org");
  EXPECT_EQ(mask("+++@x.example", "+++@x.example +2B+2B+2B@x.example"), "sales@example.org sales@example.org");
  EXPECT_EQ(mask("\"a b\"@x.example", "\"a b\"@x.example, a b@x.example, \"a\\ b\"@x.example, a\\ b@x.example"),
            "sales@example.org, sales@example.org, sales@example.org, sales@example.org");
  EXPECT_EQ(mask("\"a@b\"@x.example", "\"a@b\"@x.example a\\@b@x.example a+40b+40x.example"),
            "sales@example.org sales@example.org sales@example.org");
  EXPECT_EQ(mask("\"a\\\"b\"@x.example", "\"a\\\"b\"@x.example"), "sales@example.org");
  EXPECT_EQ(mask("o'neil@x.example", "<o'neil@x.example> 'o'neil'@x.example"), "<sales@example.org> sales@example.org");
  EXPECT_EQ(mask("a%b@x.example", "a%b@x.example a%25b%40x.example"), "sales@example.org sales@example.org");
  EXPECT_EQ(mask("a@[192.0.2.7]", "<a@[192.0.2.7]> at [192.0.2.7]"), "<sales@example.org> at example.org");
  EXPECT_EQ(mask("\"\"@x.example", "\"\"@x.example"), "sales@example.org");
}

TEST(Threats, UP_08_international_domains_in_either_form) {
  const std::vector<Mask> a_label = {{"j@xn--bcher-kva.example", "sales@example.org"}};
  const std::vector<Mask> u_label = {{"j@b\u00fccher.example", "sales@example.org"}};
  for (const auto& masks : {a_label, u_label}) {
    for (const auto* text : {"<j@xn--bcher-kva.example>", "<j@XN--BCHER-KVA.example>", "<j@b\u00fccher.example>",
                             "<J@B\u00dcCHER.example>", "<j%40b%C3%BCcher.example>", "<j@b=c3=9ccher.example>",
                             // as mail::ReplyParser hands it on
                             "<j@b??cher.example>", "<j@b\u00fccher\u3002example>"}) {
      EXPECT_EQ(mask_text(text, masks), "<sales@example.org>") << text;
    }
    EXPECT_EQ(mask_text("xn--bcher-kva.example b\u00fccher.example b??cher.example", masks),
              "example.org example.org example.org");
    EXPECT_EQ(mask_text("xb\u00fccher.example \u00fcxn--bcher-kva.example", masks),
              "xb\u00fccher.example \u00fcxn--bcher-kva.example");
    EXPECT_EQ(mask_text("j@bucher.example j@b?cher.example", masks), "j@bucher.example j@b?cher.example");
  }
  const std::vector<Mask> local = {{"\u7528\u6237@x.example", "sales@example.org"}};
  EXPECT_EQ(mask_text("<\u7528\u6237@x.example> <??????@x.example>", local), "<sales@example.org> <sales@example.org>");
  // What is no Punycode is compared as it is.
  EXPECT_EQ(mask_text("j@xn--99999999.example", {{"j@xn--99999999.example", "s@example.org"}}), "s@example.org");
}

TEST(Threats, UP_08_several_masks) {
  const std::vector<Mask> overlapping = {
      {"alice@x", "one@a.example"}, {"alice@x.y", "two@b.example"}, {"malice@x.y", "three@c.example"}};
  EXPECT_EQ(mask_text("alice@x alice@x.y malice@x.y x x.y", overlapping),
            "one@a.example two@b.example three@c.example a.example b.example");
  std::vector<Mask> reversed(overlapping.rbegin(), overlapping.rend());
  EXPECT_EQ(mask_text("alice@x alice@x.y malice@x.y x", reversed),
            "one@a.example two@b.example three@c.example a.example");

  // One destination, two names: the first counts. Two destinations of one domain: each its own.
  EXPECT_EQ(
      mask_text("a@x.example b@x.example c@x.example",
                {{"a@x.example", "1@one.example"}, {"a@x.example", "2@two.example"}, {"b@x.example", "3@two.example"}}),
      "1@one.example 3@two.example c@one.example");
  EXPECT_EQ(mask_text("a@x", {}), "a@x");
  // What is no address masks nothing.
  EXPECT_EQ(mask_text("a@x nobody", {{"", "b@y"}, {"nobody", "b@y"}, {"nobody@", "b@y"}}), "a@x nobody");
}

TEST(Threats, UP_08_our_SRS_sender) {
  const std::string srs = "SRS0=HHHH=TT=sender.example=Bob@forward.example";
  const std::vector<Mask> masks = {{srs, "Bob@sender.example"}};
  EXPECT_EQ(mask_text("<" + srs + ">: sender rejected", masks), "<Bob@sender.example>: sender rejected");
  EXPECT_EQ(mask_text("srs0=hhhh=tt=sender.example=bob@FORWARD.example", masks), "Bob@sender.example");
  EXPECT_EQ(mask_text("SRS0+3DHHHH+3DTT+3Dsender.example+3DBob+40forward.example", masks), "Bob@sender.example");
  EXPECT_EQ(mask_text("x" + srs, masks), "xBob@sender.example");
  // Our own domain is no secret: it stays what it is, or the sender would be told of a host that is not ours.
  EXPECT_EQ(mask_text("forward.example, mx.forward.example", masks), "forward.example, mx.forward.example");
  // The null sender
  const std::vector<Mask> null = {{srs, ""}};
  EXPECT_EQ(mask_text("<" + srs + "> bad", null), "<> bad");
  EXPECT_EQ(mask_text(srs + " bad", null), "<> bad");
  EXPECT_EQ(mask_text("<" + srs + " bad", null), "<<> bad");
  // A destination that only looks like one keeps its domain hidden.
  EXPECT_EQ(mask_text("SRS0user@x.example x.example", {{"SRS0user@x.example", "s@example.org"}}),
            "s@example.org example.org");
}

// However the text is put together: no hidden address is left, in no case, plain or escaped.
TEST(Threats, UP_08_nothing_hidden_is_left_in_random_texts) {
  const std::vector<Mask> masks = {{"alice@gmail.example", "sales@example.org"},
                                   {"alice@gmail.example.net", "info@example.org"},
                                   {"\"a+b c\"@corp.example", "team@example.org"},
                                   {"SRS0=HHHH=TT=sender.test=bob@forward.test", "bob@sender.test"}};
  const std::vector<std::string> hidden = {"alice@gmail.example", "a+b c@corp.example", "\"a+b c\"@corp.example",
                                           "srs0=hhhh=tt=sender.test=bob@forward.test"};
  const std::vector<std::string> pieces = {"alice",
                                           "gmail.example",
                                           "@",
                                           "%40",
                                           "=40",
                                           "+40",
                                           "alice@gmail.example",
                                           "ALICE@GMAIL.EXAMPLE",
                                           ".net",
                                           "<",
                                           ">",
                                           "\"",
                                           "'",
                                           "\\",
                                           " ",
                                           ".",
                                           "-",
                                           "m",
                                           "a+b c",
                                           "corp",
                                           "%3C",
                                           "=",
                                           "+",
                                           "corp.example",
                                           "%",
                                           "&#",
                                           "&#64;",
                                           "\\x",
                                           "SRS0=HHHH=TT=sender.test=bob",
                                           "@forward.test",
                                           "ali",
                                           "ce@",
                                           "%22"};
  core::SeededRandom random(8);
  std::size_t touched = 0;
  for (int round = 0; round < 60'000; ++round) {
    std::string text;
    for (auto n = random.below(9); n > 0; --n) {
      auto piece = pieces[random.below(pieces.size())];
      for (auto& c : piece) {
        if (random.below(4) == 0) c = core::is_alpha(c) ? static_cast<char>(c ^ 0x20) : c;
      }
      text += piece;
    }
    const auto masked = mask_text(text, masks);
    touched += masked != text;
    for (const auto& address : hidden) {
      ASSERT_EQ(core::lower(masked).find(address), std::string::npos) << "text: " << text << "\nmasked: " << masked;
    }
    ASSERT_EQ(mask_text(masked, masks), masked) << "what is masked has nothing more to mask";
  }
  EXPECT_GT(touched, 15'000U);
}

TEST(Masking, texts_without_hidden_names_stay_as_they_are) {
  core::SeededRandom random(9);
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (auto n = random.below(60); n > 0; --n) text += static_cast<char>(random.below(256));
    ASSERT_EQ(mask_text(text, kSales), text);
  }
}

// 100 recipients, or 20 with the worst names, and the worst text of 4 KiB must not stop a shard.
TEST(Masking, hostile_texts_cost_little) {
  std::vector<Mask> worst, usual;
  for (int i = 0; i < 100; ++i) {
    if (i < 20) worst.push_back({std::string(60, '+') + std::to_string(i) + "@gmail.example", "sales@example.org"});
    usual.push_back({"first.last" + std::to_string(i) + "@gmail.example", "sales@example.org"});
  }
  for (const std::string piece :
       {"+", "+2B", "\"", "\\", "+2B+", "gmail.exampl", "\\+", "&#43;", "?", "first.last%4"}) {
    std::string text;
    while (text.size() < mail::ReplyParser::kMaxKeptText) text += piece;
    for (const auto* masks : {&worst, &usual}) {
      const auto start = std::chrono::steady_clock::now();
      EXPECT_EQ(mask_text(text, *masks), text);
      // Some 100 ms and 15 ms were seen; the limits only have to catch what grows out of hand.
      EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10)) << piece;
    }
  }
}

TEST(Masking, present_by_detail) {
  mail::Reply reply(550, {5, 1, 1}, "<alice@gmail.example> is unknown");
  reply.lines.emplace_back("ask gmail.example");
  const auto full = present(reply, ErrorDetail::full, kSales, "abc-1");
  EXPECT_EQ(full.to_wire(),
            "550-5.1.1 <alice@gmail.example> is unknown\r\n550 5.1.1 ask gmail.example [upstream abc-1]\r\n");
  const auto masked = present(reply, ErrorDetail::masked, kSales, "abc-1");
  EXPECT_EQ(masked.to_wire(),
            "550-5.1.1 <sales@example.org> is unknown\r\n550 5.1.1 ask example.org [upstream abc-1]\r\n");
  const auto code = present(reply, ErrorDetail::code_only, kSales, "abc-1");
  EXPECT_EQ(code.to_wire(), "550 5.1.1 The destination refused [upstream abc-1]\r\n");
  EXPECT_EQ(present({452, {4, 2, 2}, "x"}, ErrorDetail::code_only, {}, "i").to_wire(),
            "452 4.2.2 The destination cannot take this now [upstream i]\r\n");
  EXPECT_EQ(present({550, {5, 1, 1}, ""}, ErrorDetail::masked, {}, "i").to_wire(), "550 5.1.1 [upstream i]\r\n");
  EXPECT_EQ(present({550, {5, 1, 1}, "x"}, ErrorDetail::masked, {}, "").to_wire(), "550 5.1.1 x [upstream]\r\n");
  mail::Reply bare;
  bare.code = 550;
  EXPECT_EQ(present(bare, ErrorDetail::full, {}, "i").lines, (std::vector<std::string>{"[upstream i]"}));
}

// interface.md §6.10 and UP-02: 20 lines, each of 512 octets, and the last one still says whom to ask for.
TEST(Threats, UP_02_long_replies_keep_their_reference) {
  mail::Reply reply(550, {5, 7, 1}, "line 0");
  for (int i = 1; i < 50; ++i) reply.lines.push_back("line " + std::to_string(i));
  const auto shown = present(reply, ErrorDetail::masked, kSales, "abc-1");
  ASSERT_EQ(shown.lines.size(), 20U);
  EXPECT_EQ(shown.lines.front(), "line 0");
  EXPECT_EQ(shown.lines.back(), "line 19 [upstream abc-1]");

  for (const std::size_t length : {400U, 480U, 490U, 500U, 600U, 5'000U, 50'000U}) {
    for (const char* filler : {"x", "x ", "alice@gmail.example "}) {
      mail::Reply long_line(550, {5, 7, 1}, "");
      while (long_line.lines[0].size() < length) long_line.lines[0] += filler;
      const auto wire = present(long_line, ErrorDetail::masked, kSales, "abc-1").to_wire();
      EXPECT_TRUE(wire.ends_with("[upstream abc-1]\r\n")) << length << filler;
      const auto lines = core::split(wire, '\n');
      EXPECT_LE(lines.size(), 21U);
      for (const auto line : lines) EXPECT_LE(line.size(), 511U);
      EXPECT_EQ(wire.find("gmail"), std::string::npos);
    }
  }
}

TEST(Threats, UP_16_UTF_8_becomes_question_marks) {
  const auto wire = present({550, {5, 1, 1}, "<j@b\u00fccher.example> \u00e9t\u00e9"}, ErrorDetail::masked,
                            {{"j@b\u00fccher.example", "s@example.org"}}, "i")
                        .to_wire();
  EXPECT_EQ(wire, "550 5.1.1 <s@example.org> ??t?? [upstream i]\r\n");
}

}  // namespace
}  // namespace forwarder
