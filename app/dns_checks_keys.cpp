// What is published for those who get our mail: DKIM keys, DMARC, MTA-STS, TLS-RPT.
#include <algorithm>

#include "app/dns_checks.hpp"
#include "app/dns_records.hpp"
#include "auth/dkim_verify_key.hpp"
#include "auth/dkim_verify_tags.hpp"
#include "auth/dmarc_discovery.hpp"
#include "core/text.hpp"
#include "forwarder/mta_sts.hpp"

namespace app::checks {
namespace {

constexpr unsigned kMinRsaBits = 1024;  // RFC 8301 §3.2
constexpr std::size_t kAround = 8;      // characters shown on each side of a difference

std::string around(std::string_view text, std::size_t at) {
  const auto from = at < kAround ? 0 : at - kAround;
  return std::string(text.substr(from, 2 * kAround));
}

// "" when they are the same.
std::string difference(std::string_view published, std::string_view ours) {
  const auto end = std::min(published.size(), ours.size());
  const auto at = static_cast<std::size_t>(
      std::mismatch(ours.begin(), ours.begin() + static_cast<std::ptrdiff_t>(end), published.begin()).first -
      ours.begin());
  if (at == end && published.size() == ours.size()) return {};
  if (at == published.size()) {
    return fmt::format("the published key ends after {} of {} characters", published.size(), ours.size());
  }
  if (at == ours.size()) {
    return fmt::format("the published key goes on after character {}: \"...{}\"", at, around(published, at));
  }
  return fmt::format("the published key differs from character {} of {} on: \"...{}...\" must be \"...{}...\"", at + 1,
                     ours.size(), around(published, at), around(ours, at));
}

// How a verifier would see our signature: nothing when it would use the key.
std::string refusal(const PublishedKey& key, const dns::Answer& answer) {
  const bool rsa = key.record.find("k=rsa") != std::string::npos;
  auth::SignatureField field;
  field.domain = field.identity_domain = key.domain;
  field.selector = key.selector;
  field.algorithm = rsa ? auth::SignatureField::Algorithm::rsa_sha256 : auth::SignatureField::Algorithm::ed25519_sha256;
  const auto choice = auth::choose_keys(answer, field, kMinRsaBits);
  return choice.usable.empty() ? choice.reason : std::string();
}

void judge_key(const PublishedKey& key, const dns::Answer& answer, Finding& finding) {
  const auto fix = zone_line({key.name(), "TXT", key.record, 0, {}, false});
  if (answer.status == dns::Status::failure) {
    report_failure(finding, key.name() + " TXT", answer);
    return;
  }
  if (answer.texts.empty()) {
    finding.fail(key.name() + " has no TXT record", fix);
    return;
  }
  if (answer.texts.size() > 1) {
    finding.fail(fmt::format("{} has {} TXT records; verifiers take any of them", key.name(), answer.texts.size()),
                 "leave only: " + fix);
    return;
  }
  const auto& text = answer.texts.front();
  const auto tags = auth::TagList::parse(text);
  const auto ours = auth::TagList::parse(key.record);
  const auto value = tags ? tags->find("p") : std::nullopt;
  if (!value || !ours) {
    finding.fail(fmt::format("{}: \"{}\" is no key record", key.name(), text.substr(0, 60)), fix);
    return;
  }
  const auto published = auth::without_space(*value);
  if (published.empty()) {
    finding.fail(fmt::format("{}: p= is empty, which revokes the key", key.name()), fix);
    return;
  }
  if (const auto what = difference(published, *ours->find("p")); !what.empty()) {
    finding.fail(fmt::format("{}: {}", key.name(), what), fix);
    return;
  }
  if (const auto reason = refusal(key, answer); !reason.empty()) {
    finding.fail(fmt::format("{}: verifiers will not use it ({})", key.name(), reason), fix);
    return;
  }
  if (const auto flags = tags->find("t").value_or(""); core::lower(flags).find('y') != std::string::npos) {
    finding.warn(fmt::format("{}: t=y says that this domain only tests DKIM", key.name()), fix);
  }
  finding.note(key.name() + " is our key");
}

// The only text that begins with `version`; several: an error that is told.
const std::string* only_text(const dns::Answer& answer, std::string_view version, std::string_view what,
                             Finding& finding) {
  const std::string* found = nullptr;
  for (const auto& text : answer.texts) {
    if (!text.starts_with(version)) continue;
    if (found != nullptr) {
      finding.fail(fmt::format("several {} records, which counts as none", what), "leave one of them");
      return nullptr;
    }
    found = &text;
  }
  return found;
}

}  // namespace

Result dkim(const Subject& subject, const std::vector<PublishedKey>& keys, dns::Lookup& lookup) {
  Finding finding(subject.name("dkim"));
  bool complete = true;
  for (const auto& key : keys) {
    const auto* answer = ask(lookup, key.name(), dns::Type::txt);
    complete = complete && answer != nullptr;
    if (answer != nullptr) judge_key(key, *answer, finding);
  }
  if (!complete) return std::nullopt;
  return finding.take();
}

Result dmarc(const Subject& subject, dns::Lookup& lookup) {
  Finding finding(subject.name("dmarc"));
  const auto domain = without_wildcard(subject.domain);
  const auto name = "_dmarc." + domain;
  const auto fix = zone_line({name, "TXT", dmarc_text(subject.facts, domain), 0, {}, false});
  const auto* answer = ask(lookup, name, dns::Type::txt);
  const auto walk = auth::walk_tree(domain, nullptr, lookup);
  if (answer == nullptr || walk.organization_known == auth::Knowledge::pending ||
      walk.own_known == auth::Knowledge::pending) {
    return std::nullopt;
  }
  if (answer->status == dns::Status::failure) {
    report_failure(finding, name + " TXT", *answer);
    return finding.take();
  }
  const auto selection = auth::select_dmarc_record(answer->texts);
  if (selection.found == auth::Found::several) {
    finding.fail(fmt::format("several DMARC records at {}, which count as none", name), "leave one of them");
  } else if (selection.found == auth::Found::none && !answer->texts.empty()) {
    finding.fail(
        fmt::format("\"{}\" is no DMARC record: it must begin with \"v=DMARC1;\"", answer->texts.front().substr(0, 60)),
        fix);
  } else if (selection.found == auth::Found::none) {
    if (walk.inherited) {
      finding.note(fmt::format("inherited from {}: {}", walk.inherited->domain, walk.inherited->record.text));
    } else {
      finding.warn(name + " has no DMARC record", fix);
    }
  } else {
    const auto strict = auth::parse_dmarc_record(selection.text, auth::Dialect::rfc7489);
    const auto record = auth::parse_dmarc_record(selection.text, auth::Dialect::rfc9989);
    if (!strict || !record || !record->usable) {
      finding.fail(fmt::format("\"{}\" has an error: many receivers will ignore it", selection.text), fix);
    } else if (record->p == auth::DmarcPolicy::none) {
      finding.warn("p=none asks receivers for reports only", fix);
    } else if (record->testing) {
      finding.warn("t=y or pct=0: receivers shall not act on it yet", "take it out when the reports look right");
    }
    finding.note(selection.text);
  }
  return finding.take();
}

// RFC 9990 §4: whoever gets reports about others must say that it wants them.
Result dmarc_reports(const Subject& subject, dns::Lookup& lookup) {
  Finding finding(subject.name("dmarc-reports"));
  const auto domain = without_wildcard(subject.domain);
  const auto* answer = ask(lookup, "_dmarc." + domain, dns::Type::txt);
  if (answer == nullptr) return std::nullopt;
  const auto selection = auth::select_dmarc_record(answer->texts);
  const auto record = selection.found == auth::Found::one
                          ? auth::parse_dmarc_record(selection.text, auth::Dialect::rfc9989)
                          : std::nullopt;
  if (!record || record->rua.empty()) return Check();
  bool complete = true;
  for (const auto& uri : record->rua) {
    const auto at = uri.rfind('@');
    const auto target = at == std::string::npos ? std::string() : core::lower(uri.substr(at + 1));
    if (target.empty() || auth::is_same_or_below(target, domain) || auth::is_same_or_below(domain, target)) {
      finding.note(uri);
      continue;
    }
    const auto name = fmt::format("{}._report._dmarc.{}", domain, target);
    const auto* consent = ask(lookup, name, dns::Type::txt);
    complete = complete && consent != nullptr;
    if (consent == nullptr) continue;
    const bool wanted = std::any_of(consent->texts.begin(), consent->texts.end(), auth::is_dmarc_record);
    if (wanted) {
      finding.note(uri);
    } else {
      finding.warn(fmt::format("{} has not said that it wants reports about {}", target, domain),
                   zone_line({name, "TXT", "v=DMARC1", 0, {}, false}));
    }
  }
  if (!complete) return std::nullopt;
  return finding.take();
}

// RFC 8461 §3.1
Result mta_sts(const Subject& subject, dns::Lookup& lookup) {
  Finding finding(subject.name("mta-sts"));
  if (subject.domain.starts_with("*.")) return Check();
  const auto name = "_mta-sts." + subject.domain, host = "mta-sts." + subject.domain;
  const auto* answer = ask(lookup, name, dns::Type::txt);
  const auto addresses = addresses_of(lookup, host);
  if (answer == nullptr || !addresses) return std::nullopt;
  const auto text = forwarder::own_sts_record(mta_sts_id(subject.facts));
  const auto fix = zone_line({name, "TXT", text, 0, {}, false});
  if (answer->status == dns::Status::failure) {
    report_failure(finding, name + " TXT", *answer);
    return finding.take();
  }
  const auto* found = only_text(*answer, "v=STSv1", "MTA-STS", finding);
  if (!finding.fine()) return finding.take();
  if (found == nullptr) {
    if (!answer->texts.empty()) {
      finding.fail(fmt::format("\"{}\" is no MTA-STS record", answer->texts.front().substr(0, 60)), fix);
    } else if (subject.facts.serves_mta_sts) {
      finding.warn("the policy is served here, but no record says so", fix);
    }
    finding.note("not published");
    return finding.take();
  }
  const auto tags = auth::TagList::parse(*found);
  const auto id = tags ? tags->find("id") : std::nullopt;
  const bool good = id && !id->empty() && id->size() <= 32 && std::all_of(id->begin(), id->end(), core::is_alnum);
  if (!good) {
    finding.fail(fmt::format("\"{}\" needs an id= of 1 to 32 letters and digits", *found), fix);
  } else if (addresses->list.empty()) {
    finding.fail(host + " has no address: nobody can fetch the policy",
                 zone_line({host, "CNAME", subject.facts.hostname, 0, {}, false}));
  } else if (!subject.facts.serves_mta_sts) {
    finding.warn("a record is published, but the policy is not served here: is it anywhere, and does it name " +
                     subject.facts.hostname + "?",
                 "serve it with [https], or remove the record");
  } else if (*id != mta_sts_id(subject.facts)) {
    finding.warn("the id is not that of the policy served here", fix);
  }
  finding.note(*found);
  return finding.take();
}

// RFC 8460 §3
Result tls_rpt(const Subject& subject, dns::Lookup& lookup) {
  Finding finding(subject.name("tls-rpt"));
  if (subject.domain.starts_with("*.")) return Check();
  const auto name = "_smtp._tls." + subject.domain;
  const auto* answer = ask(lookup, name, dns::Type::txt);
  if (answer == nullptr) return std::nullopt;
  const auto fix = zone_line({name, "TXT", forwarder::own_tlsrpt_record("postmaster@" + subject.domain), 0, {}, false});
  if (answer->status == dns::Status::failure) {
    report_failure(finding, name + " TXT", *answer);
    return finding.take();
  }
  const auto* found = only_text(*answer, "v=TLSRPTv1", "TLS-RPT", finding);
  if (!finding.fine()) return finding.take();
  if (found == nullptr) {
    finding.warn(answer->texts.empty()
                     ? "not published: nobody tells us when TLS fails"
                     : fmt::format("\"{}\" is no TLS-RPT record", answer->texts.front().substr(0, 60)),
                 fix);
    return finding.take();
  }
  const auto tags = auth::TagList::parse(*found);
  const auto rua = tags ? tags->find("rua").value_or("") : std::string_view();
  if (!rua.starts_with("mailto:") && !rua.starts_with("https:")) {
    finding.fail(fmt::format("\"{}\" needs rua=mailto:... or rua=https:...", *found), fix);
  }
  finding.note(*found);
  return finding.take();
}

}  // namespace app::checks
