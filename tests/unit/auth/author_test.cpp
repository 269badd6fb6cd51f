// Who a message is from: what is read, and above all what is not (threats RL-15).
#include "auth/author.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

#include "dmarc_support.hpp"

namespace {

using namespace auth;
using Domains = std::vector<std::string>;

struct Case {
  std::string value;
  Domains domains;
};

TEST(Author, what_real_mail_has) {
  const Case cases[] = {
      {" joe@example.com", {"example.com"}},
      {" <joe@example.com>", {"example.com"}},
      {" Joe <joe@Example.COM>", {"example.com"}},
      {" \"Joe, Jr.\" <joe@example.com>", {"example.com"}},
      {" John Q. Public <joe@example.com>", {"example.com"}},
      {" \"joe@example.com\" <joe@example.com>", {"example.com"}},
      {" \"bank@bank.example\" <joe@example.com>", {"example.com"}},  // a display name is no address
      {" \"John \\\"J\\\" Doe\" <joe@example.com>", {"example.com"}},
      {" joe@example.com (Joe Doe)", {"example.com"}},
      {" Joe (his (nested) \\) mark) <joe@example.com> (x)", {"example.com"}},
      {" =?utf-8?q?J=C3=B6?= <joe@example.com>", {"example.com"}},
      {" J\xc3\xb6 <joe@example.com>", {"example.com"}},
      {" J\xf6 <joe@example.com>", {"example.com"}},  // ISO 8859-1, as old mail has it
      {" \"J\xf6\" <joe@example.com>", {"example.com"}},
      {" Joe\r\n <joe@example.com>", {"example.com"}},
      {" \"Joe\r\n Doe\" <joe@example.com>", {"example.com"}},
      {" Joe < joe@example.com >", {"example.com"}},
      {" Joe<joe@example.com>", {"example.com"}},
      {" o'neil+x=y@sub.example.com", {"sub.example.com"}},
      {" \"two words\"@example.com", {"example.com"}},
      {" j\xc3\xb6@b\xc3\xbc"
       "cher.example",
       {"xn--bcher-kva.example"}},
      {" joe@[192.0.2.1]", {"[192.0.2.1]"}},
      {" a@one.example, B <b@two.example>", {"one.example", "two.example"}},
      {" a@one.example, b@ONE.example", {"one.example"}},
      {" Friends: a@one.example, b@two.example;", {"one.example", "two.example"}},
      {" Friends: a@one.example; , c@three.example", {"one.example", "three.example"}},
      {" <joe@example.com>\r\n", {"example.com"}},
  };
  for (const auto& c : cases) {
    const auto authors = parse_authors(c.value);
    EXPECT_TRUE(authors.ok()) << c.value;
    EXPECT_EQ(authors.domains, c.domains) << c.value;
  }
}

TEST(Author, mailboxes_are_kept) {
  const auto authors = parse_authors(" Joe <Joe.Doe@Example.COM>, \"a b\"@example.com");
  ASSERT_EQ(authors.mailboxes.size(), 2U);
  EXPECT_EQ(authors.mailboxes[0].to_string(), "Joe.Doe@example.com");
  EXPECT_EQ(authors.mailboxes[1].unquoted_local(), "a b");
}

TEST(Author, nobody) {
  for (const char* value : {"", " ", "\r\n", " Nobody:;", " Nobody: (c) ;"}) {
    EXPECT_EQ(parse_authors(value).fault, AuthorFault::missing) << value;
  }
}

TEST(Author, limits) {
  std::string many = "a0@example.com";
  for (std::size_t i = 1; i < kMaxAuthors; ++i) many += ", a" + std::to_string(i) + "@example.com";
  EXPECT_EQ(parse_authors(many).mailboxes.size(), kMaxAuthors);
  EXPECT_FALSE(parse_authors(many + ", one@example.com").ok());
  std::string domains = "a@d0.example";
  for (std::size_t i = 1; i < kMaxAuthorDomains; ++i) domains += ", a@d" + std::to_string(i) + ".example";
  EXPECT_EQ(parse_authors(domains).domains.size(), kMaxAuthorDomains);
  EXPECT_FALSE(parse_authors(domains + ", a@more.example").ok());
  EXPECT_TRUE(parse_authors("((((((((((x)))))))))) a@example.com").ok());
  EXPECT_FALSE(parse_authors("(((((((((((x))))))))))) a@example.com").ok());
}

// ---- threats RL-15: espoofer's A1 to A18, "Composition Kills", Mailsploit and their kin. The message says
// bank.example somewhere; it is sent and signed by evil.example. It must never be a DMARC pass under p=reject, and
// never be read as a domain that some reader would not show.

struct Evasion {
  const char* name;
  std::string header;
  enum Expect { refused, evils, banks } expect = refused;  // evils: read as evil.example alone, whose own mail it is
};

std::vector<Evasion> evasions() {
  using namespace std::string_literals;
  return {
      {"two From fields", "From: a@evil.example\r\nFrom: b@bank.example\r\n"},
      {"two From fields, the other way", "From: b@bank.example\r\nFrom: a@evil.example\r\n"},
      {"two From fields in odd case", "From: b@bank.example\r\nfROM: a@evil.example\r\n"},
      {"blank before the colon", "From : b@bank.example\r\nFrom: a@evil.example\r\n"},
      {"folded first line", " From: b@bank.example\r\nFrom: a@evil.example\r\n"},
      {"name folded from its colon", "From\r\n : b@bank.example\r\nFrom: a@evil.example\r\n"},
      {"NUL in the name", "From\0: b@bank.example\r\nFrom: a@evil.example\r\n"s},
      {"no From, but Sender", "Sender: a@evil.example\r\n"},
      {"no From, but Resent-From", "Resent-From: b@bank.example\r\nSender: a@evil.example\r\n"},
      {"From with Sender", "From: b@bank.example\r\nSender: a@evil.example\r\n", Evasion::banks},
      {"two mailboxes", "From: b@bank.example, a@evil.example\r\n", Evasion::banks},
      {"two bracketed mailboxes", "From: <a@evil.example>, <b@bank.example>\r\n", Evasion::banks},
      {"two brackets without a comma", "From: <a@evil.example> <b@bank.example>\r\n"},
      {"address before the brackets", "From: b@bank.example <a@evil.example>\r\n"},
      {"address after the brackets", "From: <a@evil.example> b@bank.example\r\n"},
      {"address after the brackets, joined", "From: <a@evil.example>b@bank.example\r\n"},
      {"route", "From: <@evil.example,@any.example:b@bank.example>\r\n"},
      {"route to evil", "From: <@bank.example:a@evil.example>\r\n"},
      {"group", "From: x: b@bank.example, a@evil.example;\r\n", Evasion::banks},
      {"group named like an address", "From: b@bank.example: a@evil.example;\r\n"},
      {"group without its end", "From: x:<a@evil.example>\r\n"},
      {"group in a group", "From: x: y: a@evil.example;;\r\n"},
      {"text after a group", "From: x: a@evil.example; b@bank.example\r\n"},
      {"comment that holds an address", "From: a@evil.example (<b@bank.example>)\r\n"},
      {"comment that closes nothing", "From: <b@bank.example(>a@evil.example\r\n"},
      {"comment in the address", "From: <b@bank.example(.evil.example)>\r\n"},
      {"comment around the at sign", "From: a(x)@evil.example\r\n"},
      {"comment that never ends", "From: a@evil.example (b@bank.example\r\n"},
      {"comment with a list in it", "From: a@evil.example (, b@bank.example, )\r\n"},
      {"quoted string that never ends", "From: \"b@bank.example <a@evil.example>\r\n"},
      {"quoted string with escapes", "From: \"x\\\" <b@bank.example>, \\\"\" <a@evil.example>\r\n"},
      {"half a character eats the backslash", "From: \"\xb1\\\" y\" <a@evil.example>\r\n"},
      {"quoted local part with an address", "From: \"b@bank.example\"@evil.example\r\n"},
      {"quoted local part with brackets", "From: \"<b>\"@evil.example\r\n"},
      {"escaped comma", "From: b@bank.example\\, a@evil.example\r\n"},
      {"stray comma", "From: , a@evil.example\r\n"},
      {"comma at the end", "From: a@evil.example,\r\n"},
      {"semicolon between", "From: b@bank.example; a@evil.example\r\n"},
      {"blank between", "From: b@bank.example a@evil.example\r\n"},
      {"two at signs", "From: b@bank.example@evil.example\r\n"},
      {"two at signs, bracketed", "From: <b@bank.example@evil.example>\r\n"},
      {"no at sign", "From: bank.example\r\n"},
      {"empty brackets", "From: b@bank.example <>\r\n"},
      {"empty brackets alone", "From: <>\r\n"},
      {"nested brackets", "From: <<b@bank.example>a@evil.example>\r\n"},
      {"blank in the address", "From: <b@bank.example a@evil.example>\r\n"},
      {"blank before the at sign", "From: b @bank.example\r\n"},
      {"blank before a dot", "From: b@bank .example\r\n"},
      {"dot at the end of the domain", "From: b@bank.example.\r\n"},
      {"dot at the end of the local part", "From: b.@bank.example\r\n"},
      {"no domain", "From: b@\r\n"},
      {"no local part", "From: @bank.example\r\n"},
      {"encoded whole address", "From: =?utf-8?b?YkBiYW5rLmV4YW1wbGU=?=\r\n"},
      {"encoded address before a comma", "From: =?utf-8?b?PGJAYmFuay5leGFtcGxlPg==?=, <a@evil.example>\r\n"},
      {"encoded word with an at sign", "From: =?utf-8?q?b@bank.example?= <a@evil.example>\r\n"},
      {"encoded local part (Mailsploit)", "From: =?utf-8?b?YkBiYW5rLmV4YW1wbGUA?=@evil.example\r\n"},
      {"encoded local part, bracketed", "From: <=?utf-8?q?b=40bank.example=00?=@evil.example>\r\n"},
      {"encoded domain", "From: b@=?utf-8?q?bank.example?=\r\n"},
      {"encoded name", "From: =?utf-8?b?YmFuay5leGFtcGxl?= <a@evil.example>\r\n", Evasion::evils},
      {"control in the name", "From: b@bank.example\x01 <a@evil.example>\r\n"},
      {"DEL in the domain", "From: b@bank.example\x7f.evil.example\r\n"},
      {"tab in the domain", "From: b@bank.example\t.evil.example\r\n"},
      {"folded domain", "From: b@bank.example\r\n .evil.example\r\n"},
      {"colon before the address", "From: From: b@bank.example\r\n"},
      {"full-width at sign",
       "From: b\xef\xbc\xa0"
       "bank.example <a@evil.example>\r\n",
       Evasion::evils},
      {"full-width dot",
       "From: b@bank\xef\xbc\x8e"
       "example.evil.example\r\n"},
      {"ideographic full stop",
       "From: b@bank\xe3\x80\x82"
       "example\r\n"},
      {"zero-width blank", "From: b@bank\xe2\x80\x8b.example\r\n"},
      {"right-to-left mark in the local part is a character", "From: b\xe2\x80\xaf@evil.example\r\n", Evasion::evils},
      {"domain that is no UTF-8", "From: b@bank\xff.example\r\n"},
      {"local part that is no UTF-8", "From: b\xff@bank.example\r\n"},
      {"literal that is none", "From: b@[bank.example]\r\n"},
      {"literal with more behind", "From: b@[192.0.2.1]bank.example\r\n"},
  };
}

TEST(Threats, RL_15_no_other_domain_than_every_reader_sees) {
  using namespace dmarc_test;
  const Zone zone{{"_dmarc.bank.example", "v=DMARC1; p=reject"}, {"_dmarc.evil.example", "v=DMARC1; p=none"}};
  const std::vector<DkimResult> dkim = {signed_by("evil.example"), signed_by("bank.example", Verdict::fail)};
  const auto spf = sent_by("evil.example");
  for (const auto& evasion : evasions()) {
    const auto headers = mail::Headers::parse(evasion.header);
    const auto authors = headers ? find_authors(*headers) : Authors{AuthorFault::unparsable, {}, {}};
    if (evasion.expect == Evasion::refused) {
      EXPECT_FALSE(authors.ok()) << evasion.name << ": " << (authors.ok() ? authors.domains.front() : "");
      EXPECT_TRUE(authors.domains.empty() && authors.mailboxes.empty()) << evasion.name;
      continue;
    }
    ASSERT_TRUE(authors.ok()) << evasion.name;
    DmarcInput input;
    input.spf = &spf;
    input.dkim = dkim;
    const auto got =
        settle(zone, [&](dns::Lookup& lookup) { return evaluate_authors(input, authors.domains, lookup); });
    if (evasion.expect == Evasion::evils) {
      EXPECT_EQ(authors.domains, Domains{"evil.example"}) << evasion.name;
    } else {
      EXPECT_EQ(got.domain, "bank.example") << evasion.name;
      EXPECT_EQ(got.disposition, DmarcPolicy::reject) << evasion.name;
    }
  }
}

TEST(Threats, RL_15_faults_are_told_apart) {
  const auto fault = [](std::string_view section) { return find_authors(mail::Headers::parse(section).value()).fault; };
  EXPECT_EQ(fault("Subject: x\r\n"), AuthorFault::missing);
  EXPECT_EQ(fault("From:\r\n"), AuthorFault::missing);
  EXPECT_EQ(fault("From: a@b.example\r\nFrom: a@b.example\r\n"), AuthorFault::several_fields);
  EXPECT_EQ(fault("From: a@\r\n"), AuthorFault::unparsable);
  EXPECT_EQ(fault("From: a@b.example\r\n"), AuthorFault::none);
  EXPECT_EQ(to_string(AuthorFault::several_fields), "several fields");
}

TEST(Threats, CR_07_linear_in_the_field) {
  const std::string many[] = {std::string(200'000, '('),         std::string(200'000, '"'), std::string(200'000, '<'),
                              std::string(200'000, ','),         std::string(200'000, 'a'), std::string(200'000, ':'),
                              "\"" + std::string(200'000, '\\'), std::string(200'000, ' ')};
  const auto start = std::chrono::steady_clock::now();
  for (const auto& text : many) EXPECT_FALSE(parse_authors(text).ok());
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

// Old and new mail of other people: hardly anything that has an author is refused.
TEST(AuthorConformance, corpus) {
  const std::filesystem::path folder = ONWARD_CONFORMANCE "/corpus/eml";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no corpus in " ONWARD_CONFORMANCE;
  std::size_t read = 0, refused = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    std::string section;
    for (std::string line; std::getline(in, line);) {
      if (!line.empty() && line.back() == '\r') line.pop_back();
      if (line.empty()) break;
      section += line + "\r\n";
    }
    const auto headers = mail::Headers::parse(section);
    if (!headers || headers->count("from") != 1) continue;
    const auto authors = find_authors(*headers);
    if (authors.ok()) {
      ++read;
    } else {
      ++refused;
      if (std::getenv("ONWARD_SHOW") != nullptr) std::printf("%s\n", std::string(headers->first("from")->raw).c_str());
    }
  }
  std::printf("[ COUNT    ] From fields of the corpus: %zu read, %zu refused\n", read, refused);
  EXPECT_GT(read, 1000U);
  EXPECT_LT(refused * 20, read);
}

}  // namespace
