#include "mail/utf8.hpp"

#include "core/text.hpp"

namespace mail {

CodePoint first_code_point(std::string_view text) {
  if (text.empty()) return {};
  const auto lead = static_cast<unsigned char>(text.front());
  if (lead < 0x80) return {lead, 1};
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  // core::is_utf8 knows the overlong forms and the surrogates; it also refuses a lead octet that is none.
  if (text.size() < length || !core::is_utf8(text.substr(0, length))) return {};
  char32_t value = lead & (0xffU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) value = (value << 6) | (static_cast<unsigned char>(text[i]) & 0x3fU);
  return {value, length};
}

bool is_plain_utf8(std::string_view text) {
  while (!text.empty()) {
    const auto point = first_code_point(text);
    if (point.length == 0 || is_control(point.value)) return false;
    text.remove_prefix(point.length);
  }
  return true;
}

}  // namespace mail
