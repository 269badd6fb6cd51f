// DMARC records as RFC 9989 reads them, and domain names in their one form.
#include "auth/dmarc_record.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "auth/dmarc_domain.hpp"

namespace {

using namespace auth;

std::optional<DmarcRecord> read(std::string_view text) {
  return parse_dmarc_record(text, Dialect::rfc9989);
}

TEST(DmarcRecord, every_tag) {
  const auto record = read(
      "v=DMARC1; sp=none; np=reject; p=quarantine; psd=n; adkim=s; aspf=S; t=y; fo=1:d;"
      " rua=mailto:a@example.com , mailto:b@example.com!10m; ruf=mailto:f@example.com; x-new=1; pct=5");
  ASSERT_TRUE(record);
  EXPECT_EQ(record->p, DmarcPolicy::quarantine);
  EXPECT_EQ(record->sp, DmarcPolicy::none);
  EXPECT_EQ(record->np, DmarcPolicy::reject);
  EXPECT_EQ(record->psd, Psd::no);
  EXPECT_EQ(record->adkim, Alignment::strict);
  EXPECT_EQ(record->aspf, Alignment::strict);
  EXPECT_TRUE(record->testing);
  EXPECT_EQ(record->fo, "1:d");
  EXPECT_EQ(record->rua, (std::vector<std::string>{"mailto:a@example.com", "mailto:b@example.com"}));
  EXPECT_EQ(record->ruf, (std::vector<std::string>{"mailto:f@example.com"}));
}

TEST(DmarcRecord, defaults) {
  const auto record = read("v=DMARC1;p=reject");
  ASSERT_TRUE(record);
  EXPECT_EQ(record->p, DmarcPolicy::reject);
  EXPECT_FALSE(record->sp || record->np || record->testing);
  EXPECT_EQ(record->psd, Psd::unknown);
  EXPECT_EQ(record->adkim, Alignment::relaxed);
}

TEST(DmarcRecord, version_comes_first_and_is_exact) {
  for (const char* text : {"v=DMARC1", "v=DMARC1;", "V = DMARC1 ; p=none", "v\t=\tDMARC1\t;p=none"}) {
    EXPECT_TRUE(is_dmarc_record(text)) << text;
  }
  for (const char* text : {"", "v", "v=", "v=dmarc1; p=none", "v=DMARC1x; p=none", "v=DMARC12", "v=DMARC1 p=none",
                           "p=none; v=DMARC1", ";v=DMARC1", " v=DMARC1; p=none", "vv=DMARC1; p=none",
                           "v=DMARC1\\;p=none", "v=spf1 -all", "\"v=DMARC1; p=none\""}) {
    EXPECT_FALSE(is_dmarc_record(text)) << text;
    EXPECT_FALSE(read(text)) << text;
  }
}

// RFC 9989 §4.10.1.
TEST(DmarcRecord, without_a_valid_policy_it_depends_on_rua) {
  for (const char* tags :
       {"", "; p=", "; p=bogus", "; p=rej", "; p=reject; sp=x", "; p=reject; np=", "; p=none; p=reject"}) {
    const auto bare = read("v=DMARC1" + std::string(tags));
    ASSERT_TRUE(bare) << tags;
    EXPECT_FALSE(bare->usable) << tags;
    const auto reporting = read("v=DMARC1" + std::string(tags) + "; rua=mailto:a@example.com");
    ASSERT_TRUE(reporting) << tags;
    EXPECT_TRUE(reporting->usable) << tags;
    EXPECT_EQ(reporting->p, DmarcPolicy::none) << tags;
    const auto useless = read("v=DMARC1" + std::string(tags) + "; rua=nonsense");
    EXPECT_FALSE(useless->usable) << tags;
  }
}

TEST(DmarcRecord, what_is_wrong_voids_its_tag_only) {
  const auto record =
      read("v=DMARC1; p=reject; adkim=x; aspf=; psd=maybe; t=1; fo=9; junk; =; rua=,mailto:a@b.example;;");
  ASSERT_TRUE(record);
  EXPECT_TRUE(record->usable);
  EXPECT_EQ(record->p, DmarcPolicy::reject);
  EXPECT_EQ(record->adkim, Alignment::relaxed);
  EXPECT_EQ(record->psd, Psd::unknown);
  EXPECT_FALSE(record->testing);
  EXPECT_EQ(record->rua.size(), 1U);
  EXPECT_EQ(read("v=DMARC1; p=reject; p=REJECT")->p, DmarcPolicy::reject);
}

TEST(DmarcRecord, old_dialect_is_strict) {
  EXPECT_TRUE(parse_dmarc_record("v=DMARC1; p=reject; pct=0", Dialect::rfc7489)->testing);
  EXPECT_FALSE(parse_dmarc_record("v=DMARC1; p=reject; pct=1", Dialect::rfc7489)->testing);
  EXPECT_FALSE(parse_dmarc_record("v=DMARC1; p=reject; np=none; t=y; psd=y", Dialect::rfc7489)->np);
  EXPECT_FALSE(parse_dmarc_record("v=DMARC1; sp=none; p=reject", Dialect::rfc7489));
  EXPECT_FALSE(parse_dmarc_record("v=DMARC1; p=reject; junk", Dialect::rfc7489));
  EXPECT_FALSE(parse_dmarc_record("v=DMARC1; p=reject; x=\x01", Dialect::rfc7489));
}

TEST(Threats, DN_12_records_have_a_limit) {
  const std::string start = "v=DMARC1; p=reject; x=";
  EXPECT_TRUE(read(start + std::string(kMaxDmarcRecord - start.size(), 'a')));
  EXPECT_FALSE(read(start + std::string(kMaxDmarcRecord - start.size() + 1, 'a')));
  std::string many = start + "1; rua=mailto:a@b.example";
  for (std::size_t i = 0; i < 200; ++i) many += ",mailto:a@b.example";
  EXPECT_EQ(read(many)->rua.size(), kMaxReportUris);
}

TEST(DmarcRecord, selection) {
  const std::vector<std::string> one = {"other", "v=DMARC1; p=none", "v=spf1 -all"};
  EXPECT_EQ(select_dmarc_record(one).text, one[1]);
  const std::vector<std::string> two = {"v=DMARC1; p=none", "v=DMARC1; p=none"};
  EXPECT_EQ(select_dmarc_record(two).found, Found::several);
  EXPECT_EQ(select_dmarc_record({}).found, Found::none);
}

TEST(NormalDomain, one_form) {
  EXPECT_EQ(normal_domain("Example.COM"), "example.com");
  EXPECT_EQ(normal_domain("b\xc3\xbc"
                          "cher.example"),
            "xn--bcher-kva.example");
  EXPECT_EQ(normal_domain("XN--BCHER-KVA.example"), "xn--bcher-kva.example");
  EXPECT_EQ(normal_domain("\xd0\xbf\xd1\x80\xd0\xb8\xd0\xbc\xd0\xb5\xd1\x80.\xd1\x80\xd1\x84"),
            "xn--e1afmkfd.xn--p1ai");
  EXPECT_EQ(normal_domain("\xe9\xa3\x9f\xe7\x8b\xae.\xe4\xb8\xad\xe5\x9b\xbd"), "xn--85x722f.xn--fiqs8s");
  EXPECT_EQ(normal_domain("fa\xc3\x9f.example"), "xn--fa-hia.example");
  EXPECT_EQ(normal_domain("a_b.x.com"), "a_b.x.com");
  EXPECT_EQ(normal_domain(std::string(63, 'a') + ".x"), std::string(63, 'a') + ".x");
}

TEST(NormalDomain, what_has_none) {
  const std::string long_name =
      std::string(63, 'a') + "." + std::string(63, 'b') + "." + std::string(63, 'c') + "." + std::string(62, 'd');
  EXPECT_EQ(long_name.size(), 254U);
  EXPECT_FALSE(normal_domain(long_name));
  EXPECT_TRUE(normal_domain(long_name.substr(1)));
  for (const std::string& name : {std::string(),
                                  std::string("."),
                                  std::string("a..b"),
                                  std::string("a."),
                                  std::string(".a"),
                                  std::string(64, 'a'),
                                  std::string("-a.x"),
                                  std::string("a-.x"),
                                  std::string("a b.x"),
                                  std::string("a\0b.x", 5),
                                  std::string("bank.example(.evil.example"),
                                  std::string("a@b"),
                                  std::string("a\"b"),
                                  std::string("[192.0.2.1]"),
                                  std::string("a\\b.x"),
                                  std::string("\xff.x"),
                                  std::string("B\xc3\x9c"
                                              "CHER.example"),  // upper case: mapped by some only
                                  std::string("bu\xcc\x88"
                                              "cher.example"),          // not NFC
                                  std::string("\xef\xbd\x81.example"),  // full-width a
                                  std::string("bank\xe3\x80\x82"
                                              "example.evil.x"),  // a dot for some
                                  std::string("bank\xef\xbd\xa1"
                                              "example"),
                                  std::string("pay\xe2\x80\x8bpal.x"),
                                  std::string("pay\xc2\xadpal.x"),
                                  std::string("a\xe2\x80\xae"
                                              "b.x"),
                                  std::string("\xce\xa3.example"),
                                  std::string("a\xe2\x80\x8d.x")}) {
    EXPECT_FALSE(normal_domain(name)) << name;
  }
}

TEST(NormalDomain, labels) {
  EXPECT_EQ(count_labels("a.b.c"), 3U);
  EXPECT_EQ(last_labels("a.b.c", 2), "b.c");
  EXPECT_EQ(last_labels("a.b.c", 3), "a.b.c");
  EXPECT_TRUE(is_same_or_below("a.b.c", "b.c"));
  EXPECT_TRUE(is_same_or_below("b.c", "b.c"));
  EXPECT_FALSE(is_same_or_below("ab.c", "b.c"));
  EXPECT_FALSE(is_same_or_below("c", "b.c"));
}

TEST(PublicSuffixList, missing_file_is_explained) {
  const auto list = PublicSuffixList::load("/nonexistent/list");
  ASSERT_FALSE(list);
  EXPECT_NE(list.error().text.find("publicsuffix"), std::string::npos);
}

}  // namespace
