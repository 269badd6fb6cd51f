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

const SpfResult* Verifier::settle_spf(dns::Lookup& lookup) {
  if (!settings_.spf) {
    spf_.emplace();
    helo_spf_.emplace();
  }
  // Both are asked before either is waited for, so that their questions go out together.
  if (!spf_) spf_ = evaluate_spf(envelope_, lookup);
  if (!helo_spf_) helo_spf_ = evaluate_spf_helo(envelope_, lookup);
  return spf_ && helo_spf_ ? &*spf_ : nullptr;
}

DmarcInput Verifier::dmarc_input() const {
  DmarcInput input;
  input.discovery = settings_.discovery;
  input.suffixes = settings_.suffixes;
  input.null_sender = envelope_.mail_from.null();
  return input;
}

std::optional<Results> Verifier::finish(dns::Lookup& lookup) {
  const bool spf_known = settle_spf(lookup) != nullptr;
  if (!dkim_results_) dkim_results_ = dkim_.finish(lookup);
  if (!arc_result_) arc_result_ = arc_.finish(lookup);
  if (!spf_known || !dkim_results_ || !arc_result_) return std::nullopt;

  Results results;
  results.spf_checked = settings_.spf;
  results.dmarc_checked = settings_.dmarc;
  results.spf = *spf_;
  results.helo_spf = *helo_spf_;
  results.dkim = *dkim_results_;
  results.arc = *arc_result_;
  if (!settings_.dmarc) return results;
  if (!authors_.ok()) {
    results.dmarc.result = Verdict::permerror;
    results.dmarc.reason = "the author of the message cannot be told: " + std::string(to_string(authors_.fault));
    return results;
  }
  auto input = dmarc_input();
  input.spf = &results.spf;
  input.dkim = results.dkim;
  auto dmarc = evaluate_authors(input, authors_.domains, lookup);
  if (!dmarc) return std::nullopt;
  results.dmarc = std::move(*dmarc);
  return results;
}

std::optional<DmarcResult> Verifier::forecast(const Future& future, dns::Lookup& lookup) {
  if (!authors_.ok() || !dkim_results_) return DmarcResult{};
  auto signatures = *dkim_results_;
  std::erase_if(signatures, [&](const DkimResult& one) { return future.results_cut && one.covers_results; });
  for (const auto& domain : future.signed_domains) {
    DkimResult ours;
    ours.result = Verdict::pass;
    ours.domain = domain;
    signatures.push_back(std::move(ours));
  }
  auto input = dmarc_input();
  input.spf = &future.spf;
  input.dkim = signatures;
  return evaluate_authors(input, authors_.domains, lookup);
}

}  // namespace auth
