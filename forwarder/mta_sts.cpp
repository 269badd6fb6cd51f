#include "forwarder/mta_sts.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/digest.hpp"
#include "core/text.hpp"

namespace forwarder {
namespace {

constexpr std::size_t kMaxId = 32;            // RFC 8461 §3.1
constexpr std::size_t kMaxName = 32;          // of an extension
constexpr std::size_t kMaxAgeDigits = 10;     // §3.2
constexpr core::Seconds kOwnMaxAge{604'800};  // one week

bool is_extension_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxName || !core::is_alnum(name.front())) return false;
  return std::ranges::all_of(name, [](char c) { return core::is_alnum(c) || c == '_' || c == '-' || c == '.'; });
}

// sts-ext-value: visible characters but '=' and ';'.
bool is_record_value(std::string_view value) {
  return !value.empty() && std::ranges::all_of(value, [](char c) {
    return static_cast<unsigned char>(c) > 0x20 && static_cast<unsigned char>(c) < 0x7f && c != '=' && c != ';';
  });
}

bool is_label(std::string_view label) {
  return !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
         std::ranges::all_of(label, [](char c) { return core::is_alnum(c) || c == '-' || c == '_'; });
}

bool is_domain(std::string_view name) {
  if (name.size() > 253) return false;
  const auto labels = core::split(name, '.');
  return std::ranges::all_of(labels, is_label);
}

bool is_mx_pattern(std::string_view pattern) {
  if (pattern.starts_with("*.")) pattern.remove_prefix(2);
  return is_domain(pattern);
}

core::Problem wrong(std::string_view what, std::string_view value) {
  return {fmt::format("{} \"{}\"", what, core::printable(value.substr(0, 60)))};
}

// "key: value" lines; CRLF or LF between them (§3.2: sts-policy-term).
core::Explained<std::vector<std::pair<std::string_view, std::string_view>>> fields_of(std::string_view text) {
  std::vector<std::pair<std::string_view, std::string_view>> fields;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (core::trim(line).empty()) continue;
    const auto colon = line.find(':');
    const auto name = line.substr(0, std::min(colon, line.size()));
    if (colon == std::string_view::npos || !is_extension_name(name)) return wrong("no \"key: value\":", line);
    const auto value = core::trim(line.substr(colon + 1));
    const bool clean =
        std::ranges::none_of(value, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
    if (value.empty() || !clean || !core::is_utf8(value)) return wrong("no usable value:", line);
    fields.emplace_back(name, value);
  }
  return fields;
}

}  // namespace

std::string_view to_string(StsMode mode) {
  switch (mode) {
    case StsMode::none:
      return "none";
    case StsMode::testing:
      return "testing";
    case StsMode::enforce:
      return "enforce";
  }
  return "none";
}

std::optional<std::string> parse_sts_record(std::string_view txt) {
  auto parts = core::split(txt, ';');
  if (parts.front() != "v=STSv1") return std::nullopt;
  if (parts.size() > 1 && core::trim(parts.back()).empty()) parts.pop_back();  // a last ';' may stand
  std::optional<std::string> id;
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const auto field = core::trim(parts[i]);
    const auto equals = field.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    const auto name = field.substr(0, equals);
    const auto value = field.substr(equals + 1);
    if (!is_extension_name(name) || !is_record_value(value)) return std::nullopt;
    if (name != "id" || id) continue;
    if (value.size() > kMaxId || !std::ranges::all_of(value, core::is_alnum)) return std::nullopt;
    id = value;
  }
  return id;
}

std::optional<std::string> choose_sts_record(const std::vector<std::string>& texts) {
  const std::string* ours = nullptr;
  for (const auto& text : texts) {
    if (!text.starts_with("v=STSv1;") && text != "v=STSv1") continue;
    if (ours != nullptr) return std::nullopt;
    ours = &text;
  }
  return ours == nullptr ? std::nullopt : parse_sts_record(*ours);
}

core::Explained<StsPolicy> parse_sts_policy(std::string_view text) {
  if (text.size() > kMaxStsPolicy) return core::Problem{"the policy is too large"};
  const auto fields = fields_of(text);
  if (!fields) return fields.error();
  const auto first = [&](std::string_view key) -> std::optional<std::string_view> {
    for (const auto& [name, value] : *fields) {
      if (name == key) return value;
    }
    return std::nullopt;
  };
  StsPolicy policy;
  policy.text = text;
  const auto version = first("version");
  if (!version || *version != "STSv1") return wrong("version is not STSv1:", version.value_or(""));
  const auto mode = first("mode");
  if (mode == "enforce") {
    policy.mode = StsMode::enforce;
  } else if (mode == "testing") {
    policy.mode = StsMode::testing;
  } else if (mode != "none") {
    return wrong("no mode:", mode.value_or(""));
  }
  const auto age = first("max_age");
  const auto seconds = age && age->size() <= kMaxAgeDigits ? core::parse_number(*age) : std::nullopt;
  if (!seconds) return wrong("no max_age:", age.value_or(""));
  policy.max_age = std::min(core::Seconds(*seconds), kMaxStsAge);
  for (const auto& [name, value] : *fields) {
    if (name != "mx") continue;
    if (!is_mx_pattern(value)) return wrong("no mail host:", value);
    if (policy.mx.size() < kMaxStsHosts) policy.mx.push_back(core::lower(value));
  }
  if (policy.mx.empty() && policy.mode != StsMode::none) return core::Problem{"no mx"};
  return policy;
}

bool sts_allows(const StsPolicy& policy, std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  const auto name = core::lower(host);
  const auto dot = name.find('.');
  return std::ranges::any_of(policy.mx, [&](const std::string& pattern) {
    if (!pattern.starts_with("*.")) return pattern == name;
    return dot != std::string::npos && dot > 0 && name.substr(dot + 1) == pattern.substr(2);
  });
}

std::string own_sts_policy(std::string_view mx_host) {
  return fmt::format("version: STSv1\r\nmode: enforce\r\nmx: {}\r\nmax_age: {}\r\n", mx_host, kOwnMaxAge.count());
}

std::string own_sts_id(std::string_view policy) {
  constexpr std::size_t kLength = 20;  // of at most 32
  return core::hex(core::as_text(core::sha256(policy))).substr(0, kLength);
}

std::string own_sts_record(std::string_view id) {
  return fmt::format("v=STSv1; id={}", id);
}

std::string own_tlsrpt_record(std::string_view mail_address) {
  return fmt::format("v=TLSRPTv1; rua=mailto:{}", mail_address);
}

}  // namespace forwarder
