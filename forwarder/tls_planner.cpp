#include "forwarder/tls_planner.hpp"

#include "core/text.hpp"

namespace forwarder {
namespace {

using What = TlsSeen::What;

// What a session's TLS means for a report (RFC 8460 §4.3).
TlsResult result_of(net::TlsFault fault) {
  switch (fault) {
    case net::TlsFault::none:
      return TlsResult::success;
    case net::TlsFault::untrusted:
      return TlsResult::certificate_not_trusted;
    case net::TlsFault::expired:
      return TlsResult::certificate_expired;
    case net::TlsFault::wrong_name:
      return TlsResult::certificate_host_mismatch;
    case net::TlsFault::handshake:
    case net::TlsFault::tlsa_mismatch:
    case net::TlsFault::certificate:
      return TlsResult::validation_failure;
  }
  return TlsResult::validation_failure;
}

TlsResult result_of(StsFound::Trouble trouble) {
  switch (trouble) {
    case StsFound::Trouble::invalid:
      return TlsResult::sts_policy_invalid;
    case StsFound::Trouble::certificate:
      return TlsResult::sts_webpki_invalid;
    case StsFound::Trouble::fetch:
    case StsFound::Trouble::none:
      break;
  }
  return TlsResult::sts_policy_fetch_error;
}

std::string memory_key(const Host& host) {
  return core::HostPort{core::lower(host.name), host.port}.to_string();
}

}  // namespace

bool TlsPlanner::has_policies() const {
  return target_.route == nullptr && !target_.domain.starts_with('[') && target_.tls != UpstreamTls::none &&
         wish_ != TlsWish::optional && config_->tls_client != nullptr;
}

bool TlsPlanner::lift() {
  if (wish_ != TlsWish::ordinary) return false;
  wish_ = TlsWish::optional;
  return true;
}

net::Awaitable<void> TlsPlanner::find_policy(core::Log log, core::Deadline deadline) {
  if (!has_policies() || !config_->delivery.mta_sts) co_return;
  auto domain = target_.domain;
  sts_ = co_await means_.sts.find(config_, std::move(domain), std::move(log), deadline);
  if (sts_.trouble == StsFound::Trouble::none) co_return;
  TlsFailure failure;
  failure.result = result_of(sts_.trouble);
  failure.reason = sts_.why;
  tell(failure);
}

net::Awaitable<TlsPlan> TlsPlanner::plan(Host host, Addresses addresses, core::Deadline deadline) {
  host_ = host;
  dane_ = Dane();
  const bool policies = has_policies();
  TlsFacts facts;
  facts.mode = target_.tls;
  facts.fallback = config_->delivery.tls_fallback;
  facts.wish = wish_;
  facts.host = host.name;
  facts.configured = host.configured || target_.route != nullptr || target_.domain.starts_with('[');
  facts.mx_secure = host.secure;
  facts.had_tls_lately = means_.transport.memory.had_tls(memory_key(host), core::Steady::now());
  if (policies && config_->delivery.dane) {
    auto domain = target_.domain;
    dane_ = co_await find_dane(means_.resolver, *config_->tls_client, std::move(host), std::move(addresses),
                               std::move(domain), deadline);
    facts.dane = &dane_;
  }
  if (policies && sts_.entry) facts.sts = &sts_.entry->policy;
  co_return plan_tls(facts);
}

TlsPolicyUsed TlsPlanner::policy_used() const {
  TlsPolicyUsed used;
  used.domain = target_.domain;
  if (dane_.state == Dane::State::usable || dane_.state == Dane::State::unusable) {
    used.type = TlsPolicyUsed::Type::tlsa;
    used.domain = dane_.base;
    for (const auto& record : dane_.records) used.strings.push_back(record.to_string());
  } else if (sts_.entry && sts_.entry->policy.mode != StsMode::none) {
    used.type = TlsPolicyUsed::Type::sts;
    used.mx_hosts = sts_.entry->policy.mx;
    for (auto line : core::split(sts_.entry->policy.text, '\n')) {
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (!core::trim(line).empty()) used.strings.push_back(core::printable(line));
    }
  }
  return used;
}

TlsFailure TlsPlanner::failure_of(const TlsSeen& seen) const {
  const auto* policy = sts_.entry ? &sts_.entry->policy : nullptr;
  TlsFailure failure;
  if (dane_.state == Dane::State::failed) {
    failure.result = TlsResult::dnssec_invalid;
  } else if (dane_.state == Dane::State::unusable) {
    failure.result = TlsResult::tlsa_invalid;
  } else if (dane_.state == Dane::State::none && policy != nullptr && policy->mode != StsMode::none &&
             !sts_allows(*policy, host_.name)) {
    failure.result = TlsResult::validation_failure;
    failure.reason = "mail host not in the policy";
  } else if (seen.what == What::not_offered || seen.what == What::refused) {
    failure.result = TlsResult::starttls_not_supported;
  } else if (seen.what == What::failed) {
    failure.result = result_of(seen.fault == net::TlsFault::none ? net::TlsFault::certificate : seen.fault);
    failure.reason = seen.error;
  } else {
    failure.result = result_of(seen.fault);
  }
  return failure;
}

void TlsPlanner::tell(const TlsFailure& failure) const {
  if (means_.transport.results != nullptr) means_.transport.results->record(policy_used(), failure, core::Wall::now());
}

void TlsPlanner::report(const TlsSeen& seen, const Endpoint* endpoint, const core::IpAddress* source) {
  if (seen.what == What::done) means_.transport.memory.note(memory_key(host_), core::Steady::now());
  if (!has_policies() || seen.what == What::nothing) return;
  auto failure = failure_of(seen);
  if (failure.result != TlsResult::success) {
    failure.receiving_host = host_.name;
    if (endpoint != nullptr) failure.receiving_ip = endpoint->address.to_string();
    if (source != nullptr) failure.sending_ip = source->to_string();
  }
  tell(failure);
}

}  // namespace forwarder
