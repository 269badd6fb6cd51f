// What the DMARC tests share: a small DNS world, and a loop that runs an evaluator until it is content.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "auth/dmarc.hpp"
#include "dns/answer.hpp"

namespace dmarc_test {

// Names that are not listed do not exist.
class Zone {
 public:
  Zone() = default;
  Zone(std::initializer_list<std::pair<std::string, std::string>> records) {
    for (const auto& [name, text] : records) txt(name, text);
  }
  void txt(const std::string& name, std::string text) {
    auto& answer = txt_[name];
    answer.status = dns::Status::ok;
    answer.texts.push_back(std::move(text));
  }
  void fail(const std::string& name) { txt_[name] = dns::Answer{}; }
  void exists(const std::string& name) { names_[name] = dns::Status::no_data; }
  void broken(const std::string& name) { names_[name] = dns::Status::failure; }

  dns::Answer answer(const dns::Question& question) const {
    dns::Answer answer;
    answer.status = dns::Status::nx_domain;
    if (const auto name = names_.find(question.name); name != names_.end()) answer.status = name->second;
    if (question.type == dns::Type::txt) {
      if (const auto found = txt_.find(question.name); found != txt_.end()) return found->second;
    } else if (txt_.contains(question.name)) {
      answer.status = dns::Status::no_data;
    }
    return answer;
  }

 private:
  std::map<std::string, dns::Answer> txt_;
  std::map<std::string, dns::Status> names_;
};

// Every question is answered; `asked` gets them in order.
template <class Evaluate>
auto settle(const Zone& zone, Evaluate evaluate, std::vector<dns::Question>* asked = nullptr) {
  dns::Lookup lookup;
  for (int round = 0;; ++round) {
    auto result = evaluate(lookup);
    if (result) {
      EXPECT_LE(lookup.answered(), 60U) << "threats DN-06";
      return *result;
    }
    const auto wanted = lookup.wanted();
    EXPECT_FALSE(wanted.empty()) << "gave up without a question";
    EXPECT_LT(round, 10);
    if (wanted.empty() || round >= 10) return *evaluate(lookup);
    for (const auto& question : wanted) {
      if (asked) asked->push_back(question);
      lookup.answer(question, zone.answer(question));
    }
  }
}

inline const auth::PublicSuffixList& suffixes() {
  static const auto list = auth::PublicSuffixList::load().value();
  return list;
}

inline auth::DkimResult signed_by(std::string domain, auth::Verdict verdict = auth::Verdict::pass) {
  auth::DkimResult result;
  result.result = verdict;
  result.domain = std::move(domain);
  return result;
}

inline auth::SpfResult sent_by(std::string domain, auth::Verdict verdict = auth::Verdict::pass) {
  auth::SpfResult result;
  result.result = verdict;
  result.domain = std::move(domain);
  return result;
}

// One message: who it says it is from, and what is known about it.
struct Message {
  std::string author;
  std::vector<auth::DkimResult> dkim;
  auth::SpfResult spf;
  auth::Discovery discovery = auth::Discovery::tree_walk;
  bool fence = true;
  bool null_sender = false;

  auth::DmarcResult evaluate(const Zone& zone, std::vector<dns::Question>* asked = nullptr) const {
    auth::DmarcInput input;
    input.author_domain = author;
    input.spf = &spf;
    input.null_sender = null_sender;
    input.dkim = dkim;
    input.discovery = discovery;
    input.suffixes = fence ? &suffixes() : nullptr;
    return settle(zone, [&](dns::Lookup& lookup) { return auth::evaluate_dmarc(input, lookup); }, asked);
  }
};

}  // namespace dmarc_test
