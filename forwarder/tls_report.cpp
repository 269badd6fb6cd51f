#include "forwarder/tls_report.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <tuple>

#include "core/text.hpp"

namespace forwarder {
namespace {

constexpr std::size_t kMaxName = 32;  // of an extension field, RFC 8460 §3

// RFC 8460 §4.2 and §4.3, in the order of the enums.
constexpr std::array<std::string_view, 3> kTypes{"no-policy-found", "tlsa", "sts"};
constexpr std::array<std::string_view, 11> kResults{"success",
                                                    "starttls-not-supported",
                                                    "certificate-host-mismatch",
                                                    "certificate-expired",
                                                    "certificate-not-trusted",
                                                    "validation-failure",
                                                    "tlsa-invalid",
                                                    "dnssec-invalid",
                                                    "sts-policy-fetch-error",
                                                    "sts-policy-invalid",
                                                    "sts-webpki-invalid"};
static_assert(static_cast<std::size_t>(TlsPolicyUsed::Type::sts) + 1 == kTypes.size());
static_assert(static_cast<std::size_t>(TlsResult::sts_webpki_invalid) + 1 == kResults.size());

std::string_view type_name(TlsPolicyUsed::Type type) {
  return kTypes[static_cast<std::size_t>(type)];
}

template <class Enum, std::size_t n>
std::optional<Enum> named(const std::array<std::string_view, n>& names, std::string_view name) {
  const auto found = std::ranges::find(names, name);
  if (found == names.end()) return std::nullopt;
  return static_cast<Enum>(found - names.begin());
}

// What to_sighting() wrote.
std::optional<TlsPolicyUsed> read_policy(const queue::TlsSighting& sighting) {
  const auto json = nlohmann::json::parse(sighting.policy, nullptr, false);
  try {  // the library's own way to say that a value is missing or of another type
    const auto type = named<TlsPolicyUsed::Type>(kTypes, json.at("type").get<std::string>());
    if (!type) return std::nullopt;
    return TlsPolicyUsed{*type, sighting.domain, json.at("strings").get<std::vector<std::string>>(),
                         json.at("hosts").get<std::vector<std::string>>()};
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
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
  return kResults[static_cast<std::size_t>(result)];
}

queue::TlsSighting to_sighting(const TlsPolicyUsed& policy, const TlsFailure& failure, core::Wall::time_point now) {
  queue::TlsSighting out;
  out.day = std::chrono::floor<std::chrono::days>(now).time_since_epoch().count();
  out.domain = policy.domain;
  auto strings = policy.strings, hosts = policy.mx_hosts;
  for (;;) {
    out.policy = nlohmann::json{{"type", type_name(policy.type)}, {"strings", strings}, {"hosts", hosts}}.dump(
        -1, ' ', false, nlohmann::json::error_handler_t::replace);
    if (out.policy.size() <= queue::kMaxTlsPolicy) break;
    auto& longer = strings.size() > hosts.size() ? strings : hosts;
    longer.resize(longer.size() / 2);
  }
  out.result = to_string(failure.result);
  out.sending_ip = failure.sending_ip;
  out.receiving_host = failure.receiving_host;
  out.receiving_ip = failure.receiving_ip;
  out.reason = failure.reason;
  return out;
}

void TlsResultLog::record(const TlsPolicyUsed& policy, const TlsFailure& failure, core::Wall::time_point now) {
  log_.record(to_sighting(policy, failure, now));
}

std::vector<TlsDomainResults> by_domain(const std::vector<queue::TlsCount>& rows) {
  std::vector<TlsDomainResults> out;
  const std::string* policy = nullptr;  // the row's before
  for (const auto& row : rows) {
    const TlsDay day{std::chrono::days(row.what.day)};
    const auto result = named<TlsResult>(kResults, row.what.result);
    const bool same = !out.empty() && out.back().day == day && core::iequals(out.back().domain, row.what.domain);
    if (!same || policy == nullptr || *policy != row.what.policy) {
      auto read = read_policy(row.what);
      if (!read || !result) continue;
      if (!same) out.push_back({day, row.what.domain, {}});
      out.back().policies.push_back({std::move(*read), 0, 0, {}});
      policy = &row.what.policy;
    }
    if (!result) continue;
    auto& counted = out.back().policies.back();
    if (*result == TlsResult::success) {
      counted.successes += row.count;
    } else {
      counted.failures += row.count;
      TlsFailure failure{*result, row.what.sending_ip, row.what.receiving_host, row.what.receiving_ip, row.what.reason};
      counted.details.emplace_back(std::move(failure), row.count);
    }
  }
  return out;
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
