// Who a message is from: what is read, and above all what is not (threats RL-15).
#include "auth/author.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

#include "dmarc_support.hpp"
#include "evasions.hpp"

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

// ---- threats RL-15 (evasions.hpp)

TEST(Threats, RL_15_no_other_domain_than_every_reader_sees) {
  using namespace dmarc_test;
  const Zone zone{{"_dmarc.bank.example", "v=DMARC1; p=reject"}, {"_dmarc.evil.example", "v=DMARC1; p=none"}};
  const std::vector<DkimResult> dkim = {signed_by("evil.example"), signed_by("bank.example", Verdict::fail)};
  const auto spf = sent_by("evil.example");
  for (const auto& evasion : evasions::all()) {
    const auto headers = mail::Headers::parse(evasion.header);
    const auto authors = headers ? find_authors(*headers) : Authors{AuthorFault::unparsable, {}, {}};
    if (evasion.expect == evasions::Evasion::refused) {
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
    if (evasion.expect == evasions::Evasion::evils) {
      EXPECT_EQ(authors.domains, Domains{"evil.example"}) << evasion.name;
    } else if (evasion.expect == evasions::Evasion::nobodys) {
      EXPECT_EQ(got.result, Verdict::none) << evasion.name;
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
