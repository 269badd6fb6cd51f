#include "auth/dkim_verify_tags.hpp"

#include <algorithm>

#include "core/text.hpp"

namespace auth {
namespace {

constexpr bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

std::string_view trim_space(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

bool is_name(std::string_view name) {
  return !name.empty() && core::is_alpha(name.front()) &&
         std::all_of(name.begin(), name.end(), [](char c) { return core::is_alnum(c) || c == '_'; });
}

bool is_value(std::string_view value) {
  return std::all_of(value.begin(), value.end(), [](char c) { return is_space(c) || (c > 0x20 && c < 0x7f); });
}

}  // namespace

std::optional<TagList> TagList::parse(std::string_view text) {
  TagList list;
  text = trim_space(text);
  if (text.ends_with(';')) text.remove_suffix(1);
  for (const auto spec : core::split(text, ';')) {
    const auto equals = spec.find('=');
    if (equals == std::string_view::npos || list.tags_.size() == kMaxTags) return std::nullopt;
    const Tag tag{trim_space(spec.substr(0, equals)), trim_space(spec.substr(equals + 1))};
    // RFC 6376 §3.2: tags with duplicate names make the entire list invalid.
    if (!is_name(tag.name) || !is_value(tag.value) || list.find(tag.name)) return std::nullopt;
    list.tags_.push_back(tag);
  }
  return list;
}

std::optional<std::string_view> TagList::find(std::string_view name) const {
  const auto it = std::find_if(tags_.begin(), tags_.end(), [&](const Tag& tag) { return tag.name == name; });
  return it == tags_.end() ? std::nullopt : std::optional(it->value);
}

std::string without_space(std::string_view value) {
  std::string out;
  out.reserve(value.size());
  std::copy_if(value.begin(), value.end(), std::back_inserter(out), [](char c) { return !is_space(c); });
  return out;
}

bool is_base64(std::string_view text) {
  for (int i = 0; i < 2 && text.ends_with('='); ++i) text.remove_suffix(1);
  return !text.empty() && text.size() % 4 != 1 &&
         std::all_of(text.begin(), text.end(), [](char c) { return core::is_alnum(c) || c == '+' || c == '/'; });
}

std::optional<std::string> decode_base64(std::string_view text) {
  if (!is_base64(text)) return std::nullopt;
  std::string padded(text.substr(0, text.find('=')));
  padded.append((4 - padded.size() % 4) % 4, '=');
  return core::base64_decode(padded);
}

}  // namespace auth
