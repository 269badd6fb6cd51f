// The SPF suites of ../shared/conformance (GUIDE §2.1).
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "auth/spf_zone.hpp"
#include "core/text.hpp"
#include "mail/jsonl.hpp"
#include "support/score.hpp"
#include "support/verdicts.hpp"

namespace {

using nlohmann::json;
using spf_test::Pace;
using spf_test::Zone;

// GUIDE §2.1: "\x96" stands in the JSON as U+0096 and is one octet on the wire.
std::string octets(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if ((c == 0xc2 || c == 0xc3) && i + 1 < text.size()) {
      out += static_cast<char>((c & 3) << 6 | (static_cast<unsigned char>(text[++i]) & 0x3f));
    } else {
      out += text[i];
    }
  }
  return out;
}

Zone zone_of(const json& entries) {
  Zone zone;
  for (const auto& [name, records] : entries.items()) {
    zone.touch(name);
    for (const auto& [type, values] : records.items()) {
      for (const auto& value : values) {
        if (type == "TXT") {
          std::string text;
          for (const auto& part : value) text += octets(part.get<std::string>());
          zone.txt(name, text);
        } else if (type == "A" || type == "AAAA") {
          zone.address(name, value.get<std::string>());
        } else if (type == "MX") {
          zone.mx(name, value[0].get<std::uint16_t>(), value[1].get<std::string>());
        } else if (type == "PTR" || type == "CNAME") {
          auto target = value.get<std::string>();
          if (target.ends_with('.')) target.pop_back();
          zone.name(name, type == "PTR" ? dns::Type::ptr : dns::Type::cname, target);
        } else if (type == "timeout" && value == "TXT") {
          zone.fail(name, dns::Type::txt);
        } else if (type == "timeout" || type == "TIMEOUT") {
          zone.fail_rest(name);
        } else {
          EXPECT_EQ(type, "SPF") << "a record type this runner does not know";
        }
      }
    }
  }
  return zone;
}

auth::SpfInput input_of(const json& test) {
  auto input = spf_test::input(test["host"], octets(test["mailfrom"].get<std::string>()),
                               octets(test["helo"].get<std::string>()));
  input.receiver.clear();  // as in `onward auth`
  return input;
}

// One case: the verdict is in the list, and the explanation is the one given.
void check(const std::string& file, const json& test, Score& score) {
  SCOPED_TRACE(test["scenario"].get<std::string>() + ": " + test["id"].get<std::string>());
  const auto zone = zone_of(test["zone"]);
  const auto input = input_of(test);
  const auto outcome = spf_test::run(input, zone);
  const auto got = spf_test::word(outcome.result.result);
  verdicts::write(file, test["id"], {{"spf", verdicts::of(outcome.result)}});
  const auto accepted = test["result"].get<std::vector<std::string>>();
  bool right = std::find(accepted.begin(), accepted.end(), got) != accepted.end();
  if (test["explanation"].is_string()) {
    // DEFAULT is the receiver's own text, and we have none.
    const auto wanted = test["explanation"].get<std::string>();
    right = right && outcome.result.explanation == (wanted == "DEFAULT" ? "" : wanted);
  }
  EXPECT_TRUE(score.count(right)) << got << " (" << outcome.result.reason << "), \"" << outcome.result.explanation
                                  << "\"; wanted " << test["result"] << ", " << test["explanation"];
  // The order in which answers arrive changes nothing.
  const auto slow = spf_test::run(input, zone, auth::evaluate_spf, Pace::one_at_a_time);
  EXPECT_EQ(spf_test::word(slow.result.result), got);
  EXPECT_EQ(slow.result.reason, outcome.result.reason);
  EXPECT_EQ(slow.result.explanation, outcome.result.explanation);
}

void check_all(const std::string& suite, const std::string& file) {
  const auto cases = read_jsonl(file);
  if (cases.empty()) GTEST_SKIP() << "no conformance data";
  Score score(suite);
  for (const auto& test : cases) check(file, test, score);
}

TEST(SpfConformance, openspf_rfc7208) {
  check_all("spf-openspf, RFC 7208 with explanations", "spf-openspf/cases.jsonl");
}

// For comparison: nothing in the older suite contradicts RFC 7208 as we read it.
TEST(SpfConformance, openspf_rfc4408) {
  check_all("spf-openspf, RFC 4408 for comparison", "spf-openspf/cases-rfc4408.jsonl");
}

// Cases where at least two of pyspf, Mail::SPF and mailauth disagree with the expectation are quirks of the suite.
void check_agreed(const std::string& suite) {
  const auto cases = read_jsonl(suite + "/cases.jsonl");
  const auto references = read_jsonl(suite + "/reference-results.jsonl");
  if (cases.empty()) GTEST_SKIP() << "no conformance data";
  ASSERT_EQ(cases.size(), references.size());
  Score score(suite);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    ASSERT_EQ(cases[i]["id"], references[i]["id"]);
    if (references[i]["two_of_three_agree_with_expected"].get<bool>()) {
      check(suite + "/cases.jsonl", cases[i], score);
    } else {
      const auto outcome = spf_test::run(input_of(cases[i]), zone_of(cases[i]["zone"]));
      verdicts::write(suite + "/cases.jsonl", cases[i]["id"], {{"spf", verdicts::of(outcome.result)}});
      score.leave_out();
    }
  }
  EXPECT_GT(score.scored(), cases.size() / 2);
}

TEST(SpfConformance, mail_auth) {
  check_agreed("spf-mail-auth");
}
TEST(SpfConformance, blitiri) {
  check_agreed("spf-blitiri");
}

// Records out of a fuzzer: some verdict within the bounds that spf_test::run holds, whatever DNS says.
TEST(SpfConformance, fuzz_blitiri) {
  const auto records = read_jsonl("spf-fuzz-blitiri/records.jsonl");
  if (records.empty()) GTEST_SKIP() << "no conformance data";
  Score score("spf-fuzz-blitiri, any verdict within the bounds");
  std::set<std::string> seen;
  for (const auto& line : records) {
    const auto record = core::base64_decode(line["record_b64"].get<std::string>());
    ASSERT_TRUE(record);
    for (const char* client : {"192.0.2.1", "2001:db8::1"}) {
      const spf_test::Resolve resolve = [&](const dns::Question& question) {
        Zone zone;
        if (question.type == dns::Type::txt) zone.txt(question.name, *record);
        if (question.type == dns::Type::mx) zone.mx(question.name, 10, "mx." + question.name.substr(0, 200));
        if (question.type == dns::Type::ptr) zone.name(question.name, dns::Type::ptr, "client.example.org");
        if (question.name == "client.example.org") zone.address(question.name, client);
        return zone.resolve(question);
      };
      const auto outcome = spf_test::run(spf_test::input(client, "user@example.org"), resolve);
      seen.insert(spf_test::word(outcome.result.result));
    }
    score.count(!HasFailure());
  }
  EXPECT_TRUE(seen.contains("permerror"));
  EXPECT_TRUE(seen.contains("pass"));
}

}  // namespace
