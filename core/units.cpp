#include "core/units.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "core/text.hpp"

namespace core {
namespace {

constexpr std::array<std::pair<std::string_view, std::int64_t>, 6> kTime{
    {{"w", 604'800'000}, {"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}, {"ms", 1}}};
constexpr std::array<std::pair<std::string_view, std::uint64_t>, 5> kSize{
    {{"TiB", 1ULL << 40}, {"GiB", 1ULL << 30}, {"MiB", 1ULL << 20}, {"KiB", 1ULL << 10}, {"B", 1}}};

// Splits a leading run of digits off.
std::optional<unsigned long long> take_number(std::string_view& text) {
  std::size_t n = 0;
  while (n < text.size() && is_digit(text[n])) ++n;
  const auto value = parse_number(text.substr(0, n));
  if (value) text.remove_prefix(n);
  return value;
}

}  // namespace

std::optional<Milliseconds> parse_duration(std::string_view text) {
  if (text == "0") return Milliseconds(0);
  constexpr std::int64_t kMost = INT64_C(366) * 100 * 86'400'000;  // a century is long enough for any timer
  std::int64_t total = 0;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    const auto value = take_number(text);
    if (!value) return std::nullopt;
    std::size_t n = 0;
    while (n < text.size() && is_alpha(text[n])) ++n;
    const auto unit = text.substr(0, n);
    text.remove_prefix(n);
    std::int64_t factor = 0;
    for (const auto& [name, ms] : kTime) {
      if (unit == name) factor = ms;
    }
    if (factor == 0 || *value > static_cast<unsigned long long>(kMost / factor)) return std::nullopt;
    total += static_cast<std::int64_t>(*value) * factor;
    if (total > kMost) return std::nullopt;
  }
  return Milliseconds(total);
}

std::string format_duration(Milliseconds duration) {
  const auto ms = duration.count();
  if (ms == 0) return "0s";
  for (const auto& [name, factor] : kTime) {
    if (ms % factor == 0) return fmt::format("{}{}", ms / factor, name);
  }
  return fmt::format("{}ms", ms);
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  const auto value = take_number(text);
  if (!value) return std::nullopt;
  text = trim(text);
  if (text.empty()) return *value;
  for (const auto& [name, factor] : kSize) {
    if (!iequals(text, name)) continue;
    if (*value > UINT64_MAX / factor) return std::nullopt;
    return *value * factor;
  }
  return std::nullopt;
}

std::string format_size(std::uint64_t octets) {
  for (const auto& [name, factor] : kSize) {
    if (octets >= factor && octets % factor == 0) return fmt::format("{} {}", octets / factor, name);
  }
  return "0 B";
}

}  // namespace core
