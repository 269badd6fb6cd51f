#include "policy/verdict.hpp"

#include <algorithm>

#include "core/text.hpp"

namespace policy {
namespace {

using auth::DmarcPolicy;
using Word = auth::Verdict;

// interface.md §6.7, RFC 9989 §11.5: a message whose author cannot be told, or that has authors of several domains of
// which one publishes a policy.
Verdict decide_authors(const Evidence& evidence) {
  const auto& authors = evidence.authors;
  switch (authors.fault) {
    case auth::AuthorFault::missing:
      return refuse(550, {5, 7, 1}, "The message has no author: one From field with an address is needed", "bad-from");
    case auth::AuthorFault::several_fields:
      return refuse(550, {5, 7, 1}, "The message has more than one From field", "bad-from");
    case auth::AuthorFault::unparsable:
      return refuse(550, {5, 7, 1}, "The From field cannot be read without doubt", "bad-from");
    case auth::AuthorFault::none:
      break;
  }
  const auto& dmarc = evidence.results.dmarc;
  const bool published = dmarc.result != Word::none && dmarc.result != Word::temperror;  // a broken one counts
  if (authors.domains.size() > 1 && published) {
    return refuse(550, {5, 7, 1}, "The From field has authors of several domains, and one of them has a DMARC policy",
                  "bad-from");
  }
  return {};
}

Verdict refuse_for_dmarc(const auth::DmarcResult& dmarc) {
  return refuse(550, {5, 7, 1}, "DMARC failed, and " + dmarc.domain + " asks to refuse such mail", "dmarc");
}

Verdict decide_dmarc(const AuthSettings& settings, const Evidence& evidence) {
  const auto& dmarc = evidence.results.dmarc;
  const auto refused_at =
      settings.quarantine == AuthSettings::Quarantine::reject ? DmarcPolicy::quarantine : DmarcPolicy::reject;
  const bool failed = dmarc.result == Word::fail && dmarc.disposition != DmarcPolicy::none;
  const bool in_doubt = dmarc.result == Word::temperror && dmarc.at_worst >= refused_at;
  Verdict verdict;
  if (!failed && !in_doubt) return verdict;
  if (is_vouched_for(settings, evidence.results.arc)) {
    verdict.overridden = true;
    return verdict;
  }
  if (in_doubt) {
    return refuse(451, {4, 7, 1}, "DMARC of " + dmarc.domain + " could not be checked: DNS does not answer",
                  "dmarc-temperror");
  }
  if (dmarc.disposition >= refused_at) return refuse_for_dmarc(dmarc);
  verdict.quarantine = true;
  return verdict;
}

// A signature that covers only part of the body proves nothing about the message (threats CR-03).
bool proves(const auth::DkimResult& signature) {
  return signature.result == Word::pass && signature.whole_body;
}

Verdict decide_required(const auth::Results& results) {
  const bool by_spf = results.spf.result == Word::pass && !results.spf.helo;
  if (by_spf || std::ranges::any_of(results.dkim, proves)) return {};
  if (results.spf.result == Word::temperror) {
    return refuse(451, {4, 7, 24}, "SPF could not be checked: DNS does not answer", "spf-temperror");
  }
  if (std::ranges::any_of(results.dkim, [](const auto& one) { return one.result == Word::temperror; })) {
    return refuse(451, {4, 7, 1}, "DKIM could not be checked: DNS does not answer", "dkim-temperror");
  }
  return refuse(550, {5, 7, 26}, "Neither SPF nor DKIM vouches for this message", "unauthenticated");
}

}  // namespace

Verdict refuse(int code, mail::EnhancedCode enhanced, std::string text, std::string_view reason) {
  Verdict verdict;
  verdict.kind = code < 500 ? Verdict::Kind::defer : Verdict::Kind::reject;
  verdict.code = code;
  verdict.enhanced = enhanced;
  verdict.text = std::move(text);
  verdict.reason = reason;
  return verdict;
}

bool is_vouched_for(const AuthSettings& settings, const auth::ArcResult& arc) {
  if (arc.result != Word::pass || !arc.first_passed || arc.sealers.empty()) return false;
  return std::ranges::all_of(arc.sealers, [&](const std::string& sealer) {
    return std::ranges::find(settings.trusted_sealers, sealer) != settings.trusted_sealers.end();
  });
}

Verdict decide_spf(const AuthSettings& settings, const auth::SpfResult& spf, Checks skipped) {
  if (settings.spf != AuthSettings::Spf::reject || skipped.has(Check::spf)) return {};
  if (spf.result == Word::fail) {
    std::string text = "SPF: " + spf.domain + " does not send mail from your address";
    if (!spf.explanation.empty()) text += ". It says: " + spf.explanation;
    return refuse(550, {5, 7, 23}, std::move(text), "spf");
  }
  if (spf.result == Word::temperror) {
    return refuse(451, {4, 7, 24}, "SPF could not be checked: DNS does not answer", "spf-temperror");
  }
  return {};
}

Verdict decide(const AuthSettings& settings, const Evidence& evidence) {
  if (!evidence.bounce) {
    auto verdict = decide_spf(settings, evidence.results.spf, evidence.skipped);
    if (verdict.kind != Verdict::Kind::accept) return verdict;
  }
  Verdict verdict;
  const bool enforced = settings.dmarc == AuthSettings::Dmarc::enforce && !evidence.skipped.has(Check::dmarc);
  if (enforced && !evidence.sender.null()) {
    auto bad = decide_authors(evidence);
    if (bad.kind != Verdict::Kind::accept) return bad;
  }
  if (enforced && !evidence.bounce) {
    verdict = decide_dmarc(settings, evidence);
    if (verdict.kind != Verdict::Kind::accept) return verdict;
  }
  const bool required = settings.require == AuthSettings::Require::spf_or_dkim && !evidence.sender.null() &&
                        !evidence.skipped.has(Check::require_auth);
  if (required) {
    auto unproven = decide_required(evidence.results);
    if (unproven.kind != Verdict::Kind::accept) return unproven;
  }
  return verdict;
}

std::string_view forecast_word(const auth::DmarcResult& expected) {
  switch (expected.result) {
    case Word::none:
    case Word::permerror:
      return "none";
    case Word::pass:
      return "pass";
    case Word::temperror:
      return "unknown";
    default:
      break;
  }
  switch (expected.disposition) {
    case DmarcPolicy::reject:
      return "fail-reject";
    case DmarcPolicy::quarantine:
      return "fail-quarantine";
    case DmarcPolicy::none:
      break;
  }
  return "fail-none";
}

Verdict decide_forecast(const AuthSettings& settings, const auth::DmarcResult& expected, Checks skipped) {
  if (settings.forecast != AuthSettings::Forecast::reject || skipped.has(Check::forecast)) return {};
  if (expected.result != Word::fail || expected.disposition != DmarcPolicy::reject) return {};
  return refuse(550, {5, 7, 26},
                "Forwarding ends the SPF of " + expected.domain +
                    ", and no DKIM signature of it is left: its DMARC policy makes the destination refuse this message",
                "forecast");
}

bool is_ownable(const mail::ReversePath& sender, const auth::SpfResult& spf) {
  return !sender.null() && spf.result == Word::pass && !spf.helo;
}

bool is_ownable(const mail::ReversePath& sender, const auth::Results& results, const auth::Authors& authors) {
  if (is_ownable(sender, results.spf)) return true;
  if (sender.null() || !authors.ok() || authors.mailboxes.size() != 1) return false;
  // DKIM does not cover the envelope: a replayed signature must not let us bounce to a victim. So the sender must be
  // the one author, and a signature aligned with it must have passed.
  const auto& author = authors.mailboxes.front();
  const auto& mailbox = sender.mailbox;
  if (mailbox.local != author.local || !core::iequals(mailbox.domain, author.domain)) return false;
  return results.dmarc.dkim_aligned || std::ranges::any_of(results.dkim, [&](const auth::DkimResult& signature) {
           return proves(signature) && core::iequals(signature.domain, author.domain);
         });
}

auth::Verdict summary(const std::vector<auth::DkimResult>& signatures) {
  auto best = Word::none;
  const auto rank = [](Word word) {
    switch (word) {
      case Word::none:
        return 0;
      case Word::neutral:
        return 1;
      case Word::policy:
        return 2;
      case Word::permerror:
        return 3;
      case Word::temperror:
        return 4;
      case Word::pass:
        return 6;
      default:
        return 5;
    }
  };
  for (const auto& signature : signatures) {
    if (rank(signature.result) > rank(best)) best = signature.result;
  }
  return best;
}

}  // namespace policy
