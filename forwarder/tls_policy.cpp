#include "forwarder/tls_policy.hpp"

#include <fmt/format.h>

#include "core/text.hpp"

namespace forwarder {
namespace {

using Cause = TlsPlan::Cause;
using Use = TlsPlan::Use;
using Verify = net::TlsDemand::Verify;

// Encryption at least; never less than what the plan has already.
void insist(TlsPlan& plan, Verify verify, Cause cause, std::string why) {
  plan.use = Use::always;
  plan.clear_when_not_offered = plan.clear_after_failure = false;
  plan.demand.verify = verify;
  plan.cause = cause;
  plan.why = std::move(why);
}

void refuse(TlsPlan& plan, Cause cause, std::string why) {
  insist(plan, plan.demand.verify, cause, std::move(why));
  plan.use = Use::refused;
}

// delivery.tls or route.tls, and for "opportunistic" what tls_fallback says.
TlsPlan by_configuration(const TlsFacts& facts) {
  TlsPlan plan;
  plan.demand.server_name = facts.host;
  switch (facts.mode) {
    case UpstreamTls::none:
      plan.use = Use::never;
      plan.why = "tls = \"none\": TLS is not used";
      return plan;
    case UpstreamTls::encrypt:
      insist(plan, Verify::encrypt, Cause::configuration, "tls = \"encrypt\": any certificate, no clear text");
      return plan;
    case UpstreamTls::verify:
      insist(plan, Verify::roots, Cause::configuration,
             fmt::format("tls = \"verify\": the certificate must be for {}", facts.host));
      return plan;
    case UpstreamTls::opportunistic:
      break;
  }
  plan.why = "tls = \"opportunistic\": TLS when offered, any certificate";
  const bool remembers = facts.fallback != TlsFallback::always && facts.had_tls_lately;
  if (remembers && (facts.wish != TlsWish::optional || facts.fallback == TlsFallback::never)) {
    plan.clear_when_not_offered = plan.clear_after_failure = false;
    plan.use = Use::always;
    plan.cause = Cause::memory;
    plan.liftable = facts.fallback == TlsFallback::remembered;
    plan.why = "tls = \"opportunistic\": this host has had TLS within the last day, so no clear text (tls_fallback)";
  } else if (facts.fallback == TlsFallback::never) {
    plan.clear_after_failure = false;
    plan.why += "; no clear text after a failure (tls_fallback)";
  }
  return plan;
}

// RFC 8461: §5 for what the modes mean.
void apply_sts(const TlsFacts& facts, TlsPlan& plan) {
  const auto& policy = *facts.sts;
  if (policy.mode == StsMode::testing) {
    plan.watched = true;
    if (plan.demand.verify == Verify::none) plan.demand.verify = Verify::watch;
    plan.why += "; MTA-STS is in testing";
    return;
  }
  if (policy.mode != StsMode::enforce) return;
  if (!sts_allows(policy, facts.host)) {
    // Also under `tls = "verify"`: the policy says whose host this must be, not only that it is whose it says.
    plan.liftable = true;
    refuse(plan, Cause::sts, fmt::format("MTA-STS (enforce): {} is no mail host of the policy", facts.host));
    return;
  }
  plan.liftable = facts.mode != UpstreamTls::verify;
  insist(plan, Verify::roots, Cause::sts, fmt::format("MTA-STS (enforce): the certificate must be for {}", facts.host));
}

// RFC 7672 §2.2. True: nothing else has to be asked.
bool apply_dane(const TlsFacts& facts, TlsPlan& plan) {
  const Dane& dane = *facts.dane;
  switch (dane.state) {
    case Dane::State::none:
      return false;
    case Dane::State::failed:
      plan.liftable = true;
      refuse(plan, Cause::dane, dane.why);
      return true;
    case Dane::State::unusable:
      if (plan.demand.verify != Verify::roots) {
        plan.liftable = facts.mode == UpstreamTls::opportunistic;
        insist(plan, Verify::encrypt, Cause::dane, dane.why);
      }
      return false;
    case Dane::State::usable:
      break;
  }
  plan.liftable = true;
  insist(plan, Verify::dane, Cause::dane, dane.why);
  plan.demand.server_name = dane.base;
  plan.demand.also_named = dane.names;
  plan.demand.tlsa = dane.records;
  return true;
}

// RFC 8689 §4.2.1: the host must be the right one by DNSSEC, MTA-STS or the operator's word, its certificate good, and
// it must know REQUIRETLS itself.
void apply_requiretls(const TlsFacts& facts, TlsPlan& plan) {
  const bool by_dane = plan.demand.verify == Verify::dane;
  const bool by_sts = facts.sts != nullptr && facts.sts->mode != StsMode::none && sts_allows(*facts.sts, facts.host);
  plan.liftable = false;
  if (facts.mode == UpstreamTls::none || (!by_dane && !by_sts && !facts.mx_secure && !facts.configured)) {
    refuse(plan, Cause::sender,
           facts.mode == UpstreamTls::none ? "REQUIRETLS: tls = \"none\""
                                           : "REQUIRETLS: neither DNSSEC nor MTA-STS says whose this mail host is");
    plan.permanent = true;
    return;
  }
  plan.requiretls = true;
  if (plan.use == Use::refused) return;
  const auto why = plan.why;
  insist(plan, by_dane ? Verify::dane : Verify::roots, by_dane ? Cause::dane : Cause::sender, "REQUIRETLS; " + why);
}

}  // namespace

std::string TlsPlan::to_string() const {
  switch (use) {
    case Use::never:
      return "none";
    case Use::refused:
      return "refused";
    case Use::offered:
      return "opportunistic";
    case Use::always:
      break;
  }
  if (demand.verify == Verify::dane) return "dane";
  if (demand.verify == Verify::roots) return cause == Cause::sts ? "mta-sts" : "verify";
  return demand.verify == Verify::encrypt ? "encrypt" : "opportunistic, no clear text";
}

TlsPlan plan_tls(const TlsFacts& facts) {
  auto plan = by_configuration(facts);
  const bool policies = !facts.configured && facts.mode != UpstreamTls::none && facts.wish != TlsWish::optional;
  if (policies && (facts.dane == nullptr || !apply_dane(facts, plan)) && facts.sts != nullptr) apply_sts(facts, plan);
  if (facts.wish == TlsWish::required) apply_requiretls(facts, plan);
  if (facts.wish == TlsWish::optional && plan.use != Use::never) {
    plan.why += "; the sender asks that the destination's policies be passed over (TLS-Required: No)";
  }
  return plan;
}

bool tls_is_optional(const mail::Headers& headers) {
  const auto fields = headers.all("TLS-Required");
  return fields.size() == 1 && core::iequals(core::trim(mail::unfold(fields.front()->value())), "no");
}

}  // namespace forwarder
