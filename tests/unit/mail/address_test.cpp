#include "mail/address.hpp"

#include <gtest/gtest.h>

#include <random>

#include "mail/jsonl.hpp"

namespace mail {
namespace {

bool valid(std::string_view text, Utf8 utf8 = Utf8::no) {
  return parse_mailbox(text, utf8).has_value();
}

TEST(Mailbox, parse) {
  const auto plain = parse_mailbox("a.b+c@Example.ORG");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->local, "a.b+c");
  EXPECT_EQ(plain->domain, "Example.ORG") << "nothing is normalised";
  EXPECT_EQ(plain->to_string(), "a.b+c@Example.ORG");
  const auto quoted = parse_mailbox(R"("a \"b\\@c"@x.org)");
  ASSERT_TRUE(quoted);
  EXPECT_EQ(quoted->local, R"("a \"b\\@c")");
  EXPECT_EQ(quoted->unquoted_local(), R"(a "b\@c)");
  EXPECT_TRUE(parse_mailbox("a@[192.0.2.1]")->is_literal());
  EXPECT_FALSE(plain->is_literal());
  EXPECT_EQ(parse_mailbox(R"(""@x)")->unquoted_local(), "");
}

TEST(Mailbox, limits) {
  const std::string local(kMaxLocalPart, 'l');
  EXPECT_TRUE(valid(local + "@x.org"));
  EXPECT_FALSE(valid(local + "l@x.org"));
  std::string domain = std::string(63, 'd');
  EXPECT_TRUE(valid("a@" + domain));
  EXPECT_FALSE(valid("a@d" + domain));
  domain += "." + std::string(63, 'e') + "." + std::string(63, 'f');  // 191
  const auto longest = local.substr(0, 62) + "@" + domain;
  EXPECT_EQ(longest.size(), kMaxPath);
  EXPECT_TRUE(valid(longest));
  EXPECT_FALSE(valid("l" + longest));
  EXPECT_TRUE(is_domain(domain + "." + std::string(63, 'g')));
  EXPECT_FALSE(is_domain(domain + "." + std::string(63, 'g') + ".h"));
}

TEST(Mailbox, make) {
  EXPECT_EQ(make_mailbox("a.b", "x.org")->local, "a.b");
  EXPECT_EQ(make_mailbox("a b", "x.org")->local, R"("a b")");
  EXPECT_EQ(make_mailbox("a..b", "x.org")->local, R"("a..b")");
  EXPECT_EQ(make_mailbox(R"(a"\)", "x.org")->local, R"("a\"\\")");
  EXPECT_EQ(make_mailbox("", "x.org")->local, R"("")");
  EXPECT_FALSE(make_mailbox("a\r\nb", "x.org"));
  EXPECT_FALSE(make_mailbox(std::string(65, 'a'), "x.org"));
  EXPECT_FALSE(make_mailbox("a", "x..org"));
  EXPECT_FALSE(make_mailbox("a", ""));
  EXPECT_FALSE(make_mailbox("\xc3\xa9", "x.org"));
  EXPECT_TRUE(make_mailbox("\xc3\xa9", "x.org", Utf8::yes));
}

// RL-03: whatever was read can be printed and read again, and meaning and spelling go both ways.
TEST(Threats, RL_03_parse_and_print_are_inverse) {
  std::mt19937 random(3);
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  constexpr std::string_view kAlphabet = "ab.=+\"\\ @%!\xc3\xa9\x7f-\t";
  int made = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string local;
    for (auto size = below(12); size > 0; --size) local += kAlphabet[below(kAlphabet.size())];
    const auto mailbox = make_mailbox(local, "x.org", Utf8::yes);
    if (!mailbox) continue;
    ++made;
    ASSERT_EQ(mailbox->unquoted_local(), local);
    const auto again = parse_mailbox(mailbox->to_string(), Utf8::yes);
    ASSERT_TRUE(again);
    ASSERT_EQ(*again, *mailbox);
  }
  EXPECT_GT(made, 2000);
}

TEST(Threats, RL_02_controls_are_refused_everywhere) {
  for (int c = 0; c < 256; ++c) {
    if (c >= ' ' && c <= '~') continue;
    const std::string octet(1, static_cast<char>(c));
    for (const auto utf8 : {Utf8::no, Utf8::yes}) {
      EXPECT_FALSE(valid("a" + octet + "b@x.org", utf8)) << c;
      EXPECT_FALSE(valid("\"a" + octet + "b\"@x.org", utf8)) << c;
      EXPECT_FALSE(valid("\"a\\" + octet + "b\"@x.org", utf8)) << c;
      EXPECT_FALSE(valid("a@x" + octet + ".org", utf8)) << c;
    }
  }
  EXPECT_FALSE(valid("a\xc2\x85@x.org", Utf8::yes)) << "C1";
  EXPECT_FALSE(valid("a\xe2\x80\xa8@x.org", Utf8::yes)) << "line separator";
}

TEST(Threats, RL_01_relay_forms_of_nmap) {
  const auto path = [](std::string_view text) { return parse_forward_path(text, Utf8::no); };
  // These are addresses of ours, or of nobody: whose they are is for the rules, what they are is exact.
  EXPECT_EQ(path("<u%t@us>")->mailbox, (Mailbox{"u%t", "us"}));
  EXPECT_EQ(path("<t!u@us>")->mailbox, (Mailbox{"t!u", "us"}));
  EXPECT_EQ(path(R"(<"u@t"@us>)")->mailbox, (Mailbox{R"("u@t")", "us"}));
  EXPECT_EQ(path("<@us:u@t>")->mailbox, (Mailbox{"u", "t"})) << "the route is dropped, the target is seen";
  EXPECT_EQ(path("<@a.example,@b.example:u@t>")->mailbox, (Mailbox{"u", "t"}));
  EXPECT_EQ(path("<u@[127.0.0.1]>")->mailbox, (Mailbox{"u", "[127.0.0.1]"}));
  EXPECT_EQ(path("<u@[IPv6:::1]>")->mailbox, (Mailbox{"u", "[IPv6:::1]"}));
  for (const auto* bad : {"<u>",
                          "<t!u>",
                          R"(<"u%t">)",
                          "<u@t@us>",
                          "<u@us.>",
                          "<u@us%00.t>",
                          "<u@us>@t",
                          "<<u@us>>",
                          "<>",
                          "<@us>",
                          "<@us:>",
                          "<@us:u>",
                          "<@:u@t>",
                          "<@us,u@t>",
                          "<@us,:u@t>",
                          "<us:u@t>",
                          "<u@>",
                          "<@>",
                          "<u@us",
                          "u@us>",
                          "u@us",
                          "<u@us >",
                          "< u@us>",
                          "<u @us>",
                          "<u@[127.0.0.1>",
                          "<u@127.0.0.1]>",
                          "<u@[]>",
                          "<u@us/t>",
                          "<u@us:25>",
                          "<postmaster@>",
                          "<abuse>",
                          "<u@-us>",
                          "<u@us->",
                          "<u@u_s>",
                          "<.u@us>",
                          "<u.@us>",
                          "<u..v@us>"}) {
    EXPECT_FALSE(path(bad)) << bad;
  }
  for (const auto* good : {"<postmaster>", "<Postmaster>", "<POSTMASTER>"}) {
    ASSERT_TRUE(path(good)) << good;
    EXPECT_TRUE(path(good)->is_bare_postmaster());
    EXPECT_EQ("<" + path(good)->to_string() + ">", good);
  }
}

TEST(ReversePath, null_and_routes) {
  EXPECT_TRUE(parse_reverse_path("<>", Utf8::no)->null());
  EXPECT_EQ(parse_reverse_path("<>", Utf8::no)->to_string(), "");
  EXPECT_EQ(parse_reverse_path("<@a,@b:u@d>", Utf8::no)->to_string(), "u@d");
  EXPECT_FALSE(parse_reverse_path("<postmaster>", Utf8::no)) << "only a recipient needs no domain";
  EXPECT_FALSE(parse_reverse_path("< >", Utf8::no));
  EXPECT_FALSE(parse_reverse_path("", Utf8::no));
  EXPECT_FALSE(parse_reverse_path("<", Utf8::no));
}

TEST(Domain, literals) {
  for (const auto* good : {"[192.0.2.1]", "[IPv6:2001:db8::1]", "[ipv6:::]", "[IPv6:::ffff:192.0.2.1]"}) {
    EXPECT_TRUE(is_address_literal(good)) << good;
  }
  for (const auto* bad :
       {"192.0.2.1", "[192.0.2]", "[192.0.2.256]", "[192.0.2.01]", "[2001:db8::1]", "[IPv6:192.0.2.1]", "[IPv6:]", "[]",
        "[", "[x:y]", "[IPv6:fe80::1%eth0]", "[192.0.2.1 ]", "[ 192.0.2.1]"}) {
    EXPECT_FALSE(is_address_literal(bad)) << bad;
  }
}

TEST(Domain, utf8_labels) {
  EXPECT_TRUE(is_domain("\xc3\xa9.example", Utf8::yes));
  EXPECT_FALSE(is_domain("\xc3\xa9.example", Utf8::no));
  EXPECT_FALSE(is_domain("\xc3.example", Utf8::yes)) << "no UTF-8";
  std::string label;
  for (int i = 0; i < 59; ++i) label += "\xc3\xa9";
  EXPECT_TRUE(is_domain(label, Utf8::yes));
  EXPECT_FALSE(is_domain(label + "\xc3\xa9", Utf8::yes)) << "its A-label cannot fit";
}

TEST(Conformance, smtp_addresses_isemail) {
  const auto cases = read_jsonl("smtp-addresses/isemail.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no conformance data";
  for (const auto& each : cases) {
    if (each["envelope_valid"].is_null()) continue;  // either answer is right
    EXPECT_EQ(valid(each["address"].get<std::string>()), each["envelope_valid"].get<bool>())
        << each["id"] << each["address"] << each["diagnosis"];
  }
}

TEST(Conformance, smtp_addresses_mox) {
  const auto cases = read_jsonl("smtp-addresses/mox.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no conformance data";
  for (const auto& each : cases) {
    auto text = each["text"].get<std::string>();
    if (each["kind"] == "localpart") text += "@example.com";
    EXPECT_EQ(valid(text), each["valid"].get<bool>()) << each["id"] << text;
  }
}

TEST(Conformance, smtp_addresses_eai) {
  const auto cases = read_jsonl("smtp-addresses/eai-email-validator.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no conformance data";
  for (const auto& each : cases) {
    const auto text = each["address"].get<std::string>();
    EXPECT_EQ(valid(text, Utf8::yes), each["valid"].get<bool>()) << each["id"] << text;
    if (each.value("needs_smtputf8", false)) EXPECT_FALSE(valid(text, Utf8::no)) << text;
    if (each.contains("ascii_domain")) EXPECT_TRUE(is_domain(each["ascii_domain"].get<std::string>()));
  }
}

}  // namespace
}  // namespace mail
