#include "auth/spf_domain.hpp"

#include <algorithm>
#include <cstdint>

#include "core/text.hpp"

namespace auth {
namespace {

constexpr std::size_t kMaxLabel = 63;

// Code points of valid UTF-8.
std::u32string code_points(std::string_view text) {
  std::u32string out;
  for (std::size_t i = 0; i < text.size();) {
    const auto octet = [&](std::size_t at) { return static_cast<char32_t>(static_cast<unsigned char>(text[at])); };
    const char32_t first = octet(i);
    const std::size_t size = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    char32_t point = size == 1 ? first : first & (0x7fU >> size);
    for (std::size_t k = 1; k < size; ++k) point = point << 6 | (octet(i + k) & 0x3f);
    out += point;
    i += size;
  }
  return out;
}

// RFC 3492 §6.1
std::uint32_t adapt(std::uint32_t delta, std::uint32_t points, bool first) {
  delta = first ? delta / 700 : delta / 2;
  delta += delta / points;
  std::uint32_t k = 0;
  for (; delta > 455; k += 36) delta /= 35;
  return k + 36 * delta / (delta + 38);
}

// RFC 3492 §6.3. A label of at most 63 * 4 octets cannot overflow: delta stays below 0x110000 * 253.
std::string punycode(std::u32string_view label) {
  std::string out;
  for (const char32_t c : label) {
    if (c < 0x80) out += core::to_lower(static_cast<char>(c));
  }
  const auto basic = static_cast<std::uint32_t>(out.size());
  std::uint32_t handled = basic;
  if (basic > 0) out += '-';
  std::uint32_t n = 0x80, delta = 0, bias = 72;
  while (handled < label.size()) {
    std::uint32_t next = 0x110000;
    for (const char32_t c : label) {
      if (c >= n) next = std::min(next, static_cast<std::uint32_t>(c));
    }
    delta += (next - n) * (handled + 1);
    n = next;
    for (const char32_t c : label) {
      if (c < n) ++delta;
      if (c != n) continue;
      std::uint32_t q = delta;
      for (std::uint32_t k = 36;; k += 36) {
        const std::uint32_t t = k <= bias ? 1 : std::min<std::uint32_t>(k - bias, 26);
        const std::uint32_t digit = q < t ? q : t + (q - t) % (36 - t);
        out += static_cast<char>(digit < 26 ? 'a' + digit : '0' + (digit - 26));
        if (q < t) break;
        q = (q - t) / (36 - t);
      }
      bias = adapt(delta, handled + 1, handled == basic);
      delta = 0;
      ++handled;
    }
    ++delta;
    ++n;
  }
  return out;
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
  if (!core::has_8bit(domain)) {
    out = domain;
  } else {
    if (!core::is_utf8(domain)) return std::nullopt;
    for (const auto label : core::split(domain, '.')) {
      if (!out.empty()) out += '.';
      if (label.empty() || label.size() > 4 * kMaxLabel) return std::nullopt;
      out += core::has_8bit(label) ? "xn--" + punycode(code_points(label)) : std::string(label);
    }
  }
  if (!is_dns_name(out) || out.find(' ') != std::string::npos) return std::nullopt;
  return out;
}

}  // namespace auth
