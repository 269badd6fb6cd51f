// Answers SPF's questions out of a table, without an event loop, and counts them.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "auth/spf.hpp"
#include "core/text.hpp"

namespace spf_test {

// Unlisted name: nx_domain; listed name, other type: no_data.
class Zone {
 public:
  Zone& txt(const std::string& name, const std::string& text) {
    entry(name, dns::Type::txt).texts.push_back(text);
    return *this;
  }
  Zone& address(const std::string& name, const std::string& address) {
    const auto ip = core::IpAddress::parse(address).value();
    entry(name, ip.is_v4() ? dns::Type::a : dns::Type::aaaa).addresses.push_back(ip);
    return *this;
  }
  Zone& mx(const std::string& name, std::uint16_t preference, const std::string& host) {
    entry(name, dns::Type::mx).mx.push_back({preference, core::lower(host)});
    return *this;
  }
  Zone& name(const std::string& name, dns::Type type, const std::string& target) {  // CNAME, PTR
    entry(name, type).names.push_back(core::lower(target));
    return *this;
  }
  // What is not listed at `name`, of this type or of any, fails.
  Zone& fail(const std::string& name, dns::Type type) {
    names_[core::lower(name)].failing.push_back(type);
    return *this;
  }
  Zone& fail_rest(const std::string& name) {
    names_[core::lower(name)].rest_fails = true;
    return *this;
  }
  void touch(const std::string& name) { names_[core::lower(name)]; }

  dns::Answer resolve(const dns::Question& question) const {
    std::string name = question.name;
    dns::Answer answer;
    for (int cnames = 0; cnames <= 8; ++cnames) {
      const auto found = names_.find(name);
      if (found == names_.end()) {
        answer.status = dns::Status::nx_domain;
        return answer;
      }
      const auto& node = found->second;
      if (const auto entry = node.answers.find(question.type); entry != node.answers.end()) return entry->second;
      for (const auto type : node.failing) {
        if (type == question.type) return answer;
      }
      const auto cname = node.answers.find(dns::Type::cname);
      if (cname == node.answers.end()) {
        if (!node.rest_fails) answer.status = dns::Status::no_data;
        return answer;
      }
      name = cname->second.names.front();
    }
    return answer;
  }

 private:
  struct Node {
    std::map<dns::Type, dns::Answer> answers;
    std::vector<dns::Type> failing;
    bool rest_fails = false;
  };
  dns::Answer& entry(const std::string& name, dns::Type type) {
    auto& answer = names_[core::lower(name)].answers[type];
    answer.status = dns::Status::ok;
    answer.ttl = 300;
    return answer;
  }
  std::map<std::string, Node> names_;
};

struct Outcome {
  auth::SpfResult result;
  std::vector<dns::Question> questions;  // in the order they were answered
  std::vector<std::size_t> rounds;       // how many at a time
};

using Evaluate = std::function<std::optional<auth::SpfResult>(const auth::SpfInput&, dns::Lookup&)>;
using Resolve = std::function<dns::Answer(const dns::Question&)>;

enum class Pace { all_at_once, one_at_a_time };

// What dns::settle does. Also holds the bounds that hold for every evaluation.
inline Outcome run(const auth::SpfInput& input, const Resolve& resolve, const Evaluate& evaluate = auth::evaluate_spf,
                   Pace pace = Pace::all_at_once) {
  Outcome outcome;
  dns::Lookup lookup;
  for (std::size_t round = 0; round <= auth::kSpfMaxQuestions; ++round) {
    if (auto result = evaluate(input, lookup)) {
      outcome.result = std::move(*result);
      EXPECT_LE(lookup.answered() + lookup.wanted().size(), auth::kSpfMaxQuestions);
      return outcome;
    }
    auto wanted = lookup.wanted();
    if (wanted.empty()) break;
    // Alone, a question asked ahead may be the wrong one to answer: then the next run still has something to ask.
    if (pace == Pace::one_at_a_time) wanted.resize(1);
    outcome.rounds.push_back(wanted.size());
    for (const auto& question : wanted) {
      EXPECT_EQ(question.name, core::lower(question.name));
      EXPECT_FALSE(question.name.empty() || question.name.ends_with('.') || question.name.size() > 253);
      lookup.answer(question, resolve(question));
      outcome.questions.push_back(question);
    }
  }
  ADD_FAILURE() << "no result after " << outcome.rounds.size() << " rounds";
  return outcome;
}

inline Outcome run(const auth::SpfInput& input, const Zone& zone, const Evaluate& evaluate = auth::evaluate_spf,
                   Pace pace = Pace::all_at_once) {
  const Resolve resolve = [&](const dns::Question& question) { return zone.resolve(question); };
  return run(input, resolve, evaluate, pace);
}

inline mail::ReversePath reverse_path(const std::string& address) {
  mail::ReversePath path;
  const auto at = address.rfind('@');
  if (at == std::string::npos) {
    path.mailbox.domain = address;
  } else {
    path.mailbox.local = address.substr(0, at);
    path.mailbox.domain = address.substr(at + 1);
  }
  return path;
}

inline auth::SpfInput input(const std::string& client, const std::string& mail_from,
                            const std::string& helo = "mail.example.net") {
  auth::SpfInput in;
  in.client = core::IpAddress::parse(client).value();
  in.helo = helo;
  in.mail_from = reverse_path(mail_from);
  in.receiver = "mx.receiver.example";
  in.time = 1'700'000'000;
  return in;
}

inline std::string word(auth::Verdict verdict) {
  return std::string(auth::to_string(verdict));
}

}  // namespace spf_test
