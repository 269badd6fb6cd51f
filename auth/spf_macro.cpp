#include "auth/spf_macro.hpp"

#include <algorithm>
#include <vector>

#include "auth/spf_domain.hpp"
#include "core/text.hpp"

namespace auth {
namespace {

constexpr std::string_view kDelimiters = ".-+,/_=";
constexpr std::size_t kManyParts = 1000;  // more than any value has

// §7.1 macro-literal; SP only in explain-string.
bool is_literal(char c, MacroUse use) {
  return (c > ' ' && c <= '~' && c != '%') || (c == ' ' && use == MacroUse::text);
}

std::optional<MacroItem> expansion(std::string_view& rest, MacroUse use) {
  MacroItem item;
  item.expansion = true;
  if (rest.size() < 2) return std::nullopt;
  const char kind = rest[1];
  if (kind == '%' || kind == '_' || kind == '-') {
    item.literal = kind == '%' ? "%" : kind == '_' ? " " : "%20";
    rest.remove_prefix(2);
    return item;
  }
  const auto end = rest.find('}');
  if (kind != '{' || end == std::string_view::npos || end < 3) return std::nullopt;
  auto body = rest.substr(2, end - 2);
  rest.remove_prefix(end + 1);
  item.letter = core::to_lower(body.front());
  item.url_escape = item.letter != body.front();
  const auto letters = use == MacroUse::domain ? std::string_view("slodiphv") : std::string_view("slodiphvcrt");
  if (letters.find(item.letter) == std::string_view::npos) return std::nullopt;
  body.remove_prefix(1);
  const bool has_digits = !body.empty() && core::is_digit(body.front());
  for (; !body.empty() && core::is_digit(body.front()); body.remove_prefix(1)) {
    item.parts = std::min(item.parts * 10 + static_cast<std::size_t>(body.front() - '0'), kManyParts);
  }
  if (has_digits && item.parts == 0) return std::nullopt;  // §7.3: MUST be nonzero
  if (!body.empty() && core::to_lower(body.front()) == 'r') {
    item.reverse = true;
    body.remove_prefix(1);
  }
  if (body.find_first_not_of(kDelimiters) != std::string_view::npos) return std::nullopt;
  item.delimiters = body;
  return item;
}

// §7.1 toplabel
bool is_top_label(std::string_view label) {
  if (label.empty() || !core::is_alnum(label.front()) || !core::is_alnum(label.back())) return false;
  return std::all_of(label.begin(), label.end(), [](char c) { return core::is_alnum(c) || c == '-'; }) &&
         !std::all_of(label.begin(), label.end(), core::is_digit);
}

// §7.3: "%{i}" of IPv6 is a dotted list of nibbles; the suites write them in upper case.
std::string dotted(const core::IpAddress& ip) {
  if (ip.is_v4()) return ip.to_string();
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : ip.bytes()) {
    const auto octet = static_cast<unsigned char>(c);
    if (!out.empty()) out += '.';
    out += kHex[octet >> 4];
    out += '.';
    out += kHex[octet & 15];
  }
  return out;
}

std::string value_of(char letter, const MacroValues& values) {
  switch (letter) {
    case 's':
      return values.local + "@" + values.sender_domain;
    case 'l':
      return values.local;
    case 'o':
      return values.sender_domain;
    case 'd':
      return values.domain;
    case 'i':
      return dotted(values.client);
    case 'p':
      return values.validated.empty() ? "unknown" : values.validated;
    case 'v':
      return values.client.is_v4() ? "in-addr" : "ip6";
    case 'h':
      return values.helo.empty() ? "unknown" : values.helo;
    case 'c':
      return values.client.to_string();
    case 'r':
      return values.receiver.empty() ? "unknown" : values.receiver;
    default:
      return std::to_string(values.time);
  }
}

// §7.3: split, reverse, keep the right-hand parts, join with dots.
std::string transform(std::string_view value, const MacroItem& item) {
  const auto delimiters = item.delimiters.empty() ? std::string_view(".") : item.delimiters;
  std::vector<std::string_view> parts;
  for (;;) {
    const auto end = value.find_first_of(delimiters);
    parts.push_back(value.substr(0, end));
    if (end == std::string_view::npos) break;
    value.remove_prefix(end + 1);
  }
  if (item.reverse) std::reverse(parts.begin(), parts.end());
  const std::size_t drop = item.parts > 0 && item.parts < parts.size() ? parts.size() - item.parts : 0;
  std::string out;
  for (std::size_t i = drop; i < parts.size(); ++i) {
    if (i > drop) out += '.';
    out += parts[i];
  }
  return out;
}

// §7.3: everything but the unreserved set of RFC 3986 §2.3.
std::string url_escaped(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (core::is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      const auto octet = static_cast<unsigned char>(c);
      out += '%';
      out += kHex[octet >> 4];
      out += kHex[octet & 15];
    }
  }
  return out;
}

void append(std::string& out, const MacroItem& item, const MacroValues& values) {
  if (item.letter == 0) {
    out += item.literal;
    return;
  }
  auto value = value_of(item.letter, values);
  if (item.parts > 0 || item.reverse || !item.delimiters.empty()) value = transform(value, item);
  out += item.url_escape ? url_escaped(value) : value;
}

}  // namespace

std::optional<MacroItem> next_macro_item(std::string_view& rest, MacroUse use) {
  if (rest.front() == '%') return expansion(rest, use);
  MacroItem item;
  std::size_t size = 0;
  while (size < rest.size() && is_literal(rest[size], use)) ++size;
  if (size == 0) return std::nullopt;
  item.literal = rest.substr(0, size);
  rest.remove_prefix(size);
  return item;
}

bool is_macro_string(std::string_view text, MacroUse use) {
  while (!text.empty()) {
    if (!next_macro_item(text, use)) return false;
  }
  return true;
}

bool is_domain_spec(std::string_view text) {
  std::optional<MacroItem> last;
  while (!text.empty()) {
    last = next_macro_item(text, MacroUse::domain);
    if (!last) return false;
  }
  if (!last) return false;
  if (last->expansion) return true;
  auto end = last->literal;
  if (end.ends_with('.')) end.remove_suffix(1);
  const auto dot = end.rfind('.');
  return dot != std::string_view::npos && is_top_label(end.substr(dot + 1));
}

bool uses_macro(std::string_view text, char letter) {
  while (!text.empty()) {
    const auto item = next_macro_item(text, MacroUse::text);
    if (!item) return false;
    if (item->letter == letter) return true;
  }
  return false;
}

std::string expand_macros(std::string_view text, const MacroValues& values, MacroUse use) {
  std::string out;
  while (!text.empty()) {
    const auto item = next_macro_item(text, use);
    if (!item) break;
    append(out, *item, values);
  }
  return out;
}

std::string expand_domain(std::string_view text, const MacroValues& values) {
  std::string name;
  while (!text.empty()) {
    const auto item = next_macro_item(text, MacroUse::domain);
    if (!item) break;
    append(name, *item, values);
    // Only the right end counts: a long macro string costs time, never memory.
    if (name.size() > 16 * kMaxDnsName) name.erase(0, name.size() - 2 * kMaxDnsName);
  }
  if (name.ends_with('.')) name.pop_back();
  if (name.size() <= kMaxDnsName) return name;
  const auto dot = name.find('.', name.size() - kMaxDnsName - 1);
  return dot == std::string::npos ? name : name.substr(dot + 1);
}

std::string reverse_name(const core::IpAddress& client) {
  MacroItem item;
  item.reverse = true;
  return core::lower(transform(dotted(client), item)) + (client.is_v4() ? ".in-addr.arpa" : ".ip6.arpa");
}

}  // namespace auth
