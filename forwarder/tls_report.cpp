#include "forwarder/tls_report.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>

#include "core/text.hpp"

namespace forwarder {
namespace {

constexpr std::size_t kMaxName = 32;  // of an extension field, RFC 8460 §3

std::string_view type_name(TlsPolicyUsed::Type type) {
  switch (type) {
    case TlsPolicyUsed::Type::none:
      return "no-policy-found";
    case TlsPolicyUsed::Type::tlsa:
      return "tlsa";
    case TlsPolicyUsed::Type::sts:
      return "sts";
  }
  return "no-policy-found";
}

constexpr std::size_t kOverhead = 200;  // octets of an entry beside its text

std::size_t size_of(const TlsPolicyUsed& policy) {
  std::size_t octets = kOverhead + policy.domain.size();
  for (const auto* list : {&policy.strings, &policy.mx_hosts}) {
    for (const auto& text : *list) octets += sizeof text + text.size();
  }
  return octets;
}

std::size_t size_of(const TlsFailure& failure) {
  return kOverhead + failure.sending_ip.size() + failure.receiving_host.size() + failure.receiving_ip.size() +
         failure.reason.size();
}

// RFC 3339, UTC.
std::string timestamp(core::Wall::time_point time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(core::Wall::to_time_t(time)));
}

bool is_field_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxName || !core::is_alnum(name.front())) return false;
  return std::ranges::all_of(name, [](char c) { return core::is_alnum(c) || c == '_' || c == '-' || c == '.'; });
}

bool is_visible(std::string_view text, std::string_view but) {
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return static_cast<unsigned char>(c) > 0x20 && static_cast<unsigned char>(c) < 0x7f &&
           but.find(c) == std::string_view::npos;
  });
}

bool is_hex(char c) {
  return core::is_digit(c) || (core::to_lower(c) >= 'a' && core::to_lower(c) <= 'f');
}

// RFC 3986 §3: a scheme, and "%" only before two hexadecimal digits; ',', ';' and '!' must be encoded (RFC 8460 §3).
bool is_uri(std::string_view uri) {
  const auto colon = uri.find(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == uri.size() || !is_visible(uri, ",;!")) return false;
  if (!std::ranges::all_of(uri.substr(0, colon), core::is_alnum)) return false;
  for (std::size_t i = 0; i < uri.size(); ++i) {
    if (uri[i] != '%') continue;
    if (i + 2 >= uri.size() || !is_hex(uri[i + 1]) || !is_hex(uri[i + 2])) return false;
  }
  return true;
}

}  // namespace

std::string_view to_string(TlsResult result) {
  switch (result) {
    case TlsResult::success:
      return "success";
    case TlsResult::starttls_not_supported:
      return "starttls-not-supported";
    case TlsResult::certificate_host_mismatch:
      return "certificate-host-mismatch";
    case TlsResult::certificate_expired:
      return "certificate-expired";
    case TlsResult::certificate_not_trusted:
      return "certificate-not-trusted";
    case TlsResult::validation_failure:
      return "validation-failure";
    case TlsResult::tlsa_invalid:
      return "tlsa-invalid";
    case TlsResult::dnssec_invalid:
      return "dnssec-invalid";
    case TlsResult::sts_policy_fetch_error:
      return "sts-policy-fetch-error";
    case TlsResult::sts_policy_invalid:
      return "sts-policy-invalid";
    case TlsResult::sts_webpki_invalid:
      return "sts-webpki-invalid";
  }
  return "validation-failure";
}

std::size_t TlsResults::octets_of(const Domain& domain) {
  std::size_t octets = 0;
  for (const auto& [policy, counts] : domain) {
    octets += size_of(policy);
    for (const auto& [failure, count] : counts.details) octets += size_of(failure);
  }
  return octets;
}

void TlsResults::record(const TlsPolicyUsed& policy, const TlsFailure& failure, core::Wall::time_point now) {
  const auto today = std::chrono::floor<std::chrono::days>(now);
  const std::lock_guard lock(mutex_);
  auto& domains = days_[today];
  shrink();
  if (!days_.contains(today)) return;  // the clock was set back by days
  const auto known = domains.find(policy.domain);
  if (known == domains.end() ? domains.size() >= kMaxDomains
                             : known->second.size() >= kMaxPolicies && !known->second.contains(policy)) {
    return;
  }
  const bool fresh = known == domains.end() || !known->second.contains(policy);
  if (fresh && octets_ + size_of(policy) > kMaxOctets) return;
  if (fresh) octets_ += size_of(policy);
  ++changes_;
  auto& counts = domains[policy.domain][policy];
  if (failure.result == TlsResult::success) {
    ++counts.successes;
    return;
  }
  ++counts.failures;
  if (const auto detail = counts.details.find(failure); detail != counts.details.end()) {
    ++detail->second;
  } else if (counts.details.size() < kMaxDetails && octets_ + size_of(failure) <= kMaxOctets) {
    octets_ += size_of(failure);
    counts.details.emplace(failure, 1);
  }
}

// Days that are over for good go.
void TlsResults::shrink() {
  while (days_.size() > kDaysKept) {
    for (const auto& [name, domain] : days_.begin()->second) octets_ -= octets_of(domain);
    days_.erase(days_.begin());
  }
}

std::vector<TlsDay> TlsResults::days() const {
  const std::lock_guard lock(mutex_);
  std::vector<TlsDay> out;
  for (const auto& [day, domains] : days_) out.push_back(day);
  return out;
}

std::vector<std::string> TlsResults::domains(TlsDay day) const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> out;
  const auto found = days_.find(day);
  if (found == days_.end()) return out;
  for (const auto& [domain, policies] : found->second) out.push_back(domain);
  return out;
}

std::vector<TlsPolicyResults> TlsResults::results(TlsDay day, const std::string& domain) const {
  const std::lock_guard lock(mutex_);
  std::vector<TlsPolicyResults> out;
  const auto found = days_.find(day);
  if (found == days_.end()) return out;
  const auto policies = found->second.find(domain);
  if (policies == found->second.end()) return out;
  for (const auto& [policy, counts] : policies->second) {
    TlsPolicyResults one;
    one.policy = policy;
    one.successes = counts.successes;
    one.failures = counts.failures;
    one.details.assign(counts.details.begin(), counts.details.end());
    out.push_back(std::move(one));
  }
  return out;
}

void TlsResults::forget(TlsDay day, const std::string& domain) {
  const std::lock_guard lock(mutex_);
  const auto found = days_.find(day);
  if (found == days_.end()) return;
  const auto seen = found->second.find(domain);
  if (seen == found->second.end()) return;
  octets_ -= octets_of(seen->second);
  found->second.erase(seen);
  ++changes_;
  if (found->second.empty()) days_.erase(found);
}

std::uint64_t TlsResults::changes() const {
  const std::lock_guard lock(mutex_);
  return changes_;
}

std::string TlsResults::write() const {
  auto out = nlohmann::json::array();
  const std::lock_guard lock(mutex_);
  for (const auto& [day, domains] : days_) {
    for (const auto& [domain, policies] : domains) {
      for (const auto& [policy, counts] : policies) {
        auto details = nlohmann::json::array();
        for (const auto& [failure, count] : counts.details) {
          details.push_back({static_cast<int>(failure.result), failure.sending_ip, failure.receiving_host,
                             failure.receiving_ip, failure.reason, count});
        }
        out.push_back({{"day", day.time_since_epoch().count()},
                       {"type", static_cast<int>(policy.type)},
                       {"domain", domain},
                       {"strings", policy.strings},
                       {"mx", policy.mx_hosts},
                       {"successes", counts.successes},
                       {"failures", counts.failures},
                       {"details", std::move(details)}});
      }
    }
  }
  return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

bool TlsResults::read(std::string_view text) {
  const auto all = nlohmann::json::parse(text, nullptr, false);
  if (!all.is_array()) return false;
  decltype(days_) days;
  try {  // the library's own way to say that a value is of another type
    for (const auto& one : all) {
      TlsPolicyUsed policy;
      policy.type = static_cast<TlsPolicyUsed::Type>(std::clamp(one.at("type").get<int>(), 0, 2));
      policy.domain = one.at("domain").get<std::string>();
      policy.strings = one.at("strings").get<std::vector<std::string>>();
      policy.mx_hosts = one.at("mx").get<std::vector<std::string>>();
      Counts counts;
      counts.successes = one.at("successes").get<std::uint64_t>();
      counts.failures = one.at("failures").get<std::uint64_t>();
      for (const auto& detail : one.at("details")) {
        TlsFailure failure;
        const int last = static_cast<int>(TlsResult::sts_webpki_invalid);
        failure.result = static_cast<TlsResult>(std::clamp(detail.at(0).get<int>(), 0, last));
        failure.sending_ip = detail.at(1).get<std::string>();
        failure.receiving_host = detail.at(2).get<std::string>();
        failure.receiving_ip = detail.at(3).get<std::string>();
        failure.reason = detail.at(4).get<std::string>();
        counts.details[std::move(failure)] = detail.at(5).get<std::uint64_t>();
      }
      const TlsDay day(std::chrono::days(one.at("day").get<int>()));
      auto& seen = days[day][policy.domain];
      seen[std::move(policy)] = std::move(counts);
    }
  } catch (const nlohmann::json::exception&) {
    return false;
  }
  const std::lock_guard lock(mutex_);
  days_ = std::move(days);
  octets_ = 0;
  for (const auto& [day, domains] : days_) {
    for (const auto& [name, domain] : domains) octets_ += octets_of(domain);
  }
  shrink();
  return true;
}

std::string write_tls_report(const TlsReportHeader& header, const std::vector<TlsPolicyResults>& results) {
  using json = nlohmann::ordered_json;
  json report;
  report["organization-name"] = header.organization;
  report["date-range"]["start-datetime"] = timestamp(header.day);
  report["date-range"]["end-datetime"] = timestamp(header.day + std::chrono::days(1) - core::Seconds(1));
  report["contact-info"] = header.contact;
  report["report-id"] = header.id;
  report["policies"] = json::array();
  for (const auto& one : results) {
    json entry;
    auto& policy = entry["policy"];
    policy["policy-type"] = std::string(type_name(one.policy.type));
    if (!one.policy.strings.empty()) policy["policy-string"] = one.policy.strings;
    policy["policy-domain"] = one.policy.domain;
    if (!one.policy.mx_hosts.empty()) policy["mx-host"] = one.policy.mx_hosts;
    entry["summary"]["total-successful-session-count"] = one.successes;
    entry["summary"]["total-failure-session-count"] = one.failures;
    for (const auto& [failure, count] : one.details) {
      json detail;
      detail["result-type"] = std::string(to_string(failure.result));
      const auto add = [&](const char* key, const std::string& value) {
        if (!value.empty()) detail[key] = value;
      };
      add("sending-mta-ip", failure.sending_ip);
      add("receiving-mx-hostname", failure.receiving_host);
      add("receiving-ip", failure.receiving_ip);
      detail["failed-session-count"] = count;
      add("failure-reason-code", failure.reason);
      entry["failure-details"].push_back(std::move(detail));
    }
    report["policies"].push_back(std::move(entry));
  }
  return report.dump(2, ' ', false, json::error_handler_t::replace);
}

std::optional<std::vector<std::string>> parse_tlsrpt_record(std::string_view txt) {
  auto parts = core::split(txt, ';');
  if (core::trim(parts.front()) != "v=TLSRPTv1" || !txt.starts_with("v=")) return std::nullopt;
  if (parts.size() > 1 && core::trim(parts.back()).empty()) parts.pop_back();
  std::vector<std::string> uris;
  bool any = false;
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const auto field = core::trim(parts[i]);
    const auto equals = field.find('=');
    if (equals == std::string_view::npos || !is_field_name(field.substr(0, equals))) return std::nullopt;
    const auto value = core::trim(field.substr(equals + 1));
    if (field.substr(0, equals) != "rua") {
      if (!is_visible(value, "=;")) return std::nullopt;
      continue;
    }
    any = true;
    for (const auto part : core::split(value, ',')) {
      const auto uri = core::trim(part);
      if (!is_uri(uri)) return std::nullopt;
      if (core::istarts_with(uri, "mailto:") || core::istarts_with(uri, "https:")) uris.emplace_back(uri);
    }
  }
  if (!any) return std::nullopt;
  return uris;
}

}  // namespace forwarder
