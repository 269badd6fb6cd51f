#include "mail/punycode.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "core/text.hpp"

namespace mail {
namespace {

// RFC 3492 §5
constexpr std::uint32_t kBase = 36, kTMin = 1, kTMax = 26, kSkew = 38, kDamp = 700, kInitialBias = 72;
constexpr std::uint32_t kInitialN = 0x80;
constexpr std::size_t kMaxLabel = 63;  // RFC 1035 §2.3.4
constexpr std::uint32_t kMaxCodePoint = 0x10ffff;

// RFC 3492 §6.1
std::uint32_t adapt(std::uint32_t delta, std::uint32_t points, bool first) {
  delta = first ? delta / kDamp : delta / 2;
  delta += delta / points;
  std::uint32_t k = 0;
  for (; delta > (kBase - kTMin) * kTMax / 2; k += kBase) delta /= kBase - kTMin;
  return k + (kBase - kTMin + 1) * delta / (delta + kSkew);
}

std::uint32_t threshold(std::uint32_t k, std::uint32_t bias) {
  return k <= bias ? kTMin : std::min(k - bias, kTMax);
}

std::optional<std::uint32_t> digit_value(char c) {
  const char l = core::to_lower(c);
  if (core::is_digit(l)) return static_cast<std::uint32_t>(l - '0' + 26);
  if (core::is_alpha(l)) return static_cast<std::uint32_t>(l - 'a');
  return std::nullopt;
}

char digit(std::uint32_t value) {
  return static_cast<char>(value < 26 ? 'a' + value : '0' + value - 26);
}

// One generalised variable-length integer from the front of `text` (RFC 3492 §3.3).
std::optional<std::uint32_t> take_delta(std::string_view& text, std::uint32_t bias) {
  std::uint64_t delta = 0, weight = 1;
  for (std::uint32_t k = kBase;; k += kBase) {
    if (text.empty()) return std::nullopt;
    const auto value = digit_value(text.front());
    if (!value) return std::nullopt;
    text.remove_prefix(1);
    delta += *value * weight;
    if (delta > std::numeric_limits<std::uint32_t>::max()) return std::nullopt;
    const auto t = threshold(k, bias);
    if (*value < t) return static_cast<std::uint32_t>(delta);
    weight *= kBase - t;
    if (weight > std::numeric_limits<std::uint32_t>::max()) return std::nullopt;
  }
}

void put_delta(std::string& out, std::uint32_t delta, std::uint32_t bias) {
  for (std::uint32_t k = kBase;; k += kBase) {
    const auto t = threshold(k, bias);
    if (delta < t) break;
    out += digit(t + (delta - t) % (kBase - t));
    delta = (delta - t) / (kBase - t);
  }
  out += digit(delta);
}

}  // namespace

// RFC 3492 §6.2
std::optional<std::u32string> punycode_decode(std::string_view text) {
  if (text.empty() || text.size() > kMaxLabel || core::has_8bit(text)) return std::nullopt;
  std::u32string out;
  if (const auto hyphen = text.rfind('-'); hyphen != std::string_view::npos && hyphen > 0) {
    for (const char c : text.substr(0, hyphen)) out += static_cast<unsigned char>(c);
    text.remove_prefix(hyphen + 1);
  }
  std::uint64_t n = kInitialN, i = 0;
  std::uint32_t bias = kInitialBias;
  bool first = true;
  while (!text.empty()) {
    const auto delta = take_delta(text, bias);
    if (!delta) return std::nullopt;
    const auto points = static_cast<std::uint32_t>(out.size() + 1);
    i += *delta;
    bias = adapt(*delta, points, first);
    first = false;
    n += i / points;
    i %= points;
    if (n > kMaxCodePoint || (n >= 0xd800 && n < 0xe000)) return std::nullopt;
    out.insert(static_cast<std::size_t>(i), 1, static_cast<char32_t>(n));
    ++i;
  }
  return out;
}

// RFC 3492 §6.3
std::optional<std::string> punycode_encode(std::u32string_view text) {
  if (text.empty() || text.size() > kMaxLabel) return std::nullopt;
  std::string out;
  for (const char32_t c : text) {
    if (c < kInitialN) out += static_cast<char>(c);
  }
  const auto basic = static_cast<std::uint32_t>(out.size());
  std::uint32_t handled = basic, delta = 0, bias = kInitialBias, n = kInitialN;
  if (basic > 0) out += '-';
  while (handled < text.size()) {
    std::uint32_t next = kMaxCodePoint;
    for (const char32_t c : text) {
      if (c >= n && c < next) next = c;
    }
    // At most 63 code points below 2^21: this cannot overflow.
    delta += (next - n) * (handled + 1);
    n = next;
    for (const char32_t c : text) {
      if (c < n) ++delta;
      if (c != n) continue;
      put_delta(out, delta, bias);
      bias = adapt(delta, handled + 1, handled == basic);
      delta = 0;
      ++handled;
    }
    ++delta;
    ++n;
  }
  if (out.size() > kMaxLabel) return std::nullopt;
  return out;
}

std::string to_utf8(std::u32string_view text) {
  std::string out;
  const auto put = [&](std::uint32_t octet) { out += static_cast<char>(octet); };
  for (const std::uint32_t c : text) {
    if (c < 0x80) {
      put(c);
    } else if (c < 0x800) {
      put(0xc0 | c >> 6);
      put(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
      put(0xe0 | c >> 12);
      put(0x80 | (c >> 6 & 0x3f));
      put(0x80 | (c & 0x3f));
    } else {
      put(0xf0 | c >> 18);
      put(0x80 | (c >> 12 & 0x3f));
      put(0x80 | (c >> 6 & 0x3f));
      put(0x80 | (c & 0x3f));
    }
  }
  return out;
}

char32_t fold_case(char32_t c) {
  const auto in = [c](char32_t low, char32_t high) { return c >= low && c <= high; };
  if (in(U'A', U'Z')) return c + 0x20;
  if (c < 0xc0) return c;
  if ((in(0xc0, 0xde) && c != 0xd7) || (in(0x391, 0x3a9) && c != 0x3a2) || in(0x410, 0x42f)) return c + 0x20;
  if (in(0x400, 0x40f)) return c + 0x50;
  if (in(0x139, 0x148) || in(0x179, 0x17e)) return c + (c & 1);
  if (in(0x100, 0x12f) || in(0x132, 0x137) || in(0x14a, 0x177) || in(0x460, 0x481) || in(0x48a, 0x4bf)) return c | 1;
  if (c == 0x3002 || c == 0xff0e || c == 0xff61) return U'.';
  return c;
}

}  // namespace mail
