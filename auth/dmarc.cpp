#include "auth/dmarc.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "auth/dmarc_discovery.hpp"
#include "auth/dmarc_policy.hpp"

namespace auth {
namespace {

enum class Match { no, yes, maybe };  // maybe: DNS failed where it decides

// A name that SPF or DKIM vouches for, or would vouch for if DNS had answered.
struct Identifier {
  std::string domain;
  bool dkim = false;
  bool passed = false;  // false: temperror
};

struct Policy {
  enum class State { pending, failed, none, broken, found } state = State::none;
  LocatedRecord record;
  bool inherited = false;
};

std::vector<Identifier> identifiers_of(const DmarcInput& input) {
  std::vector<Identifier> out;
  const auto add = [&out](std::string_view domain, bool dkim, Verdict verdict) {
    if (verdict != Verdict::pass && verdict != Verdict::temperror) return;
    auto name = normal_domain(domain);
    if (!name) return;
    const bool passed = verdict == Verdict::pass;
    const bool known = std::any_of(out.begin(), out.end(), [&](const Identifier& other) {
      return other.domain == *name && other.dkim == dkim && other.passed == passed;
    });
    if (!known) out.push_back({std::move(*name), dkim, passed});
  };
  for (const auto& signature : input.dkim) {
    // A body that is only covered in part can be anybody's (threats CR-03).
    if (signature.result == Verdict::temperror || signature.whole_body) {
      add(signature.domain, true, signature.result);
    }
  }
  // RFC 9989 §4.4.2 knows only MAIL FROM, which is postmaster@HELO when it is null (RFC 7208 §2.4).
  if (input.spf && (!input.spf->helo || input.null_sender)) add(input.spf->domain, false, input.spf->result);
  // Those that count most and cost least first: the number of walks is limited.
  std::sort(out.begin(), out.end(), [](const Identifier& a, const Identifier& b) {
    const auto key = [](const Identifier& x) {
      return std::tuple(!x.passed, count_labels(x.domain), x.domain, x.dkim);
    };
    return key(a) < key(b);
  });
  return out;
}

class Evaluation {
 public:
  Evaluation(const DmarcInput& input, std::string author, dns::Lookup& lookup)
      : input_(input), author_(std::move(author)), lookup_(lookup) {}

  std::optional<DmarcResult> run();

 private:
  bool by_list() const { return input_.discovery == Discovery::psl && input_.suffixes; }
  Policy find_policy();
  std::optional<Match> aligned(const Identifier& identifier, Alignment mode);
  std::optional<bool> align_all(const DmarcRecord* record);
  std::optional<bool> choose_policy(const Policy& policy, bool failing);
  void conclude();

  const DmarcInput& input_;
  std::string author_;
  dns::Lookup& lookup_;
  Walk walk_;
  std::vector<std::string> walked_;
  DmarcResult result_;
  bool in_doubt_ = false;  // an identifier might be aligned, or an aligned one might pass
};

Policy Evaluation::find_policy() {
  Policy policy;
  if (by_list()) {
    auto found = find_listed_policy(author_, *input_.suffixes, lookup_);
    if (found.known == Knowledge::pending) policy.state = Policy::State::pending;
    if (found.known == Knowledge::failed) policy.state = Policy::State::failed;
    if (found.broken) policy.state = Policy::State::broken;
    if (found.record) policy = {Policy::State::found, std::move(*found.record), false};
  } else {
    walk_ = walk_tree(author_, input_.suffixes, lookup_);
    if (walk_.own) {
      policy = {Policy::State::found, {author_, *walk_.own}, false};
    } else if (walk_.own_known == Knowledge::pending || walk_.organization_known == Knowledge::pending) {
      policy.state = Policy::State::pending;
    } else if (walk_.own_known == Knowledge::failed || walk_.organization_known == Knowledge::failed) {
      policy.state = Policy::State::failed;
    } else if (walk_.inherited) {
      policy = {Policy::State::found, *walk_.inherited, false};
    }
  }
  policy.inherited = policy.state == Policy::State::found && policy.record.domain != author_;
  if (policy.state == Policy::State::found && !policy.record.record.usable) policy.state = Policy::State::none;
  return policy;
}

// RFC 9989 §4.10.2; RFC 7489 §3.1. Nothing: questions are open.
std::optional<Match> Evaluation::aligned(const Identifier& identifier, Alignment mode) {
  const auto& name = identifier.domain;
  if (name == author_) return Match::yes;
  if (mode == Alignment::strict || last_labels(name, 1) != last_labels(author_, 1)) return Match::no;
  if (by_list()) {
    const bool same = listed_organization(name, *input_.suffixes) == listed_organization(author_, *input_.suffixes);
    return same ? Match::yes : Match::no;
  }
  if (walk_.organization_known == Knowledge::pending) return std::nullopt;
  if (walk_.organization_known == Knowledge::failed) return Match::maybe;
  if (!is_same_or_below(name, walk_.organization)) return Match::no;
  if (std::find(walked_.begin(), walked_.end(), name) == walked_.end()) {
    if (walked_.size() >= kMaxAlignmentWalks) return Match::no;
    walked_.push_back(name);
  }
  const auto other = walk_tree(name, input_.suffixes, lookup_);
  if (other.organization_known == Knowledge::pending) return std::nullopt;
  if (other.organization_known == Knowledge::failed) return Match::maybe;
  return other.organization == walk_.organization ? Match::yes : Match::no;
}

// No record: only equal names are looked at. Nothing: questions are open.
std::optional<bool> Evaluation::align_all(const DmarcRecord* record) {
  bool open = false;
  for (const auto& identifier : identifiers_of(input_)) {
    const auto mode = !record ? Alignment::strict : identifier.dkim ? record->adkim : record->aspf;
    const auto match = aligned(identifier, mode);
    if (!match) {
      open = true;  // the others ask their questions in the same round
    } else if (*match == Match::yes && identifier.passed) {
      (identifier.dkim ? result_.dkim_aligned : result_.spf_aligned) = true;
    } else if (*match != Match::no) {
      in_doubt_ = true;
    }
  }
  if (open) return std::nullopt;
  return result_.dkim_aligned || result_.spf_aligned;
}

// p, sp or np (RFC 9989 §4.10.1). The author's domain is looked for only where that decides.
std::optional<bool> Evaluation::choose_policy(const Policy& policy, bool failing) {
  const auto& record = policy.record.record;
  result_.policy = policy.inherited ? record.sp.value_or(record.p) : record.p;
  if (!policy.inherited || !record.np || *record.np == result_.policy) return true;
  const auto* answer = lookup_.ask({author_, dns::Type::a});
  if (!answer) return std::nullopt;
  if (answer->status == dns::Status::nx_domain) {
    result_.policy = *record.np;  // RFC 9989 §3.2.13
  } else if (answer->status == dns::Status::failure && failing) {
    result_.policy = std::max(result_.policy, *record.np);
    in_doubt_ = true;
  }
  return true;
}

void Evaluation::conclude() {
  const bool pass = result_.spf_aligned || result_.dkim_aligned;
  const auto todo = enforce_dmarc(result_.policy, result_.spf_aligned, result_.dkim_aligned);
  const auto asked = result_.testing ? lowered(todo) : todo;
  result_.result = pass ? Verdict::pass : in_doubt_ ? Verdict::temperror : Verdict::fail;
  if (result_.result == Verdict::fail) {
    result_.disposition = asked;
    result_.reason = "nothing aligned passed";
  } else if (result_.result == Verdict::temperror) {
    // RFC 9989 §5.3.6: the policy cannot be applied.
    result_.at_worst = asked;
    result_.reason = "DNS failed where it decides";
  }
}

std::optional<DmarcResult> Evaluation::run() {
  result_.domain = author_;
  const auto policy = find_policy();
  switch (policy.state) {
    case Policy::State::pending:
      return std::nullopt;
    case Policy::State::none:
      result_.reason = "no policy";
      return result_;
    case Policy::State::broken:
      result_.result = Verdict::permerror;
      result_.reason = "broken record";
      return result_;
    case Policy::State::failed: {
      result_.result = Verdict::temperror;
      result_.reason = "DNS failed for the record";
      // Whatever the record says, a name that vouches for itself passes.
      const auto safe = align_all(nullptr);
      result_.at_worst = safe && *safe ? DmarcPolicy::none : DmarcPolicy::reject;
      result_.spf_aligned = result_.dkim_aligned = false;
      return result_;
    }
    case Policy::State::found:
      break;
  }
  const auto& record = policy.record.record;
  result_.policy_domain = policy.record.domain;
  result_.record = record.text;
  result_.testing = record.testing;
  const auto passes = align_all(&record);
  const auto chosen = choose_policy(policy, !passes.value_or(false));
  if (!passes || !chosen) return std::nullopt;
  conclude();
  return result_;
}

// How bad a result is for a message with several authors.
std::pair<int, int> rank(const DmarcResult& result) {
  const auto step = [](DmarcPolicy policy) { return static_cast<int>(policy); };
  switch (result.result) {
    case Verdict::none:
      return {0, 0};
    case Verdict::pass:
      return {1, step(result.policy)};
    case Verdict::permerror:
      return {2, 0};
    case Verdict::temperror:
      return {result.at_worst == DmarcPolicy::none ? 3 : 4, step(result.at_worst)};
    default:
      return {result.disposition == DmarcPolicy::none ? 3 : 5, step(result.disposition)};
  }
}

}  // namespace

DmarcPolicy lowered(DmarcPolicy policy) {
  return policy == DmarcPolicy::reject ? DmarcPolicy::quarantine : DmarcPolicy::none;
}

std::optional<DmarcResult> evaluate_dmarc(const DmarcInput& input, dns::Lookup& lookup) {
  auto author = normal_domain(input.author_domain);
  if (!author) {
    DmarcResult result;
    result.reason = "the author's domain is no name";
    return result;
  }
  return Evaluation(input, std::move(*author), lookup).run();
}

std::optional<DmarcResult> evaluate_authors(const DmarcInput& input, std::span<const std::string> domains,
                                            dns::Lookup& lookup) {
  std::optional<DmarcResult> worst = DmarcResult{};
  bool open = false, first = true;
  for (const auto& domain : domains) {
    auto one = input;
    one.author_domain = domain;
    auto result = evaluate_dmarc(one, lookup);
    if (!result) {
      open = true;
    } else if (first || rank(*result) > rank(*worst)) {
      worst = std::move(result);
      first = false;
    }
  }
  if (open) return std::nullopt;
  return worst;
}

}  // namespace auth
