#include "auth/verify.hpp"

#include <utility>

namespace auth {
namespace {

DkimSettings dkim_settings(const VerifySettings& settings) {
  DkimSettings dkim;
  dkim.now = settings.now;
  return dkim;
}

}  // namespace

Verifier::Verifier(DkimLibrary& library, const VerifySettings& settings, SpfInput envelope)
    : settings_(settings),
      envelope_(std::move(envelope)),
      dkim_(library, dkim_settings(settings)),
      arc_(settings.now) {}

void Verifier::headers(const mail::Headers& headers) {
  authors_ = find_authors(headers);
  dkim_.headers(headers);
  arc_.headers(headers);
}

void Verifier::body(std::string_view slice) {
  dkim_.body(slice);
  arc_.body(slice);
}

std::vector<dns::Question> Verifier::early_questions() const {
  auto questions = dkim_.keys();
  questions.insert(questions.end(), arc_.keys().begin(), arc_.keys().end());
  return questions;
}

std::optional<Results> Verifier::finish(dns::Lookup& lookup) {
  // All of them are asked before any is waited for, so that their questions go out together.
  if (!spf_) spf_ = evaluate_spf(envelope_, lookup);
  if (!helo_spf_) helo_spf_ = evaluate_spf_helo(envelope_, lookup);
  if (!dkim_results_) dkim_results_ = dkim_.finish(lookup);
  if (!arc_result_) arc_result_ = arc_.finish(lookup);
  if (!spf_ || !helo_spf_ || !dkim_results_ || !arc_result_) return std::nullopt;

  Results results;
  results.spf = *spf_;
  results.helo_spf = *helo_spf_;
  results.dkim = *dkim_results_;
  results.arc = *arc_result_;
  if (!authors_.ok()) {
    results.dmarc.result = Verdict::permerror;
    results.dmarc.reason = "the author of the message cannot be told: " + std::string(to_string(authors_.fault));
    return results;
  }
  DmarcInput input;
  input.spf = &results.spf;
  input.null_sender = envelope_.mail_from.null();
  input.dkim = results.dkim;
  input.discovery = settings_.discovery;
  input.suffixes = settings_.suffixes;
  auto dmarc = evaluate_authors(input, authors_.domains, lookup);
  if (!dmarc) return std::nullopt;
  results.dmarc = std::move(*dmarc);
  return results;
}

}  // namespace auth
