// SPF as receivers see it: is there one record, what does it cost, and does it pass what we send?
#include <algorithm>

#include "app/dns_checks.hpp"
#include "app/dns_records.hpp"
#include "app/known_services.hpp"
#include "auth/spf.hpp"
#include "auth/spf_macro.hpp"
#include "auth/spf_record.hpp"
#include "core/text.hpp"
#include "dns/codec.hpp"

namespace app::checks {
namespace {

using Kind = auth::SpfTerm::Kind;

// How far a count goes on when the limit has long been passed.
constexpr unsigned kEnoughTerms = 30;
constexpr std::size_t kShown = 200;  // octets of a record in a detail

std::string cut(std::string_view text) {
  return text.size() <= kShown ? std::string(text) : std::string(text.substr(0, kShown)) + "...";
}

struct Records {
  const dns::Answer* answer = nullptr;
  std::vector<std::string_view> spf;
  std::string_view nearly;  // a text that was meant to be one
};

std::optional<Records> records_of(std::string_view domain, dns::Lookup& lookup) {
  Records out;
  out.answer = ask(lookup, domain, dns::Type::txt);
  if (out.answer == nullptr) return std::nullopt;
  for (const auto& text : out.answer->texts) {
    if (auth::is_spf_record(text)) {
      out.spf.push_back(text);
    } else if (core::lower(text).find("spf1") != std::string::npos) {
      out.nearly = text;
    }
  }
  return out;
}

// The one record; nothing where "spf" has said what is wrong.
std::optional<auth::SpfRecord> only_record(const Records& records) {
  if (records.spf.size() != 1) return std::nullopt;
  auto record = auth::parse_spf_record(records.spf.front());
  if (!record.error.empty()) return std::nullopt;
  return record;
}

std::string new_record(const Subject& subject) {
  return zone_line({subject.domain, "TXT", spf_text(subject.facts.egress, subject.facts.hostname), 0, {}, false});
}

// Everything that an evaluation to the end would ask (RFC 7208 §4.6.4), for clients of one family.
class Cost {
 public:
  Cost(dns::Type family, dns::Lookup& lookup) : family_(family), lookup_(lookup) {}

  // Complete when no answer was missing.
  void add(const std::string& domain, const auth::SpfRecord& record) {
    for (const auto& term : record.terms) add_term(domain, term);
    if (!record.redirect.empty()) {
      ++terms;
      add_record("redirect=", record.redirect);
    }
  }
  unsigned terms = 0, voids = 0;
  bool complete = true;
  std::vector<std::string> problems, voided;

 private:
  void add_term(const std::string& domain, const auth::SpfTerm& term) {
    if (term.kind == Kind::all || term.is_address() || terms >= kEnoughTerms) return;
    ++terms;
    if (term.domain.find('%') != std::string_view::npos) return;  // depends on the message
    const auto name = term.domain.empty() ? domain : std::string(term.domain);
    if (term.kind == Kind::include) add_record("include:", name);
    if (term.kind == Kind::a) add_question(name, family_);
    if (term.kind == Kind::exists) add_question(name, dns::Type::a);
    if (term.kind == Kind::mx) add_mx(name);
  }

  const dns::Answer* add_question(const std::string& name, dns::Type type) {
    const auto* answer = ask(lookup_, name, type);
    if (answer == nullptr) {
      complete = false;
    } else if (answer->status == dns::Status::no_data || answer->status == dns::Status::nx_domain) {
      ++voids;
      voided.push_back(name);
    }
    return answer;
  }

  void add_mx(const std::string& name) {
    const auto* answer = add_question(name, dns::Type::mx);
    if (answer == nullptr) return;
    if (answer->mx.size() > auth::kSpfMaxNames) problems.push_back(fmt::format("mx:{} has more than 10 hosts", name));
    for (std::size_t i = 0; i < answer->mx.size() && i < auth::kSpfMaxNames; ++i) {
      if (!answer->mx[i].host.empty()) add_question(answer->mx[i].host, family_);
    }
  }

  void add_record(std::string_view how, std::string_view spec) {
    if (spec.find('%') != std::string_view::npos || terms > kEnoughTerms) return;
    const auto records = records_of(spec, lookup_);
    if (!records) {
      complete = false;
      return;
    }
    const auto what = fmt::format("{}{}", how, spec);
    if (records->answer->status == dns::Status::failure) {
      problems.push_back(fmt::format("{}: DNS failure ({})", what, records->answer->error));
    } else if (records->spf.empty()) {
      problems.push_back(what + " has no SPF record, which is an error for the whole");
    } else if (const auto record = only_record(*records)) {
      add(core::lower(spec), *record);
    } else {
      problems.push_back(what + " has a record with an error, or several, which is an error for the whole");
    }
  }

  dns::Type family_;
  dns::Lookup& lookup_;
};

// The mechanism at the end, that of a redirect's target included. Empty text: none.
std::optional<std::string> last_mechanism(const auth::SpfRecord& record, dns::Lookup& lookup, unsigned depth = 0) {
  if (!record.terms.empty() && record.terms.back().kind == Kind::all) return std::string(record.terms.back().text);
  if (record.redirect.empty() || record.redirect.find('%') != std::string_view::npos || depth > auth::kSpfMaxTerms) {
    return std::string();
  }
  const auto records = records_of(record.redirect, lookup);
  if (!records) return std::nullopt;
  const auto target = only_record(*records);
  return target ? last_mechanism(*target, lookup, depth + 1) : std::string();
}

}  // namespace

Result spf(const Subject& subject, dns::Lookup& lookup) {
  Finding finding(subject.name("spf"));
  const auto records = records_of(subject.domain, lookup);
  if (!records) return std::nullopt;
  if (records->answer->status == dns::Status::failure) {
    report_failure(finding, subject.domain + " TXT", *records->answer);
  } else if (records->spf.empty() && !records->nearly.empty()) {
    finding.fail(fmt::format("\"{}\" is no SPF record: it must begin with \"v=spf1 \"", cut(records->nearly)),
                 new_record(subject));
  } else if (records->spf.empty()) {
    // Where nothing of ours depends on it, strangers can still send as this domain.
    finding.worsen(subject.sends ? CheckStatus::fail : CheckStatus::warn, subject.domain + " has no SPF record",
                   new_record(subject));
  } else if (records->spf.size() > 1) {
    finding.fail(fmt::format("{} SPF records; receivers treat that as an error (RFC 7208 §4.5)", records->spf.size()),
                 "merge them into one record");
  } else {
    const auto record = auth::parse_spf_record(records->spf.front());
    if (!record.error.empty()) {
      finding.fail(fmt::format("{} in \"{}\"", record.error, cut(records->spf.front())), new_record(subject));
    }
    for (const auto& term : record.terms) {
      if (term.kind != Kind::ptr) continue;
      finding.warn(fmt::format("{} is slow and should not be used (RFC 7208 §5.5)", term.text),
                   "name addresses by ip4: and ip6:");
    }
    finding.note(cut(records->spf.front()));
  }
  return finding.take();
}

Result spf_lookups(const Subject& subject, dns::Lookup& lookup) {
  Finding finding(subject.name("spf-lookups"));
  const auto records = records_of(subject.domain, lookup);
  const auto own = senders(subject.facts, lookup);
  if (!records || !own) return std::nullopt;
  const auto record = only_record(*records);
  if (!record) return Check();
  Cost four(dns::Type::a, lookup), six(dns::Type::aaaa, lookup);
  four.add(subject.domain, *record);
  six.add(subject.domain, *record);
  if (!four.complete || !six.complete) return std::nullopt;
  const bool has_four = std::any_of(own->begin(), own->end(), [](const auto& o) { return o.address.is_v4(); });
  const bool has_six = std::any_of(own->begin(), own->end(), [](const auto& o) { return o.address.is_v6(); });
  for (const auto& problem : four.problems) {
    finding.fail(problem, fmt::format("take it out of the record of {}", subject.domain));
  }
  if (four.terms > auth::kSpfMaxTerms) {
    finding.fail(fmt::format("{}{} terms that ask DNS; more than {} are an error (RFC 7208 §4.6.4)",
                             four.terms >= kEnoughTerms ? "at least " : "", four.terms, auth::kSpfMaxTerms),
                 "replace include:, a: and mx: by the addresses behind them");
  }
  for (const auto& [cost, family, used] : {std::tuple{&four, "IPv4", has_four}, std::tuple{&six, "IPv6", has_six}}) {
    if (!used || cost->voids <= auth::kSpfMaxVoids) continue;
    finding.fail(fmt::format("{} questions without an answer for {} clients ({}); more than {} are an error (RFC 7208 "
                             "§4.6.4)",
                             cost->voids, family, fmt::join(cost->voided, ", "), auth::kSpfMaxVoids),
                 "take out the terms whose names do not exist, or have no address of that family");
  }
  finding.note(fmt::format("{} of {} look-ups, {} of {} without an answer", four.terms, auth::kSpfMaxTerms,
                           std::max(four.voids, six.voids), auth::kSpfMaxVoids));
  return finding.take();
}

Result spf_egress(const Subject& subject, dns::Lookup& lookup) {
  Finding finding(subject.name("spf-egress"));
  const auto records = records_of(subject.domain, lookup);
  const auto own = senders(subject.facts, lookup);
  if (!records || !own) return std::nullopt;
  if (!only_record(*records)) return Check();
  if (own->empty()) {
    finding.warn("nobody here knows what addresses mail leaves from", "name them with --address");
    return finding.take();
  }
  const bool host = subject.domain == subject.facts.hostname;
  bool complete = true;
  std::vector<core::IpAddress> missing;
  std::string found;
  for (const auto& one : *own) {
    auth::SpfInput input;
    input.client = one.address;
    input.helo = one.helo;
    input.receiver = subject.facts.hostname;
    input.explain = false;
    // Of a wildcard any name below it; of the host the name that goes with this address.
    const auto domain = host                               ? one.helo
                        : subject.domain.starts_with("*.") ? "any" + subject.domain.substr(1)
                                                           : subject.domain;
    input.mail_from.mailbox = {"postmaster", domain};
    const auto result = auth::evaluate_spf(input, lookup);
    complete = complete && result.has_value();
    if (!result) continue;
    if (result->result == auth::Verdict::pass) {
      finding.note(one.address.to_string());
      continue;
    }
    if (domain == subject.domain || !host) missing.push_back(one.address);
    found += fmt::format("{}{} as {}: {} ({})", found.empty() ? "" : ", ", one.address.to_string(), domain,
                         auth::to_string(result->result), result->reason);
  }
  if (!complete) return std::nullopt;
  if (!found.empty()) {
    const auto fix = missing.empty()
                         ? "give each name in EHLO an SPF record: onward dns records"
                         : zone_line({subject.domain, "TXT", spf_with(records->spf.front(), missing), 0, {}, false});
    finding.worsen(subject.sends ? CheckStatus::fail : CheckStatus::warn, "would not pass: " + found, fix);
  }
  return finding.take();
}

Result spf_all(const Subject& subject, dns::Lookup& lookup) {
  Finding finding(subject.name("spf-all"));
  const auto records = records_of(subject.domain, lookup);
  if (!records) return std::nullopt;
  const auto record = only_record(*records);
  if (!record) return Check();
  const auto last = last_mechanism(*record, lookup);
  if (!last) return std::nullopt;
  if (last->empty()) {
    finding.warn("the record does not end in \"all\": what it does not name is neutral", "end it in -all");
  } else if (last->front() == '-' || last->front() == '~') {
    finding.note("ends in " + *last);
  } else if (last->front() == '?') {
    finding.warn("ends in ?all: what it does not name is neutral", "end it in -all");
  } else {
    finding.fail("ends in +all: everybody may send as this domain", "end it in -all");
  }
  return finding.take();
}

Result spf_foreign(const Subject& subject, dns::Lookup& lookup) {
  Finding finding(subject.name("spf-foreign"));
  const auto records = records_of(subject.domain, lookup);
  if (!records) return std::nullopt;
  const auto record = only_record(*records);
  if (!record) return Check();
  const auto judge = [&](std::string_view term, std::string_view domain) {
    const auto service = forwarder_by_spf(core::lower(domain));
    if (service.empty()) return;
    finding.warn(fmt::format("{} lets {} send as this domain", term, service), fmt::format("take out {}", term));
  };
  for (const auto& term : record->terms) judge(term.text, term.domain);
  if (!record->redirect.empty()) judge(fmt::format("redirect={}", record->redirect), record->redirect);
  finding.note("no other forwarding service is in it");
  return finding.take();
}

}  // namespace app::checks
