// PTR, HELO and the sender's domain over small DNS worlds, and what the policies make of them.
#include "policy/client_names.hpp"

#include <gtest/gtest.h>

#include <map>

#include "policy/admission.hpp"

namespace {

using dns::Answer;
using dns::Question;
using dns::Status;
using dns::Type;
using policy::HeloResult;
using policy::ReverseResult;
using policy::SenderDomain;
using State = ReverseResult::State;

core::IpAddress ip(std::string_view text) {
  return core::IpAddress::parse(text).value();
}

// A DNS world: what is not in it does not exist.
class World {
 public:
  World& ptr(const std::string& address, std::vector<std::string> names) {
    const auto client = ip(address);
    auto& answer = ok(client.to_reversed_labels() + (client.is_v6() ? ".ip6.arpa" : ".in-addr.arpa"), Type::ptr);
    answer.names = std::move(names);
    return *this;
  }
  World& a(const std::string& name, const std::string& address) {
    const auto value = ip(address);
    ok(name, value.is_v6() ? Type::aaaa : Type::a).addresses.push_back(value);
    return *this;
  }
  World& mx(const std::string& name, const std::string& host) {
    ok(name, Type::mx).mx.push_back({10, host});
    return *this;
  }
  World& fail(const std::string& name, Type type) {
    known_[{name, static_cast<int>(type)}] = Answer();
    return *this;
  }
  World& empty(const std::string& name) {
    for (const auto type : {Type::a, Type::aaaa, Type::mx}) {
      Answer answer;
      answer.status = Status::no_data;
      known_.try_emplace({name, static_cast<int>(type)}, answer);
    }
    return *this;
  }
  template <class F>
  auto settle(F evaluate) {
    dns::Lookup lookup;
    for (int round = 0; round < 10; ++round) {
      if (auto result = evaluate(lookup)) return *result;
      const auto wanted = lookup.wanted();
      EXPECT_FALSE(wanted.empty()) << "wants nothing and knows nothing";
      for (const auto& question : wanted) {
        ++questions;
        const auto found = known_.find({question.name, static_cast<int>(question.type)});
        Answer none;
        none.status = Status::nx_domain;
        lookup.answer(question, found == known_.end() ? none : found->second);
      }
    }
    ADD_FAILURE() << "does not settle";
    return *evaluate(lookup);
  }
  unsigned questions = 0;

 private:
  Answer& ok(const std::string& name, Type type) {
    auto& answer = known_[{name, static_cast<int>(type)}];
    answer.status = Status::ok;
    return answer;
  }
  std::map<std::pair<std::string, int>, Answer> known_;
};

ReverseResult reverse(World& world, const std::string& address) {
  return world.settle([&](dns::Lookup& lookup) { return policy::evaluate_reverse(ip(address), lookup); });
}
HeloResult helo(World& world, std::string_view name) {
  return world.settle([&](dns::Lookup& lookup) { return policy::evaluate_helo(name, lookup); });
}
SenderDomain sender(World& world, std::string_view domain) {
  return world.settle([&](dns::Lookup& lookup) { return policy::evaluate_sender_domain(domain, lookup); });
}

TEST(ReverseName, Causes) {
  World world;
  world.ptr("192.0.2.1", {"mail.example"}).a("mail.example", "192.0.2.1");
  world.ptr("192.0.2.2", {"liar.example"}).a("liar.example", "192.0.2.99");
  world.ptr("192.0.2.3", {"gone.example"});
  world.ptr("192.0.2.5", {"slow.example"}).fail("slow.example", Type::a);
  world.ptr("192.0.2.6", {"liar.example", "second.example"}).a("second.example", "192.0.2.6");
  world.ptr("192.0.2.7", {"slow.example", "good.example"}).a("good.example", "192.0.2.7");
  world.fail("8.2.0.192.in-addr.arpa", Type::ptr);
  world.ptr("2001:db8::1", {"six.example"}).a("six.example", "2001:db8::1").a("six.example", "192.0.2.1");
  world.ptr("2001:db8::2", {"mail.example"});
  struct Case {
    const char* address;
    State state;
    const char* name;
  };
  for (const auto& c : std::vector<Case>{{"192.0.2.1", State::confirmed, "mail.example"},
                                         {"::ffff:192.0.2.1", State::confirmed, "mail.example"},
                                         {"192.0.2.2", State::unconfirmed, ""},
                                         {"192.0.2.3", State::unconfirmed, ""},
                                         {"192.0.2.4", State::missing, ""},
                                         {"192.0.2.5", State::unknown, ""},
                                         {"192.0.2.6", State::confirmed, "second.example"},
                                         {"192.0.2.7", State::confirmed, "good.example"},
                                         {"192.0.2.8", State::unknown, ""},
                                         {"2001:db8::1", State::confirmed, "six.example"},
                                         {"2001:db8::2", State::unconfirmed, ""}}) {
    const auto result = reverse(world, c.address);
    EXPECT_EQ(result.state, c.state) << c.address;
    EXPECT_EQ(result.name, c.name) << c.address;
  }
}

TEST(Threats, DN_11_ten_names_are_enough) {
  World world;
  std::vector<std::string> names;
  for (int i = 0; i < 100; ++i) names.push_back("n" + std::to_string(i) + ".example");
  world.ptr("192.0.2.1", names).a("n10.example", "192.0.2.1");
  EXPECT_EQ(reverse(world, "192.0.2.1").state, State::unconfirmed) << "the eleventh is not looked at";
  EXPECT_LE(world.questions, 1U + 10U);
  world.a("n9.example", "192.0.2.1");
  EXPECT_EQ(reverse(world, "192.0.2.1").name, "n9.example");
}

TEST(ReverseName, IsItTheHeloName) {
  ReverseResult result;
  result.names = {"a.example", "Mail.Example"};
  EXPECT_TRUE(is_own_name("mail.example", result, ip("192.0.2.1")));
  EXPECT_TRUE(is_own_name("MAIL.example.", result, ip("192.0.2.1")));
  EXPECT_FALSE(is_own_name("other.example", result, ip("192.0.2.1")));
  EXPECT_TRUE(is_own_name("[192.0.2.1]", result, ip("192.0.2.1")));
  EXPECT_FALSE(is_own_name("[192.0.2.2]", result, ip("192.0.2.1")));
  EXPECT_TRUE(is_own_name("[IPv6:2001:db8::1]", result, ip("2001:db8::1")));
}

TEST(Helo, Results) {
  World world;
  world.a("mail.example", "192.0.2.1").a("six.example", "2001:db8::1").mx("mx.example", "mail.example");
  world.empty("empty.example")
      .fail("slow.example", Type::a)
      .fail("both.example", Type::mx)
      .a("both.example", "192.0.2.1");
  struct Case {
    const char* name;
    HeloResult result;
  };
  for (const auto& c : std::vector<Case>{{"mail.example", HeloResult::fine},
                                         {"MAIL.Example", HeloResult::fine},
                                         {"mail.example.", HeloResult::fine},
                                         {"six.example", HeloResult::fine},
                                         {"mx.example", HeloResult::fine},
                                         {"both.example", HeloResult::fine},
                                         {"empty.example", HeloResult::unresolvable},
                                         {"nowhere.example", HeloResult::unresolvable},
                                         {"slow.example", HeloResult::unknown},
                                         {"[192.0.2.1]", HeloResult::literal},
                                         {"[IPv6:2001:db8::1]", HeloResult::literal},
                                         {"localhost", HeloResult::malformed},
                                         {"192.0.2.1", HeloResult::malformed},
                                         {"a_b.example", HeloResult::malformed},
                                         {"[192.0.2]", HeloResult::malformed},
                                         {"", HeloResult::malformed}}) {
    EXPECT_EQ(helo(world, c.name), c.result) << c.name;
  }
}

TEST(SenderDomains, Results) {
  World world;
  world.mx("mx.example", "mail.example")
      .mx("null.example", "")
      .a("a.example", "192.0.2.1")
      .a("six.example", "2001:db8::1");
  world.empty("empty.example").fail("slow.example", Type::mx);
  world.fail("halfslow.example", Type::a);
  world.fail("mxslow.example", Type::mx).a("mxslow.example", "192.0.2.1");
  world.empty("aslow.example").fail("aslow.example", Type::a);
  struct Case {
    const char* domain;
    SenderDomain result;
  };
  for (const auto& c : std::vector<Case>{{"mx.example", SenderDomain::fine},
                                         {"MX.EXAMPLE", SenderDomain::fine},
                                         {"a.example", SenderDomain::fine},
                                         {"six.example", SenderDomain::fine},
                                         {"null.example", SenderDomain::null_mx},
                                         {"empty.example", SenderDomain::nowhere},
                                         {"nowhere.example", SenderDomain::nowhere},
                                         {"slow.example", SenderDomain::unknown},
                                         {"mxslow.example", SenderDomain::fine},
                                         {"aslow.example", SenderDomain::unknown},
                                         {"[8.8.8.8]", SenderDomain::fine},
                                         {"[IPv6:2606:4700::1111]", SenderDomain::fine},
                                         {"[127.0.0.1]", SenderDomain::bad_literal},
                                         {"[10.1.2.3]", SenderDomain::bad_literal},
                                         {"[0.0.0.0]", SenderDomain::bad_literal},
                                         {"[255.255.255.255]", SenderDomain::bad_literal},
                                         {"[IPv6:::1]", SenderDomain::bad_literal},
                                         {"[IPv6:fe80::1]", SenderDomain::bad_literal},
                                         {"[IPv6:::ffff:127.0.0.1]", SenderDomain::bad_literal},
                                         {"[2606:4700::1111]", SenderDomain::bad_literal},
                                         {"[x:y]", SenderDomain::bad_literal}}) {
    EXPECT_EQ(sender(world, c.domain), c.result) << c.domain;
  }
}

TEST(Threats, DN_06_a_sender_domain_costs_three_questions) {
  World world;
  sender(world, "nowhere.example");
  EXPECT_EQ(world.questions, 3U);
}

// ---- the policies

policy::AdmissionSettings with(policy::AdmissionSettings::Rdns rdns) {
  policy::AdmissionSettings settings;
  settings.rdns = rdns;
  return settings;
}

TEST(RdnsPolicy, CodesAndCauses) {
  using Rdns = policy::AdmissionSettings::Rdns;
  const auto client = ip("192.0.2.1");
  ReverseResult missing, unconfirmed, unknown, confirmed;
  missing.state = State::missing;
  unconfirmed.state = State::unconfirmed;
  unconfirmed.names = {"liar.example"};
  confirmed.state = State::confirmed;
  confirmed.names = {confirmed.name = "mail.example"};
  const auto decide = [&](const policy::AdmissionSettings& settings, const ReverseResult& reverse,
                          std::string_view name = "mail.example") {
    const auto verdict = decide_rdns(settings, find_rdns_fault(settings, reverse, client, name));
    if (verdict.kind == policy::Verdict::Kind::accept) return std::string("accept");
    return std::to_string(verdict.code) + " " + verdict.enhanced.to_string() + " " + std::string(verdict.reason);
  };
  for (const auto rdns : {Rdns::off, Rdns::warn}) {
    for (const auto& reverse : {missing, unconfirmed, unknown, confirmed})
      EXPECT_EQ(decide(with(rdns), reverse), "accept");
  }
  EXPECT_EQ(decide(with(Rdns::reject), missing), "550 5.7.25 rdns");
  EXPECT_EQ(decide(with(Rdns::reject), unconfirmed), "550 5.7.25 rdns");
  EXPECT_EQ(decide(with(Rdns::reject), unknown), "450 4.7.25 rdns-temperror");
  EXPECT_EQ(decide(with(Rdns::reject), confirmed), "accept");
  EXPECT_EQ(decide(with(Rdns::defer), missing), "450 4.7.25 rdns");
  EXPECT_EQ(decide(with(Rdns::defer), unknown), "450 4.7.25 rdns-temperror");
  auto settings = with(Rdns::reject);
  settings.rdns_causes = {false, true, false};
  EXPECT_EQ(decide(settings, missing), "accept");
  EXPECT_EQ(decide(settings, unconfirmed), "550 5.7.25 rdns");
  settings.rdns_causes = {true, false, false};
  EXPECT_EQ(decide(settings, unconfirmed), "accept");
  EXPECT_EQ(decide(settings, confirmed, "other.example"), "accept");
  settings.rdns_causes = {false, false, true};
  EXPECT_EQ(decide(settings, confirmed, "other.example"), "550 5.7.25 rdns");
  EXPECT_EQ(decide(settings, confirmed), "accept");
  EXPECT_EQ(decide(settings, missing), "550 5.7.25 rdns") << "no PTR name is no HELO name";
}

TEST(HeloPolicy, Codes) {
  using Helo = policy::AdmissionSettings::Helo;
  policy::AdmissionSettings settings;
  const auto decide = [&](HeloResult result) {
    const auto verdict = decide_helo(settings, result, "x");
    return std::to_string(verdict.code) + " " + std::string(verdict.reason);
  };
  for (const auto mode : {Helo::off, Helo::warn}) {
    settings.helo = mode;
    EXPECT_EQ(decide(HeloResult::malformed), "0 ");
  }
  settings.helo = Helo::reject;
  EXPECT_EQ(decide(HeloResult::malformed), "550 helo");
  EXPECT_EQ(decide(HeloResult::unresolvable), "550 helo");
  EXPECT_EQ(decide(HeloResult::unknown), "451 helo-temperror");
  EXPECT_EQ(decide(HeloResult::fine), "0 ");
  EXPECT_EQ(decide(HeloResult::literal), "0 ");
}

TEST(SenderDomainPolicy, Codes) {
  const auto decide = [&](SenderDomain result) {
    const auto verdict = decide_sender_domain(result, "x.example");
    return std::to_string(verdict.code) + " " + verdict.enhanced.to_string();
  };
  EXPECT_EQ(decide(SenderDomain::nowhere), "550 5.1.8");
  EXPECT_EQ(decide(SenderDomain::null_mx), "550 5.7.27");
  EXPECT_EQ(decide(SenderDomain::bad_literal), "550 5.1.7");
  EXPECT_EQ(decide(SenderDomain::unknown), "451 4.1.8");
  EXPECT_EQ(decide_sender_domain(SenderDomain::fine, "x.example").kind, policy::Verdict::Kind::accept);
}

}  // namespace
