#include "auth/spf_domain.hpp"

#include <algorithm>

#include "core/text.hpp"
#include "mail/punycode.hpp"
#include "mail/utf8.hpp"

namespace auth {
namespace {

constexpr std::size_t kMaxLabel = 63;

// ToASCII without mapping. Nothing: an empty label, no valid UTF-8, or one that is longer than a label may be.
std::optional<std::string> a_label(std::string_view label) {
  if (label.empty()) return std::nullopt;
  if (!core::has_8bit(label)) return std::string(label);
  std::u32string points;
  while (!label.empty()) {
    const auto point = mail::first_code_point(label);
    if (point.length == 0) return std::nullopt;
    label.remove_prefix(point.length);
    points += point.value < 0x80 ? static_cast<char32_t>(core::to_lower(static_cast<char>(point.value))) : point.value;
  }
  const auto encoded = mail::punycode_encode(points);
  if (!encoded) return std::nullopt;
  return "xn--" + *encoded;
}

}  // namespace

bool is_dns_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxDnsName) return false;
  std::size_t label = 0;
  for (const char c : name) {
    if (c == '.') {
      if (label == 0) return false;
      label = 0;
    } else if (c < ' ' || c > '~' || ++label > kMaxLabel) {
      return false;
    }
  }
  return label > 0;
}

std::optional<std::string> spf_domain(std::string_view domain) {
  if (domain.ends_with('.')) domain.remove_suffix(1);
  // U-labels are shorter in UTF-8 than four octets for each octet of the A-label's longest form.
  if (domain.empty() || domain.front() == '[' || domain.size() > 4 * kMaxDnsName) return std::nullopt;
  std::string out;
  for (const auto part : core::split(domain, '.')) {
    const auto label = a_label(part);
    if (!label) return std::nullopt;
    if (!out.empty()) out += '.';
    out += *label;
  }
  if (!is_dns_name(out) || out.find(' ') != std::string::npos) return std::nullopt;
  return out;
}

}  // namespace auth
