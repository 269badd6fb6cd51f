// What the verdicts on a message mean: refuse it, put it off, tag it, or let it pass (interface.md [policy], §4, §6.7,
// §6.21). Also who is `ownable` (promise.md): whose sender is proven, so that mail may ever become ours to bounce. Pure
// functions of auth's results.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "auth/author.hpp"
#include "auth/results.hpp"
#include "mail/address.hpp"
#include "mail/reply.hpp"
#include "policy/exceptions.hpp"

namespace policy {

struct AuthSettings {
  enum class Spf { off, dmarc, reject } spf = Spf::dmarc;
  enum class Dmarc { off, monitor, enforce } dmarc = Dmarc::enforce;
  enum class Quarantine { tag, reject } quarantine = Quarantine::tag;
  enum class Require { none, spf_or_dkim } require = Require::spf_or_dkim;
  enum class Forecast { off, warn, reject } forecast = Forecast::warn;
  std::vector<std::string> trusted_sealers;  // lower case, A-labels
  std::vector<Exception> exceptions;

  // Is there anything to be evaluated for?
  bool active() const {
    return spf != Spf::off || dmarc != Dmarc::off || require != Require::none || forecast != Forecast::off;
  }
};

// What is known of a message when its data are in.
struct Evidence {
  const auth::Results& results;
  const auth::Authors& authors;
  const mail::ReversePath& sender;
  Checks skipped;
  bool bounce = false;  // null sender, and every recipient is a valid SRS address: its HMAC is the proof (§6.21)
};

struct Verdict {
  enum class Kind { accept, defer, reject } kind = Kind::accept;
  // For defer and reject; `reason` is a slug of mail/reasons.hpp.
  int code = 0;
  mail::EnhancedCode enhanced;
  std::string text;
  std::string_view reason;
  bool quarantine = false;  // accepted, but tagged (dmarc)
  bool overridden = false;  // DMARC failed, but a chain of trusted ARC sealers says that it once passed
};
// A 4xx code defers, a 5xx code rejects.
Verdict refuse(int code, mail::EnhancedCode enhanced, std::string text, std::string_view reason);

Verdict decide(const AuthSettings& settings, const Evidence& evidence);

// policy.spf = "reject", as soon as SPF is known: a refusal, or accept.
Verdict decide_spf(const AuthSettings& settings, const auth::SpfResult& spf, Checks skipped);

// policy.forecast: `expected` is what the destination's DMARC check will say of the message as it leaves. A refusal
// only where that is a reject (or quarantine) that we can foresee, and the operator wants it.
Verdict decide_forecast(const AuthSettings& settings, const auth::DmarcResult& expected, Checks skipped);
// "pass", "none" (no policy), "fail-reject", "fail-quarantine", "fail-none", "unknown" (DNS failed); for logs.
std::string_view forecast_word(const auth::DmarcResult& expected);

// promise.md, `ownable`, as far as SPF alone can tell (at RCPT), and with everything known.
bool is_ownable(const mail::ReversePath& sender, const auth::SpfResult& spf);
bool is_ownable(const mail::ReversePath& sender, const auth::Results& results, const auth::Authors& authors);

// The message has an intact ARC chain of trusted sealers only, and the first of them saw it authenticated.
bool is_vouched_for(const AuthSettings& settings, const auth::ArcResult& arc);

// One word for all signatures of a message: pass when one passed, else the worst that a sender can act upon.
auth::Verdict summary(const std::vector<auth::DkimResult>& signatures);

}  // namespace policy
