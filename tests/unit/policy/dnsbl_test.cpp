// Block lists as pure functions: names, answers, self-tests, health and score; the cases of
// ../shared/conformance/dnsbl.
#include "policy/dnsbl.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "policy/admission.hpp"
#include "policy/zone_health.hpp"

namespace {

using namespace std::chrono_literals;
using dns::Answer;
using dns::Status;
using policy::DnsblZone;
using policy::Listing;
using policy::ZoneHealth;
using State = policy::ZoneHealth::State;

core::IpAddress ip(std::string_view text) {
  return core::IpAddress::parse(text).value();
}

DnsblZone zone(std::vector<std::string> listed = {}, DnsblZone::Kind kind = DnsblZone::Kind::ip) {
  DnsblZone out;
  out.name = "zen";
  out.zone = "secret-key.zen.example";
  out.kind = kind;
  for (const auto& range : listed) out.listed.push_back(policy::parse_answer_range(range).value());
  return out;
}

Answer answer(std::initializer_list<const char*> addresses) {
  Answer out;
  out.status = Status::ok;
  for (const auto* address : addresses) out.addresses.push_back(ip(address));
  return out;
}
Answer none() {
  Answer out;
  out.status = Status::nx_domain;
  return out;
}
Answer silence() {
  Answer out;
  out.error = "timeout";
  return out;
}

TEST(Dnsbl, Questions) {
  EXPECT_EQ(question_about(zone(), ip("192.0.2.99")).name, "99.2.0.192.secret-key.zen.example");
  EXPECT_EQ(question_about(zone(), ip("::ffff:192.0.2.99")).name, "99.2.0.192.secret-key.zen.example");
  EXPECT_EQ(question_about(zone(), ip("2001:db8::1")).name,
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.secret-key.zen.example");
  const auto of = [](std::string_view domain) {
    const auto question = question_about(zone({}, DnsblZone::Kind::domain), domain);
    return question ? question->name : "-";
  };
  EXPECT_EQ(of("Bad.Example"), "bad.example.secret-key.zen.example");
  EXPECT_EQ(of("bad.example."), "bad.example.secret-key.zen.example");
  for (const auto* text : {"", "localhost", "[192.0.2.1]", "192.0.2.1", "a b.example", "-.example"}) {
    EXPECT_EQ(of(text), "-") << text;
  }
  std::string longest;
  while (longest.size() + 2 < 253 - 23) longest += "a.";
  EXPECT_NE(of(longest + "bb"), "-");
  EXPECT_EQ(of(longest + "bbb"), "-");
}

TEST(Dnsbl, Ranges) {
  EXPECT_TRUE(policy::parse_answer_range("127.0.0.2"));
  EXPECT_TRUE(policy::parse_answer_range("127.0.0.2-127.0.0.11"));
  for (const auto* text : {"", "127.0.0", "127.0.0.3-127.0.0.2", "127.0.0.2-", "::1", "127.0.0.2-::1", "x"}) {
    EXPECT_FALSE(policy::parse_answer_range(text)) << text;
  }
}

TEST(Threats, DN_09_what_answers_mean) {
  struct Case {
    std::vector<std::string> listed;
    Answer answer;
    Listing meaning;
  };
  const std::vector<Case> cases = {
      {{}, answer({"127.0.0.2"}), Listing::yes},
      {{}, answer({"127.0.1.2"}), Listing::yes},
      {{}, answer({"127.255.254.255"}), Listing::yes},
      {{}, none(), Listing::no},
      {{}, silence(), Listing::silent},
      {{}, answer({"127.255.255.254"}), Listing::wrong},
      {{}, answer({"127.255.255.0"}), Listing::wrong},
      {{}, answer({"127.0.0.2", "127.255.255.252"}), Listing::wrong},
      {{}, answer({"192.0.2.80"}), Listing::wrong},
      {{}, answer({"127.0.0.1"}), Listing::wrong},
      {{"127.0.0.2-127.0.0.11"}, answer({"127.0.0.2"}), Listing::yes},
      {{"127.0.0.2-127.0.0.11"}, answer({"127.0.0.11"}), Listing::yes},
      {{"127.0.0.2-127.0.0.11"}, answer({"127.0.0.12"}), Listing::no},
      {{"127.0.0.2-127.0.0.11"}, answer({"127.0.0.12", "127.0.0.4"}), Listing::yes},
      {{"127.0.0.2-127.0.0.11"}, answer({"10.0.0.1", "127.0.0.4"}), Listing::wrong},
      {{"127.0.0.4", "127.0.0.9"}, answer({"127.0.0.9"}), Listing::yes},
      {{"127.0.0.4", "127.0.0.9"}, answer({"127.0.0.5"}), Listing::no},
      // Whoever writes it means it; but 127.255.255.0/24 is trouble always (interface.md §2).
      {{"127.0.0.1"}, answer({"127.0.0.1"}), Listing::yes},
      {{"127.0.0.0-127.255.255.255"}, answer({"127.255.255.254"}), Listing::wrong},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(judge_listing(zone(c.listed), c.answer), c.meaning)
        << (c.answer.addresses.empty() ? "" : c.answer.addresses.front().to_string());
  }
}

TEST(Threats, DN_09_self_test) {
  const auto listed = answer({"127.0.0.2"});
  const auto problem = [](std::vector<Answer> answers) { return self_test_problem(zone(), answers); };
  const auto names = [](std::vector<Answer> answers) {
    return self_test_problem(zone({}, DnsblZone::Kind::domain), answers);
  };
  ASSERT_EQ(self_test_questions(zone()).size(), 4U);
  EXPECT_EQ(self_test_questions(zone())[0].name, "2.0.0.127.secret-key.zen.example");
  EXPECT_EQ(self_test_questions(zone())[2].name,
            "2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.secret-key.zen.example");
  // In order: 127.0.0.2, 127.0.0.1, ::ffff:7f00:2, ::ffff:7f00:1.
  EXPECT_EQ(problem({listed, none(), none(), none()}), "");
  EXPECT_EQ(problem({listed, none(), listed, none()}), "");
  EXPECT_EQ(problem({none(), none(), listed, none()}), "") << "a list of IPv6 alone";
  EXPECT_EQ(problem({listed, none(), silence(), silence()}), "");
  EXPECT_NE(problem({none(), none(), none(), none()}), "");
  EXPECT_NE(problem({listed, listed, none(), none()}), "");
  EXPECT_NE(problem({listed, none(), listed, listed}), "");
  EXPECT_NE(problem({listed, silence(), none(), silence()}), "") << "nothing says that not everybody is listed";
  EXPECT_NE(problem({silence(), silence(), silence(), silence()}), "");
  EXPECT_NE(problem({answer({"127.255.255.254"}), none(), none(), none()}), "");
  EXPECT_NE(problem({answer({"192.0.2.80"}), answer({"192.0.2.80"}), none(), none()}), "");
  ASSERT_EQ(self_test_questions(zone({}, DnsblZone::Kind::domain)).size(), 2U);
  EXPECT_EQ(self_test_questions(zone({}, DnsblZone::Kind::domain))[0].name, "test.secret-key.zen.example");
  EXPECT_EQ(names({listed, none()}), "");
  EXPECT_NE(names({none(), none()}), "");
  EXPECT_NE(names({listed, listed}), "");
  // OP-05: no word of it names the zone.
  for (const auto& text : {problem({none(), none(), none(), none()}), problem({listed, listed, none(), none()}),
                           problem({silence(), none(), none(), none()}),
                           problem({answer({"192.0.2.80"}), none(), none(), none()}), names({none(), none()})}) {
    EXPECT_EQ(text.find("secret"), std::string::npos) << text;
  }
}

TEST(Threats, DN_09_a_broken_zone_is_out_for_five_minutes) {
  ZoneHealth health;
  ZoneHealth::Time now{1h};
  const auto list = zone();
  EXPECT_EQ(health.state(list, now), State::untested);
  EXPECT_TRUE(health.test_due(list, now));
  EXPECT_TRUE(health.note_test(list, "", now)) << "news";
  EXPECT_FALSE(health.note_test(list, "", now));
  EXPECT_EQ(health.state(list, now), State::good);
  EXPECT_FALSE(health.test_due(list, now));
  EXPECT_TRUE(health.test_due(list, now + 30min));
  EXPECT_EQ(health.state(list, now + 300min), State::good) << "an old test counts until there is a new one";

  EXPECT_TRUE(health.note_test(list, "dead", now));
  EXPECT_EQ(health.state(list, now), State::broken);
  EXPECT_FALSE(health.test_due(list, now + 299s));
  EXPECT_EQ(health.state(list, now + 299s), State::broken);
  EXPECT_EQ(health.state(list, now + 300s), State::untested);
  EXPECT_TRUE(health.test_due(list, now + 300s));
  EXPECT_EQ(health.broken({list}, now), 1U);
  EXPECT_FALSE(health.note_test(list, "dead", now + 300s)) << "the same news once";
  EXPECT_EQ(health.state(list, now + 599s), State::broken);
  EXPECT_TRUE(health.note_test(list, "", now + 600s));
}

TEST(Threats, DN_09_silence_and_nonsense_take_it_out) {
  ZoneHealth health;
  const ZoneHealth::Time now{1h};
  const auto list = zone();
  health.note_test(list, "", now);
  EXPECT_FALSE(health.note_answer(list, Listing::silent, now));
  EXPECT_FALSE(health.note_answer(list, Listing::silent, now));
  EXPECT_FALSE(health.note_answer(list, Listing::no, now));
  EXPECT_FALSE(health.note_answer(list, Listing::silent, now));
  EXPECT_FALSE(health.note_answer(list, Listing::silent, now));
  EXPECT_EQ(health.state(list, now), State::good) << "three in a row are needed";
  EXPECT_TRUE(health.note_answer(list, Listing::silent, now));
  EXPECT_EQ(health.state(list, now), State::broken);
  health.note_test(list, "", now);
  EXPECT_TRUE(health.note_answer(list, Listing::wrong, now));
  EXPECT_FALSE(health.note_answer(list, Listing::wrong, now));
  const auto told = health.tell({list}, now);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].name, "zen");
  EXPECT_EQ(told[0].questions, 8U);
  EXPECT_EQ(told[0].failures, 7U);
  EXPECT_NE(told[0].problem, "");
  EXPECT_EQ(health.tell({}, now).size(), 0U);
  EXPECT_EQ(health.state(list, now), State::untested) << "what is configured no more is forgotten";
}

TEST(Dnsbl, KindsOfOneZoneAreTestedApart) {
  ZoneHealth health;
  const ZoneHealth::Time now{1h};
  health.note_test(zone(), "", now);
  EXPECT_EQ(health.state(zone({}, DnsblZone::Kind::domain), now), State::untested);
}

TEST(Dnsbl, ScoreAndReply) {
  policy::AdmissionSettings settings;
  const auto client = ip("192.0.2.1");
  const policy::DnsblFinding zen{"zen", "192.0.2.1", 1, DnsblZone::Kind::ip};
  const policy::DnsblFinding bar{"bar", "192.0.2.1", 2, DnsblZone::Kind::ip};
  const policy::DnsblFinding white{"white", "192.0.2.1", -2, DnsblZone::Kind::ip};
  const policy::DnsblFinding dbl{"dbl", "bad.example", 1, DnsblZone::Kind::domain};
  const policy::DnsblFinding again{"dbl", "worse.example", 1, DnsblZone::Kind::domain};
  const auto text = [&](std::vector<policy::DnsblFinding> findings) {
    const auto verdict = decide_dnsbl(settings, client, findings);
    return verdict.kind == policy::Verdict::Kind::reject ? verdict.text : "";
  };
  EXPECT_EQ(text({}), "");
  EXPECT_EQ(text({zen}), "192.0.2.1 found on one or more DNSBLs (zen)");
  EXPECT_EQ(text({zen, bar}), "192.0.2.1 found on one or more DNSBLs (zen, bar)");
  EXPECT_EQ(text({zen, white}), "") << "1 - 2 is below the threshold";
  EXPECT_EQ(text({zen, bar, white}), "192.0.2.1 found on one or more DNSBLs (zen, bar)") << "allow-lists are not named";
  EXPECT_EQ(text({dbl, again}), "bad.example found on one or more DNSBLs (dbl)");
  EXPECT_EQ(text({zen, dbl}), "192.0.2.1 found on one or more DNSBLs (zen, dbl)");
  settings.dnsbl_threshold = 2;
  EXPECT_EQ(text({zen}), "");
  EXPECT_EQ(text({dbl, again}), "") << "a list counts once";
  EXPECT_EQ(text({zen, dbl}), "192.0.2.1 found on one or more DNSBLs (zen, dbl)");
  settings.dnsbl_threshold = 1;
  const auto verdict = decide_dnsbl(settings, client, {zen});
  EXPECT_EQ(verdict.code, 554);
  EXPECT_EQ(verdict.enhanced, (mail::EnhancedCode{5, 7, 1}));
  EXPECT_EQ(verdict.reason, "dnsbl");
}

// ---- ../shared/conformance/dnsbl

using Json = nlohmann::json;

Answer look_up(const Json& world, const dns::Question& question) {
  const auto found = world.find(question.name);
  if (found == world.end() || !found->is_object() || !found->contains("A")) return none();
  Answer out;
  out.status = Status::ok;
  for (const auto& address : (*found)["A"]) out.addresses.push_back(ip(address.get<std::string>()));
  return out;
}

class DnsblConformance : public ::testing::Test {
 protected:
  void SetUp() override {
    std::ifstream file(ONWARD_CONFORMANCE "/dnsbl/cases.json");
    if (!file) GTEST_SKIP() << "no " ONWARD_CONFORMANCE;
    cases_ = Json::parse(file);
  }
  Json cases_;
};

TEST_F(DnsblConformance, Mox) {
  ASSERT_GE(cases_["mox"].size(), 6U);
  for (const auto& c : cases_["mox"]) {
    auto list = zone();
    list.zone = c["list"].get<std::string>();
    if (c.contains("health")) {
      std::vector<Answer> answers;
      for (const auto& question : self_test_questions(list)) answers.push_back(look_up(c["zone"], question));
      EXPECT_EQ(self_test_problem(list, answers).empty(), c["health"].get<bool>()) << c["id"];
      continue;
    }
    const auto question = question_about(list, ip(c["ip"].get<std::string>()));
    const bool listed = judge_listing(list, look_up(c["zone"], question)) == Listing::yes;
    EXPECT_EQ(listed, c["listed"].get<bool>()) << c["id"];
  }
}

TEST_F(DnsblConformance, Rspamd) {
  const auto& suite = cases_["rspamd"];
  ASSERT_GE(suite["cases"].size(), 4U);
  for (const auto& c : suite["cases"]) {
    auto list = zone({"127.0.0.2-127.0.0.3"});
    list.zone = suite["list"].get<std::string>();
    const auto found = look_up(suite["zone"], question_about(list, ip(c["ip"].get<std::string>())));
    std::vector<std::string> codes;
    for (const auto& address : found.addresses) codes.push_back(address.to_string());
    const auto wanted = c["codes"].get<std::vector<std::string>>();
    const bool unnamed = wanted.size() == 1 && wanted[0].starts_with('(');
    if (!unnamed) EXPECT_EQ(codes, wanted) << c["id"];
    EXPECT_EQ(judge_listing(list, found), wanted.empty() || unnamed ? Listing::no : Listing::yes) << c["id"];
  }
}

}  // namespace
