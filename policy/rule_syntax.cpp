#include "policy/rule_syntax.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/text.hpp"

namespace policy {
namespace {

constexpr std::size_t kMaxSeparators = 8;
constexpr std::size_t kMaxGlob = 320;

std::string shown(std::string_view text) {
  return "\"" + core::printable(text.substr(0, 100)) + "\"";
}

}  // namespace

std::string plain_local(std::string_view text) {
  const bool quoted = text.size() >= 2 && text.front() == '"';
  const auto mailbox = quoted ? mail::parse_mailbox(std::string(text) + "@x.example", mail::Utf8::yes)
                              : mail::make_mailbox(text, "x.example", mail::Utf8::yes);
  return mailbox && !text.empty() ? core::lower(mailbox->unquoted_local()) : std::string();
}

core::Explained<Destination> parse_destination(std::string_view text, int captures) {
  if (text.find('@') == std::string_view::npos) {
    return core::Problem{fmt::format("{} has no domain; write local@domain", shown(text))};
  }
  auto mailbox = mail::parse_mailbox(text, mail::Utf8::yes);
  if (!mailbox) return core::Problem{fmt::format("{} is no mail address; write local@domain", shown(text))};
  if (core::has_8bit(mailbox->domain)) {
    return core::Problem{fmt::format("{}: write the domain in its ASCII form (xn--...)", shown(text))};
  }
  Destination out{std::move(*mailbox), false};
  if (out.address.domain.find('$') != std::string::npos) {
    return core::Problem{fmt::format("{}: $ may stand left of the @ only", shown(text))};
  }
  const auto& local = out.address.local;
  for (std::size_t i = 0; i + 1 < local.size(); ++i) {
    if (local[i] != '$' || !core::is_digit(local[i + 1])) continue;
    const int number = local[i + 1] - '0';
    if (captures == 0) {
      return core::Problem{fmt::format("{}: ${} needs a pattern with a group (...)", shown(text), number)};
    }
    if (number == 0 || number > captures) {
      return core::Problem{
          fmt::format("{}: ${} is none of the pattern's groups; $1 to ${} are", shown(text), number, captures)};
    }
    out.has_captures = true;
  }
  return out;
}

core::Explained<mail::Reply> parse_reject_reply(std::string_view text) {
  constexpr std::string_view kRight = "write for example \"550 5.1.6 Moved\"";
  const auto code = text.size() >= 3 ? core::parse_number(text.substr(0, 3)) : std::nullopt;
  if (!code || *code < 400 || *code > 599 || (text.size() > 3 && text[3] != ' ')) {
    return core::Problem{fmt::format("must begin with a code from 400 to 599 and a blank; {}", kRight)};
  }
  if (*code == 421 || *code == 521) {
    return core::Problem{
        fmt::format("{} says that the connection is closed, which a rule does not do; use 450 or 550", *code)};
  }
  mail::Reply reply;
  reply.code = static_cast<int>(*code);
  auto rest = core::trim(text.substr(std::min<std::size_t>(4, text.size())));
  // "5.1.6 Moved": three numbers; "2.0 is out" is text.
  const auto word = rest.substr(0, rest.find(' '));
  if (std::count(word.begin(), word.end(), '.') == 2 &&
      std::all_of(word.begin(), word.end(), [](char c) { return c == '.' || core::is_digit(c); })) {
    const auto enhanced = mail::parse_enhanced_code(rest);
    if (!enhanced || enhanced->klass != *code / 100) {
      return core::Problem{
          fmt::format("the enhanced code {} does not fit {}; it must be {}.x.y (RFC 3463)", word, *code, *code / 100)};
    }
    reply.enhanced = *enhanced;
    rest = core::trim(rest.substr(word.size()));
  } else {
    reply.enhanced = {static_cast<std::uint16_t>(*code / 100), 7, 1};
  }
  if (rest.empty()) return core::Problem{fmt::format("has no text after the code; {}", kRight)};
  if (rest.size() > kMaxReplyText) return core::Problem{fmt::format("is longer than {} octets", kMaxReplyText)};
  if (core::printable(rest) != rest) return core::Problem{"may hold printable ASCII only"};
  reply.lines.emplace_back(rest);
  return reply;
}

std::optional<std::string> separators_problem(std::string_view separators) {
  if (separators.size() > kMaxSeparators) return fmt::format("has more than {} characters", kMaxSeparators);
  for (const char c : separators) {
    if (std::string_view("!#$%&'*+-/=?^_`{|}~").find(c) == std::string_view::npos) {
      return fmt::format("{} cannot separate a tag; use characters such as + or -, or \"\" for off",
                         shown(std::string_view(&c, 1)));
    }
  }
  return std::nullopt;
}

std::optional<std::string> sender_glob_problem(std::string_view glob) {
  if (glob.empty()) return "is empty; write a glob such as \"*@example.org\", or \"<>\" for bounces";
  if (glob.size() > kMaxGlob) return fmt::format("is longer than {} octets", kMaxGlob);
  if (glob == "<>" || glob == "*") return std::nullopt;
  if (glob.find('@') == std::string_view::npos) {
    return fmt::format("{} has no @ and matches no address; write for example \"*@{}\"", shown(glob),
                       core::printable(glob.substr(0, 100)));
  }
  return std::nullopt;
}

bool is_forwarded_name(std::string_view name) {
  if (name.substr(0, 2) == "*.") name.remove_prefix(2);
  return mail::is_domain(name);
}

}  // namespace policy
