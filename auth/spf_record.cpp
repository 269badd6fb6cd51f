#include "auth/spf_record.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "auth/spf_macro.hpp"
#include "core/text.hpp"

namespace auth {
namespace {

constexpr std::string_view kVersion = "v=spf1";
using Kind = SpfTerm::Kind;

// "0" or a number without leading zeros (the suite's reading of §5.6), at most `most`.
std::optional<unsigned> cidr_length(std::string_view digits, unsigned most) {
  if (digits.empty() || digits.size() > 3 || (digits.size() > 1 && digits.front() == '0')) return std::nullopt;
  const auto number = core::parse_number(digits);
  if (!number || *number > most) return std::nullopt;
  return static_cast<unsigned>(*number);
}

// §5.6: dual-cidr-length off the end of `rest`, which keeps what stands before it. False: a length that is none.
bool take_dual_cidr(std::string_view& rest, SpfTerm& term) {
  const auto digits_after = [&](std::size_t slash) {
    return slash != std::string_view::npos && slash + 1 < rest.size() &&
           std::all_of(rest.begin() + static_cast<std::ptrdiff_t>(slash) + 1, rest.end(), core::is_digit);
  };
  auto slash = rest.rfind('/');
  if (digits_after(slash) && slash > 0 && rest[slash - 1] == '/') {
    const auto length = cidr_length(rest.substr(slash + 1), 128);
    if (!length) return false;
    term.length6 = *length;
    rest = rest.substr(0, slash - 1);
    slash = rest.rfind('/');
  }
  if (digits_after(slash)) {
    const auto length = cidr_length(rest.substr(slash + 1), 32);
    if (!length) return false;
    term.length4 = *length;
    rest = rest.substr(0, slash);
  }
  return true;
}

// ":" domain-spec, or nothing where that is allowed.
bool take_domain(std::string_view rest, bool optional, SpfTerm& term) {
  if (rest.empty()) return optional;
  if (rest.front() != ':' || !is_domain_spec(rest.substr(1))) return false;
  term.domain = rest.substr(1);
  return true;
}

bool take_network(std::string_view rest, SpfTerm& term) {
  if (rest.empty() || rest.front() != ':') return false;
  rest.remove_prefix(1);
  const unsigned most = term.kind == Kind::ip4 ? 32 : 128;
  const auto slash = rest.find('/');
  const auto address = core::IpAddress::parse(rest.substr(0, slash));
  if (!address || address->is_v4() != (term.kind == Kind::ip4)) return false;
  const auto length = slash == std::string_view::npos ? most : cidr_length(rest.substr(slash + 1), most);
  if (!length) return false;
  term.network = {address->masked(*length), *length};
  return true;
}

std::optional<SpfTerm> parse_mechanism(std::string_view text) {
  static constexpr std::pair<std::string_view, Kind> kNames[] = {
      {"all", Kind::all}, {"include", Kind::include}, {"a", Kind::a},     {"mx", Kind::mx},
      {"ptr", Kind::ptr}, {"ip4", Kind::ip4},         {"ip6", Kind::ip6}, {"exists", Kind::exists}};
  SpfTerm term;
  term.text = text;
  auto rest = text;
  switch (rest.front()) {
    case '-':
      term.verdict = Verdict::fail;
      break;
    case '~':
      term.verdict = Verdict::softfail;
      break;
    case '?':
      term.verdict = Verdict::neutral;
      break;
    default:
      break;
  }
  if (term.verdict != Verdict::pass || rest.front() == '+') rest.remove_prefix(1);
  const auto end = std::min(rest.find_first_of(":/"), rest.size());
  const auto* name = std::find_if(std::begin(kNames), std::end(kNames),
                                  [&](const auto& entry) { return core::iequals(entry.first, rest.substr(0, end)); });
  if (name == std::end(kNames)) return std::nullopt;
  term.kind = name->second;
  rest.remove_prefix(end);
  bool good = false;
  switch (term.kind) {
    case Kind::all:
      good = rest.empty();
      break;
    case Kind::include:
    case Kind::exists:
      good = take_domain(rest, false, term);
      break;
    case Kind::ptr:
      good = take_domain(rest, true, term);
      break;
    case Kind::a:
    case Kind::mx:
      good = take_dual_cidr(rest, term) && take_domain(rest, true, term);
      break;
    case Kind::ip4:
    case Kind::ip6:
      good = take_network(rest, term);
      break;
  }
  if (!good) return std::nullopt;
  return term;
}

// §4.6.1: a name directly followed by "=" makes a modifier, whatever else is in the term.
std::optional<std::string_view> modifier_name(std::string_view term) {
  if (!core::is_alpha(term.front())) return std::nullopt;
  std::size_t size = 1;
  while (size < term.size() &&
         (core::is_alnum(term[size]) || term[size] == '-' || term[size] == '_' || term[size] == '.')) {
    ++size;
  }
  if (size == term.size() || term[size] != '=') return std::nullopt;
  return term.substr(0, size);
}

// §6: redirect and exp at most once each.
bool take_modifier(std::string_view name, std::string_view value, SpfRecord& record) {
  if (!core::iequals(name, "redirect") && !core::iequals(name, "exp")) {
    return is_macro_string(value, MacroUse::any_letter);
  }
  auto& slot = core::iequals(name, "exp") ? record.exp : record.redirect;
  if (!slot.empty() || !is_domain_spec(value)) return false;
  slot = value;
  return true;
}

}  // namespace

bool is_spf_record(std::string_view text) {
  return core::istarts_with(text, kVersion) && (text.size() == kVersion.size() || text[kVersion.size()] == ' ');
}

SpfRecord parse_spf_record(std::string_view text) {
  constexpr std::size_t kShown = 60;
  SpfRecord record;
  bool all = false;
  text.remove_prefix(kVersion.size());
  // terms = *( 1*SP term ): the blank alone separates, so that any other octet is part of a term.
  while (!text.empty()) {
    if (text.front() == ' ') {
      text.remove_prefix(1);
      continue;
    }
    const auto word = text.substr(0, text.find(' '));
    text.remove_prefix(word.size());
    bool good = true;
    if (const auto name = modifier_name(word)) {
      good = take_modifier(*name, word.substr(name->size() + 1), record);
    } else if (const auto term = parse_mechanism(word)) {
      if (!all) record.terms.push_back(*term);
      all = all || term->kind == Kind::all;
    } else {
      good = false;
    }
    if (!good) {
      record.error = "syntax error in " + core::printable(word.substr(0, kShown));
      return record;
    }
  }
  if (all) record.redirect = {};
  return record;
}

}  // namespace auth
