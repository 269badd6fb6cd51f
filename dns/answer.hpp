// DNS questions and answers as plain values: what pure evaluators (SPF, DKIM, DMARC, routing) see of DNS.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/ip.hpp"

namespace dns {

enum class Type : std::uint16_t { a = 1, cname = 5, ptr = 12, mx = 15, txt = 16, aaaa = 28, tlsa = 52 };

struct Question {
  std::string name;  // lower case, without trailing dot, A-labels
  Type type = Type::a;
  friend bool operator==(const Question&, const Question&) = default;
};

// no_data: the name exists without such records; failure: SERVFAIL, REFUSED, timeout, garbage (never proof of absence).
enum class Status { ok, no_data, nx_domain, failure };

struct Mx {
  std::uint16_t preference = 0;
  std::string host;  // lower case, without trailing dot; "" is the null MX (RFC 7505)
  friend bool operator==(const Mx&, const Mx&) = default;
};

// Answer::error of a question that our own resolver did not ask, because too many are under way (DN-06).
inline constexpr std::string_view kTooManyInFlight = "too many questions in flight";

struct Answer {
  Status status = Status::failure;
  bool authenticated = false;              // AD bit, of every step where CNAMEs were followed
  std::string canonical;                   // the name that CNAMEs led to; "" when there was none
  std::uint32_t ttl = 0;                   // seconds; of the smallest record, or of the negative answer
  std::vector<core::IpAddress> addresses;  // A, AAAA
  std::vector<Mx> mx;                      // in the order of the answer
  std::vector<std::string> names;          // CNAME, PTR
  std::vector<std::string> texts;          // TXT, character-strings joined
  std::vector<std::string> raw;            // TLSA rdata
  std::string error;                       // for logs: "timeout", "SERVFAIL", ...
};

// How many questions may still be asked for one purpose, by all the Lookups that serve it (threats DN-06).
struct Allowance {
  unsigned left = 0;
  unsigned refused = 0;  // questions that were not asked for it
};

// What a pure evaluator knows of DNS so far. It asks; what is not known yet is noted, the evaluator gives up for now,
// and is run again when the answers are in (dns/settle.hpp). Equal questions are asked once.
class Lookup {
 public:
  Lookup() = default;
  // With an allowance that is used up, further questions are failures at once. Null: no bound.
  explicit Lookup(std::shared_ptr<Allowance> allowance) : allowance_(std::move(allowance)) {}

  // Null: not known yet, and from now on wanted.
  const Answer* ask(const Question& question) {
    for (const auto& [known, answer] : known_) {
      if (known == question) return &answer;
    }
    for (const auto& wanted : wanted_) {
      if (wanted == question) return nullptr;
    }
    if (allowance_ && allowance_->left == 0) {
      ++allowance_->refused;
      Answer refused;
      refused.error = "too many questions";
      return &known_.emplace_back(question, std::move(refused)).second;
    }
    if (allowance_) --allowance_->left;
    wanted_.push_back(question);
    return nullptr;
  }
  // Questions that were asked and are not answered; the caller answers them and runs the evaluator again.
  const std::vector<Question>& wanted() const { return wanted_; }
  void answer(const Question& question, Answer answer) {
    std::erase(wanted_, question);
    known_.emplace_back(question, std::move(answer));
  }
  std::size_t answered() const { return known_.size(); }

 private:
  std::deque<std::pair<Question, Answer>> known_;  // a deque: answers stay where they are
  std::vector<Question> wanted_;
  std::shared_ptr<Allowance> allowance_;
};

}  // namespace dns
