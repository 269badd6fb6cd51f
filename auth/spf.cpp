// check_host() of RFC 7208 §4. An Evaluation lives for one run: it walks the records in the order the RFC gives, and
// wherever an answer is missing, all functions return empty up to the caller. Every run walks the same way as the one
// before and then further, so that what is counted (terms, voids, questions) is the same without any memory between
// runs, and an included record cannot start its own count.
#include "auth/spf.hpp"

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include "auth/spf_domain.hpp"
#include "auth/spf_macro.hpp"
#include "auth/spf_match.hpp"
#include "auth/spf_record.hpp"
#include "core/text.hpp"

namespace auth {
namespace {

using Kind = SpfTerm::Kind;

constexpr std::size_t kMaxNeeded = kSpfMaxQuestions - kSpfMaxAhead;
constexpr std::size_t kMaxReason = 200;

// What check_host gives for one record, and where its explanation would be.
struct Check {
  Verdict verdict = Verdict::none;
  std::string reason;
  std::string_view exp;    // domain-spec, in the record's text
  std::string exp_domain;  // %{d} for it
};

Check error(Verdict verdict, std::string reason) {
  return {verdict, std::move(reason), {}, {}};
}

// One mechanism: does it match, or did it break?
struct Match {
  bool yes = false;
  Verdict error = Verdict::none;
  std::string reason;
};

Match broken(Verdict verdict, std::string reason) {
  return {false, verdict, std::move(reason)};
}

class Evaluation {
 public:
  Evaluation(const SpfInput& input, std::string_view local, const std::string& domain, dns::Lookup& lookup)
      : lookup_(lookup), client_(input.client.unmapped()), matcher_(client_), explain_(input.explain) {
    values_.client = client_;
    values_.local = local.empty() ? "postmaster" : local;  // §4.3
    values_.sender_domain = domain;
    values_.helo = input.helo;
    values_.receiver = input.receiver;
    values_.time = input.time;
    address_type_ = client_.is_v4() ? dns::Type::a : dns::Type::aaaa;
  }

  std::optional<SpfResult> run(bool helo) {
    auto check = check_host(values_.sender_domain);
    if (!check) return std::nullopt;
    SpfResult result;
    result.result = check->verdict;
    result.domain = core::lower(values_.sender_domain);
    result.helo = helo;
    result.reason = core::printable(check->reason.substr(0, kMaxReason));
    if (explain_ && check->verdict == Verdict::fail && !check->exp.empty()) {
      auto text = explanation(*check);
      if (!text) return std::nullopt;
      result.explanation = std::move(*text);
    }
    return result;
  }

 private:
  struct Asked {
    dns::Question question;
    bool needed;
  };

  std::optional<Check> check_host(const std::string& domain);
  std::optional<Check> evaluate(const SpfRecord& record, const std::string& domain);
  std::optional<Check> redirect(const SpfRecord& record, const std::string& domain);
  std::optional<Match> match(const SpfTerm& term, const std::string& domain);
  std::optional<Match> match_include(const std::string& name);
  std::optional<Match> match_addresses(const dns::Question& question, const SpfTerm& term);
  std::optional<Match> match_mx(const std::string& name, const SpfTerm& term);
  std::optional<Match> match_ptr(const std::string& name);
  std::optional<Match> match_exists(const std::string& name);

  // The answer; empty: not known yet. What may be asked is settled before, by may_ask.
  std::optional<const dns::Answer*> ask(const dns::Question& question) {
    const auto* answer = lookup_.ask(question);
    if (answer == nullptr) return std::nullopt;
    return answer;
  }
  bool may_ask(const dns::Question& question);
  void ask_ahead(const dns::Question& question);
  void ask_ahead(const SpfRecord& record, std::size_t from, const std::string& domain);
  bool is_void(const dns::Answer& answer);
  std::optional<std::string> target(std::string_view spec, const std::string& domain);
  std::optional<std::vector<std::string>> validated_names(std::string_view below);
  std::optional<std::string> validated_name(const std::string& domain);
  std::optional<std::string> explanation(const Check& check);
  bool contains_client(const std::vector<core::IpAddress>& addresses, const SpfTerm& term);
  // RFC 8616 §4: a term with a local part that is not ASCII matches nothing.
  bool unusable(std::string_view spec) const {
    return core::has_8bit(values_.local) && (uses_macro(spec, 'l') || uses_macro(spec, 's'));
  }

  dns::Lookup& lookup_;
  const core::IpAddress client_;
  AddressMatcher matcher_;
  const bool explain_;
  MacroValues values_;
  dns::Type address_type_;
  unsigned terms_ = 0, voids_ = 0;
  std::vector<Asked> asked_;
  std::size_t needed_ = 0;
};

constexpr const char* kTooManyTerms = "more than 10 terms that ask DNS";
constexpr const char* kTooManyVoids = "more than 2 questions without an answer";
constexpr const char* kTooManyQuestions = "too many DNS questions";

// Counts `question` once; false when the evaluation has used up its share.
bool Evaluation::may_ask(const dns::Question& question) {
  const auto found =
      std::find_if(asked_.begin(), asked_.end(), [&](const Asked& asked) { return asked.question == question; });
  if (found != asked_.end() && found->needed) return true;
  if (needed_ == kMaxNeeded) return false;
  ++needed_;
  if (found != asked_.end()) {
    found->needed = true;
  } else {
    asked_.push_back({question, true});
  }
  return true;
}

// Asks now what may be needed soon.
void Evaluation::ask_ahead(const dns::Question& question) {
  if (asked_.size() - needed_ >= kSpfMaxAhead || !is_dns_name(question.name)) return;
  for (const auto& asked : asked_) {
    if (asked.question == question) return;
  }
  asked_.push_back({question, false});
  static_cast<void>(lookup_.ask(question));
}

// The first questions of the terms from `from` on, as many as could still be evaluated. exp= is not among them: it is
// fetched for a fail only (DN-07).
void Evaluation::ask_ahead(const SpfRecord& record, std::size_t from, const std::string& domain) {
  unsigned left = kSpfMaxTerms - terms_;
  const auto one = [&](std::string_view spec, dns::Type type) {
    --left;
    if (uses_macro(spec, 'p')) {
      ask_ahead({reverse_name(client_), dns::Type::ptr});
      return;
    }
    values_.domain = domain;
    ask_ahead({core::lower(spec.empty() ? domain : expand_domain(spec, values_)), type});
  };
  for (std::size_t i = from; i < record.terms.size() && left > 0; ++i) {
    const auto& term = record.terms[i];
    if (term.kind == Kind::include) one(term.domain, dns::Type::txt);
    if (term.kind == Kind::a) one(term.domain, address_type_);
    if (term.kind == Kind::mx) one(term.domain, dns::Type::mx);
    if (term.kind == Kind::exists) one(term.domain, dns::Type::a);
    if (term.kind == Kind::ptr) {
      --left;
      ask_ahead({reverse_name(client_), dns::Type::ptr});
    }
  }
  if (!record.redirect.empty() && left > 0) one(record.redirect, dns::Type::txt);
}

// §4.6.4: counts an answer without records; true when there were too many.
bool Evaluation::is_void(const dns::Answer& answer) {
  if (answer.status == dns::Status::no_data || answer.status == dns::Status::nx_domain) ++voids_;
  return voids_ > kSpfMaxVoids;
}

// The name a term speaks of, in lower case. It may be none that can be asked for.
std::optional<std::string> Evaluation::target(std::string_view spec, const std::string& domain) {
  if (spec.empty()) return core::lower(domain);
  if (uses_macro(spec, 'p')) {
    auto name = validated_name(domain);
    if (!name) return std::nullopt;
    values_.validated = std::move(*name);
  }
  values_.domain = domain;
  return core::lower(expand_domain(spec, values_));
}

std::optional<Check> Evaluation::check_host(const std::string& domain) {
  const dns::Question question{core::lower(domain), dns::Type::txt};
  if (!is_dns_name(question.name)) return error(Verdict::none, "not a domain name");
  if (!may_ask(question)) return error(Verdict::permerror, kTooManyQuestions);
  const auto answer = ask(question);
  if (!answer) return std::nullopt;
  if ((*answer)->status == dns::Status::failure) return error(Verdict::temperror, "DNS failure for " + question.name);
  const std::string* text = nullptr;
  for (const auto& candidate : (*answer)->texts) {  // §4.5
    if (!is_spf_record(candidate)) continue;
    if (text != nullptr) return error(Verdict::permerror, "more than one SPF record at " + question.name);
    text = &candidate;
  }
  if (text == nullptr) return error(Verdict::none, "no SPF record at " + question.name);
  if (text->size() > kSpfMaxRecord) return error(Verdict::permerror, "record too long at " + question.name);
  const auto record = parse_spf_record(*text);  // an octet that is not ASCII is an error like others (§3.1)
  if (!record.error.empty()) return error(Verdict::permerror, record.error + " at " + question.name);
  return evaluate(record, domain);
}

std::optional<Check> Evaluation::evaluate(const SpfRecord& record, const std::string& domain) {
  const auto matched = [&](const SpfTerm& term) {
    return Check{term.verdict, std::string(term.text), record.exp, domain};
  };
  bool looked_ahead = false;
  for (std::size_t i = 0; i < record.terms.size(); ++i) {
    const auto& term = record.terms[i];
    if (term.kind == Kind::all) return matched(term);
    if (term.is_address()) {
      // Addresses that stand together are asked together.
      std::vector<core::Prefix> networks;
      const std::size_t first = i;
      for (; i < record.terms.size() && record.terms[i].is_address(); ++i) networks.push_back(record.terms[i].network);
      --i;
      const auto hit = matcher_.first(networks);
      if (matcher_.failed()) return error(Verdict::temperror, "out of memory");
      if (hit) return matched(record.terms[first + *hit]);
      continue;
    }
    if (!std::exchange(looked_ahead, true)) ask_ahead(record, i, domain);
    if (++terms_ > kSpfMaxTerms) return error(Verdict::permerror, kTooManyTerms);
    auto match = this->match(term, domain);
    if (!match) return std::nullopt;
    if (match->error != Verdict::none) return error(match->error, std::string(term.text) + ": " + match->reason);
    if (match->yes) return matched(term);
  }
  if (!record.redirect.empty() && !unusable(record.redirect)) return redirect(record, domain);
  return Check{Verdict::neutral, "default", {}, {}};  // §4.7
}

// §6.1: the target's record decides, its exp= included; recursion ends with the count of terms.
std::optional<Check> Evaluation::redirect(const SpfRecord& record, const std::string& domain) {
  if (++terms_ > kSpfMaxTerms) return error(Verdict::permerror, kTooManyTerms);
  const auto name = target(record.redirect, domain);
  if (!name) return std::nullopt;
  auto check = check_host(*name);
  if (check && check->verdict == Verdict::none) return error(Verdict::permerror, "redirect: " + check->reason);
  return check;
}

std::optional<Match> Evaluation::match(const SpfTerm& term, const std::string& domain) {
  if (unusable(term.domain)) return Match{};
  const auto name = target(term.domain, domain);
  if (!name) return std::nullopt;
  if (term.kind == Kind::include) return match_include(*name);
  if (term.kind == Kind::ptr) return match_ptr(*name);
  if (!is_dns_name(*name)) return Match{};  // §4.8 leaves it open: as a name that does not exist
  if (term.kind == Kind::a) return match_addresses({*name, address_type_}, term);
  if (term.kind == Kind::mx) return match_mx(*name, term);
  return match_exists(*name);
}

// §5.2
std::optional<Match> Evaluation::match_include(const std::string& name) {
  auto check = check_host(name);
  if (!check) return std::nullopt;
  switch (check->verdict) {
    case Verdict::pass:
      return Match{true, Verdict::none, {}};
    case Verdict::temperror:
      return broken(Verdict::temperror, std::move(check->reason));
    case Verdict::permerror:
    case Verdict::none:
      return broken(Verdict::permerror, std::move(check->reason));
    default:
      return Match{};
  }
}

bool Evaluation::contains_client(const std::vector<core::IpAddress>& addresses, const SpfTerm& term) {
  const unsigned length = client_.is_v4() ? term.length4 : term.length6;
  std::vector<core::Prefix> networks;
  for (const auto& address : addresses) networks.push_back({address.masked(length), length});
  return matcher_.first(networks).has_value();
}

// §5.3, and each host of §5.4.
std::optional<Match> Evaluation::match_addresses(const dns::Question& question, const SpfTerm& term) {
  if (!may_ask(question)) return broken(Verdict::permerror, kTooManyQuestions);
  const auto answer = ask(question);
  if (!answer) return std::nullopt;
  if ((*answer)->status == dns::Status::failure) return broken(Verdict::temperror, "DNS failure for " + question.name);
  if (is_void(**answer)) return broken(Verdict::permerror, kTooManyVoids);
  const bool yes = contains_client((*answer)->addresses, term);
  if (matcher_.failed()) return broken(Verdict::temperror, "out of memory");
  return Match{yes, Verdict::none, {}};
}

// §5.4. The first ten hosts may decide; having to ask for an eleventh is an error (§4.6.4). Sorted, so that the
// resolver's order has no say in which ten those are.
std::optional<Match> Evaluation::match_mx(const std::string& name, const SpfTerm& term) {
  const dns::Question question{name, dns::Type::mx};
  if (!may_ask(question)) return broken(Verdict::permerror, kTooManyQuestions);
  const auto answer = ask(question);
  if (!answer) return std::nullopt;
  if ((*answer)->status == dns::Status::failure) return broken(Verdict::temperror, "DNS failure for " + name);
  if (is_void(**answer)) return broken(Verdict::permerror, kTooManyVoids);
  auto hosts = (*answer)->mx;
  std::sort(hosts.begin(), hosts.end(), [](const dns::Mx& x, const dns::Mx& y) {
    return std::tie(x.preference, x.host) < std::tie(y.preference, y.host);
  });
  for (std::size_t i = 0; i < hosts.size() && i < kSpfMaxNames; ++i) {
    ask_ahead({core::lower(hosts[i].host), address_type_});
  }
  std::size_t tried = 0;
  for (const auto& host : hosts) {
    if (++tried > kSpfMaxNames) return broken(Verdict::permerror, "more than 10 MX hosts");
    if (!is_dns_name(host.host)) continue;  // the null MX too
    auto match = match_addresses({core::lower(host.host), address_type_}, term);
    if (!match || match->yes || match->error != Verdict::none) return match;
  }
  return Match{};
}

// The client's names whose address is the client's (§5.5), of the first ten: only those equal to or below `below`,
// because others would not be used; "" for all. Trouble here is the client's, and no error of the record; nor can a
// client with bad PTR records use up the record's void look-ups.
std::optional<std::vector<std::string>> Evaluation::validated_names(std::string_view below) {
  std::vector<std::string> names;
  const dns::Question question{reverse_name(client_), dns::Type::ptr};
  if (!may_ask(question)) return names;
  const auto answer = ask(question);
  if (!answer) return std::nullopt;
  std::vector<dns::Question> questions;
  for (std::size_t i = 0; i < (*answer)->names.size() && i < kSpfMaxNames; ++i) {
    auto name = core::lower((*answer)->names[i]);
    if (name.ends_with('.')) name.pop_back();
    const bool fits =
        below.empty() || name == below || (name.ends_with(below) && name[name.size() - below.size() - 1] == '.');
    if (fits && is_dns_name(name)) questions.push_back({std::move(name), address_type_});
  }
  for (const auto& one : questions) ask_ahead(one);
  for (const auto& one : questions) {
    if (!may_ask(one)) break;
    const auto addresses = ask(one);
    if (!addresses) return std::nullopt;
    const auto& list = (*addresses)->addresses;
    if (std::find(list.begin(), list.end(), client_) != list.end()) names.push_back(one.name);
  }
  return names;
}

// §7.3, %{p}: the domain itself, else a name below it, else any.
std::optional<std::string> Evaluation::validated_name(const std::string& domain) {
  const auto names = validated_names({});
  if (!names) return std::nullopt;
  const auto wanted = core::lower(domain);
  for (const auto& name : *names) {
    if (name == wanted) return name;
  }
  for (const auto& name : *names) {
    if (name.ends_with("." + wanted)) return name;
  }
  return names->empty() ? std::string() : names->front();
}

// §5.5
std::optional<Match> Evaluation::match_ptr(const std::string& name) {
  const dns::Question question{reverse_name(client_), dns::Type::ptr};
  if (!may_ask(question)) return broken(Verdict::permerror, kTooManyQuestions);
  const auto answer = ask(question);
  if (!answer) return std::nullopt;
  if (is_void(**answer)) return broken(Verdict::permerror, kTooManyVoids);
  if (!is_dns_name(name)) return Match{};
  const auto names = validated_names(name);
  if (!names) return std::nullopt;
  return Match{!names->empty(), Verdict::none, {}};
}

// §5.7: A, for IPv6 clients too.
std::optional<Match> Evaluation::match_exists(const std::string& name) {
  const dns::Question question{name, dns::Type::a};
  if (!may_ask(question)) return broken(Verdict::permerror, kTooManyQuestions);
  const auto answer = ask(question);
  if (!answer) return std::nullopt;
  if ((*answer)->status == dns::Status::failure) return broken(Verdict::temperror, "DNS failure for " + name);
  if (is_void(**answer)) return broken(Verdict::permerror, kTooManyVoids);
  return Match{!(*answer)->addresses.empty(), Verdict::none, {}};
}

// §6.2: any trouble means no explanation, never another verdict.
std::optional<std::string> Evaluation::explanation(const Check& check) {
  if (unusable(check.exp)) return std::string();
  const auto name = target(check.exp, check.exp_domain);
  if (!name) return std::nullopt;
  const dns::Question question{*name, dns::Type::txt};
  if (!is_dns_name(*name) || !may_ask(question)) return std::string();
  const auto answer = ask(question);
  if (!answer) return std::nullopt;
  if ((*answer)->texts.size() != 1) return std::string();
  const auto& text = (*answer)->texts.front();
  if (text.size() > kSpfMaxExplanation || !is_macro_string(text, MacroUse::text)) return std::string();
  if (uses_macro(text, 'p')) {
    auto validated = validated_name(check.exp_domain);
    if (!validated) return std::nullopt;
    values_.validated = std::move(*validated);
  }
  values_.domain = check.exp_domain;
  return core::printable(expand_macros(text, values_, MacroUse::text).substr(0, kSpfMaxExplanation));
}

SpfResult nothing(std::string domain, bool helo, std::string reason) {
  SpfResult result;
  result.domain = std::move(domain);
  result.helo = helo;
  result.reason = std::move(reason);
  return result;
}

}  // namespace

std::optional<SpfResult> evaluate_spf(const SpfInput& input, dns::Lookup& lookup) {
  if (input.mail_from.null()) return evaluate_spf_helo(input, lookup);
  const auto& mailbox = input.mail_from.mailbox;
  // One label is let through: §4.3 would have none, but the two reference implementations look, and so may a
  // top-level domain publish that it sends no mail.
  const auto domain = spf_domain(mailbox.domain);
  if (!domain) return nothing({}, false, "not a domain name");
  return Evaluation(input, mailbox.local, *domain, lookup).run(false);
}

std::optional<SpfResult> evaluate_spf_helo(const SpfInput& input, dns::Lookup& lookup) {
  // §2.3: a name of several labels, and already in A-labels (RFC 8616 §4).
  const auto domain = core::has_8bit(input.helo) ? std::nullopt : spf_domain(input.helo);
  if (!domain || domain->find('.') == std::string::npos) return nothing({}, true, "not a domain name");
  return Evaluation(input, {}, *domain, lookup).run(true);
}

}  // namespace auth
