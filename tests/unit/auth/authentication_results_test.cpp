// Authentication-Results: what we write (threats RL-04), what others wrote, and whose name it carries (threats RL-07).
#include "auth/authentication_results.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "mail/header.hpp"
#include "mail/jsonl.hpp"
#include "support/score.hpp"

namespace {

using namespace auth;

Results sample() {
  Results results;
  results.spf = {Verdict::pass, "bounce.example.com", false, "", "ip4:192.0.2.1"};
  DkimResult good;
  good.result = Verdict::pass;
  good.domain = "example.com";
  good.selector = "s1";
  good.algorithm = "rsa-sha256";
  good.b = "abc/+12=";
  DkimResult bad;
  bad.result = Verdict::fail;
  bad.domain = "list.example";
  bad.selector = "k";
  bad.reason = "body hash \"differs\"";
  results.dkim = {good, bad};
  results.dmarc.result = Verdict::pass;
  results.dmarc.domain = "example.com";
  results.dmarc.policy_domain = "example.com";
  results.dmarc.policy = DmarcPolicy::reject;
  results.arc.result = Verdict::pass;
  results.arc.sets = 1;
  return results;
}

std::string value_of(const std::string& field) {
  const auto headers = mail::Headers::parse(field);
  EXPECT_TRUE(headers.has_value() && headers->fields().size() == 1U) << field;
  return headers ? std::string(headers->fields().front().value()) : std::string();
}

TEST(AuthenticationResults, one_field_with_everything) {
  EXPECT_EQ(authentication_results_text("mx.example.net", sample()),
            "mx.example.net; spf=pass smtp.mailfrom=bounce.example.com"
            "; dkim=pass header.d=example.com header.s=s1 header.a=rsa-sha256 header.b=\"abc/+12=\""
            "; dkim=fail reason=\"body hash \\\"differs\\\"\" header.d=list.example header.s=k"
            "; dmarc=pass (p=reject dis=none) header.from=example.com; arc=pass");
}

TEST(AuthenticationResults, nothing_known) {
  EXPECT_EQ(make_authentication_results("mx.example.net", Results{}),
            "Authentication-Results: mx.example.net; spf=none; dkim=none; dmarc=none\r\n");
}

TEST(AuthenticationResults, null_sender_shows_the_helo_name) {
  Results results;
  results.spf = {Verdict::softfail, "mail.example.com", true, "", "~all"};
  EXPECT_TRUE(authentication_results_text("h", results)
                  .starts_with("h; spf=softfail reason=~all smtp.helo=mail.example."
                               "com; dkim=none"));
  results.spf = {Verdict::none, "example.com", false, "", ""};
  results.helo_spf = {Verdict::pass, "mail.example.com", true, "", ""};
  EXPECT_TRUE(authentication_results_text("h", results)
                  .starts_with("h; spf=none smtp.mailfrom=example.com; spf=pass smtp.helo=mail.example.com;"));
}

TEST(AuthenticationResults, what_is_written_can_be_read) {
  const auto field = make_authentication_results("mx.example.net", sample());
  const auto read = parse_authentication_results(value_of(field));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->authserv_id, "mx.example.net");
  ASSERT_EQ(read->results.size(), 5U);
  EXPECT_EQ(read->results[1].properties[3], (ResultProperty{"header", "b", "abc/+12="}));
  EXPECT_EQ(read->results[2].reason, "body hash \"differs\"");
  EXPECT_EQ(read->results[3].method, "dmarc");
  EXPECT_EQ(read->results[3].properties.front(), (ResultProperty{"header", "from", "example.com"}));
}

TEST(AuthenticationResults, internationalized_names_become_ascii) {
  Results results;
  results.spf = {Verdict::pass,
                 "b\xc3\xbc"
                 "cher.example",
                 false, "", ""};
  results.dkim = {DkimResult{}};
  results.dkim[0].domain = "\xff\xfe.example";
  const auto text = authentication_results_text("h", results);
  EXPECT_NE(text.find("smtp.mailfrom=xn--bcher-kva.example;"), std::string::npos) << text;
  EXPECT_NE(text.find("header.d=\"??.example\""), std::string::npos) << text;
}

// RL-04: whatever a peer says stays one value of one valid field with lines of at most 998 octets.
TEST(Threats, RL_04_no_value_leaves_its_place) {
  const std::string evil[] = {"a.example; dkim=pass header.d=bank.example",
                              "a\r\nX-Injected: 1",
                              "a)\" ; dmarc=pass",
                              "a\\",
                              "(((",
                              std::string("a\0b", 3),
                              std::string(5000, 'x'),
                              std::string(300, '"') + std::string(300, '\\'),
                              std::string(400, ' ') + "z",
                              "",
                              "\xc3\xbc\xff"};
  for (const auto& text : evil) {
    Results results;
    results.spf = {Verdict::fail, text, false, text, text};
    results.helo_spf = {Verdict::fail, text, true, text, text};
    DkimResult dkim;
    dkim.result = Verdict::permerror;
    dkim.domain = dkim.selector = dkim.identity = dkim.algorithm = dkim.reason = dkim.b = text;
    results.dkim.assign(30, dkim);
    results.dmarc.domain = results.dmarc.reason = text;
    results.arc.result = Verdict::fail;
    results.arc.sets = 1;
    results.arc.sealers = {text};
    results.arc.reason = text;
    const auto field = make_authentication_results("mx.example.net", results);
    const auto read = parse_authentication_results(value_of(field));
    ASSERT_TRUE(read) << field;
    EXPECT_EQ(read->authserv_id, "mx.example.net");
    ASSERT_EQ(read->results.size(), 2 + kMaxReportedSignatures + 2) << field;
    EXPECT_EQ(read->results[0].result, "fail");
    EXPECT_EQ(read->results[2].result, "permerror");
    EXPECT_LE(read->results[2].properties.size(), 4U);
    std::size_t start = 0;
    for (auto end = field.find("\r\n"); end != std::string::npos; start = end + 2, end = field.find("\r\n", start)) {
      EXPECT_LE(end - start, 998U);
    }
    EXPECT_EQ(start, field.size());
  }
}

TEST(Threats, RL_07_forged_names_are_known) {
  for (const char* value :
       {" mx.example.net; dkim=pass", "MX.Example.NET;spf=pass", "mx.example.net", " (c) mx.example.net 1; x=y",
        " \"mx.example.net\" ; none", "\r\n mx.example.net; dkim=pass", "mx.example.net.; dkim=pass",
        " \"mx\\.example.net\";", "mx.example.net(c);", " (never ends; dkim=pass"}) {
    EXPECT_TRUE(claims_authserv_id(value, "mx.example.net")) << value;
  }
  for (const char* value : {" other.example.net; dkim=pass", "mx.example.net.evil.example; x", " x; mx.example.net", "",
                            " (mx.example.net) other;"}) {
    EXPECT_FALSE(claims_authserv_id(value, "mx.example.net")) << value;
  }
}

TEST(AuthenticationResults, what_cannot_be_read) {
  for (const char* value :
       {"", ";", "host", "host dkim=pass", "host; ", "host;;", "host; dkim", "host; dkim=", "host; dkim=pass header",
        "host; dkim=pass header.=x", "host; dkim=pass header.d=", "host; dkim=pass (c", "host; dkim=pass \"x",
        "host 2; dkim=pass", "host; dkim=pass header.i=a@", "host; none; dkim=pass"}) {
    EXPECT_FALSE(parse_authentication_results(value)) << value;
  }
  std::string many = "host";
  for (std::size_t i = 0; i <= kMaxParsedResults; ++i) many += "; dkim=pass";
  EXPECT_EQ(parse_authentication_results(many).error(), core::Errc::exhausted);
}

TEST(AuthenticationResultsConformance, python_authres) {
  const auto cases = read_jsonl("authentication-results/python-authres.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no authentication-results in " ONWARD_CONFORMANCE;
  Score score("authentication-results, python-authres");
  for (const auto& c : cases) {
    const std::string header = c.at("header");
    const auto read = parse_authentication_results(header.substr(header.find(':') + 1));
    bool same = read.has_value() == c.at("valid").get<bool>();
    if (read && same) {
      same =
          read->authserv_id == c.at("authserv_id").get<std::string>() && read->results.size() == c.at("results").size();
      for (std::size_t i = 0; same && i < read->results.size(); ++i) {
        const auto& want = c.at("results")[i];
        const auto& got = read->results[i];
        same = got.method == want.at("method").get<std::string>() &&
               got.result == want.at("result").get<std::string>() &&
               got.reason == (want.at("reason").is_null() ? "" : want.at("reason").get<std::string>()) &&
               got.properties.size() == want.at("properties").size();
        for (std::size_t j = 0; same && j < got.properties.size(); ++j) {
          const auto& property = want.at("properties")[j];
          same = got.properties[j] == ResultProperty{property[0], property[1], property[2]};
        }
      }
    }
    EXPECT_TRUE(score.count(same)) << c.dump();
  }
}

TEST(AuthenticationResultsConformance, real_headers) {
  const auto cases = read_jsonl("authentication-results/mox-real-headers.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no authentication-results in " ONWARD_CONFORMANCE;
  Score score("authentication-results, headers collected by mox");
  for (const auto& c : cases) {
    const bool same =
        parse_authentication_results(c.at("header_value").get<std::string>()).has_value() == c.at("valid").get<bool>();
    EXPECT_TRUE(score.count(same)) << c.dump();
  }
}

}  // namespace
