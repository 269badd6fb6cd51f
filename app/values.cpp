#include "app/values.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "core/text.hpp"
#include "mail/address.hpp"

namespace app {
namespace {

constexpr unsigned long long kMaxRate = 1'000'000'000;
constexpr std::size_t kMaxUrl = 200;  // it is part of replies (RFC 5321 §4.5.3.1.5: 512 octets a line)
constexpr std::size_t kMaxUser = 32;

}  // namespace

std::optional<Rate> parse_rate(std::string_view text) {
  using Per = Rate::Per;
  static constexpr std::array<std::pair<std::string_view, Per>, 5> kUnits{
      {{"s", Per::second}, {"min", Per::minute}, {"h", Per::hour}, {"d", Per::day}, {"session", Per::session}}};
  if (text == "off") return Rate{};
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto amount = core::parse_number(text.substr(0, slash));
  if (!amount || *amount == 0 || *amount > kMaxRate) return std::nullopt;
  for (const auto& [name, per] : kUnits) {
    if (text.substr(slash + 1) == name) return Rate{static_cast<unsigned>(*amount), per};
  }
  return std::nullopt;
}

policy::RateLimit limit_of(const Rate& rate) {
  policy::RateLimit limit;
  limit.amount = rate.amount;
  switch (rate.per) {
    case Rate::Per::second:
      limit.per = std::chrono::seconds(1);
      break;
    case Rate::Per::hour:
      limit.per = std::chrono::hours(1);
      break;
    case Rate::Per::day:
      limit.per = std::chrono::hours(24);
      break;
    case Rate::Per::minute:
    case Rate::Per::session:
      break;
  }
  return limit;
}

bool is_selector(std::string_view text) {
  return mail::is_domain(text) && text.size() <= 63;
}

std::optional<std::string> url_problem(std::string_view text) {
  const bool known = text.starts_with("https://") || text.starts_with("http://") || text.starts_with("mailto:");
  if (!known || text.find(':') + 3 >= text.size()) return "is no URL; write for example \"https://example.org/help\"";
  if (text.size() > kMaxUrl) return "is longer than 200 octets; it is printed in every refusal";
  if (std::any_of(text.begin(), text.end(), [](char c) { return c <= ' ' || c > '~'; })) {
    return "may hold printable ASCII without blanks only; write other characters as %XX";
  }
  return std::nullopt;
}

bool is_user_name(std::string_view text) {
  if (text.empty() || text.size() > kMaxUser || text.front() == '-' || core::is_digit(text.front())) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return core::is_alnum(c) || c == '_' || c == '-' || c == '.' || c == '$'; });
}

std::optional<core::HostPort> parse_own_endpoint(std::string_view text) {
  auto parsed = core::HostPort::parse(text);
  if (!parsed) return std::nullopt;
  if (parsed->host == "localhost") parsed->host = "127.0.0.1";
  const auto ip = core::IpAddress::parse(parsed->host);
  if (!ip) return std::nullopt;
  parsed->host = ip->to_string();
  return parsed;
}

}  // namespace app
