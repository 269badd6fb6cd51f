#include "forwarder/masking.hpp"

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <utility>

#include "core/text.hpp"
#include "mail/address.hpp"
#include "mail/punycode.hpp"
#include "mail/utf8.hpp"

namespace forwarder {
namespace {

using Positions = std::vector<std::size_t>;  // where in the text the match may have come to; ascending, no doubles

constexpr std::size_t kMaxLines = 20;  // interface.md §6.10

void add(Positions& positions, std::size_t at) {
  if (std::ranges::find(positions, at) == positions.end()) positions.push_back(at);
}

std::optional<unsigned> hex_value(std::string_view digits) {
  unsigned value = 0;
  for (const char c : digits) {
    const char l = core::to_lower(c);
    if (!core::is_digit(l) && (l < 'a' || l > 'f')) return std::nullopt;
    value = value * 16 + static_cast<unsigned>(core::is_digit(l) ? l - '0' : l - 'a' + 10);
  }
  return value;
}

struct Escape {
  char octet = 0;
  std::size_t length = 0;  // 0: none
};

Escape hex_escape(std::string_view text, std::string_view prefix, std::size_t digits) {
  if (!core::istarts_with(text, prefix) || text.size() < prefix.size() + digits) return {};
  const auto value = hex_value(text.substr(prefix.size(), digits));
  if (!value || *value > 0xff) return {};
  return {static_cast<char>(*value), prefix.size() + digits};
}

// "&#64;"
Escape entity(std::string_view text) {
  if (!text.starts_with("&#")) return {};
  const auto end = text.substr(0, 8).find(';');
  if (end == std::string_view::npos || end < 3) return {};
  const auto digits = text.substr(2, end - 2);
  const auto value =
      core::to_lower(digits.front()) == 'x' ? hex_value(digits.substr(1)) : [&]() -> std::optional<unsigned> {
    const auto number = core::parse_number(digits);
    if (!number || *number > 0xff) return std::nullopt;
    return static_cast<unsigned>(*number);
  }();
  if (!value || *value > 0xff) return {};
  return {static_cast<char>(*value), end + 1};
}

// One octet written as an escape at the start of `text`: xtext (RFC 3461 §4), URL, quoted-printable, C, JSON, HTML.
Escape escape_at(std::string_view text) {
  if (text.empty()) return {};
  switch (text.front()) {
    case '+':
      return hex_escape(text, "+", 2);
    case '%':
      return hex_escape(text, "%", 2);
    case '=':
      return hex_escape(text, "=", 2);
    case '\\': {
      const auto c = hex_escape(text, "\\x", 2);
      return c.length ? c : hex_escape(text, "\\u00", 2);
    }
    case '&':
      return entity(text);
    default:
      return {};
  }
}

bool is_word(char c) {
  return core::is_alnum(c) || core::is_8bit(c);
}

// Does a word end right before `at`? An escape there may be read either way; then it is a border.
bool word_before(std::string_view text, std::size_t at) {
  if (at == 0 || !is_word(text[at - 1])) return false;
  for (const std::size_t length : {std::size_t{3}, std::size_t{4}, std::size_t{6}}) {
    if (at < length) break;
    const auto escape = escape_at(text.substr(at - length, length));
    if (escape.length == length && !is_word(escape.octet)) return false;
  }
  return true;
}

// The label that starts at `at` has more before it: "notgmail", "my-gmail", "my_gmail".
bool label_before(std::string_view text, std::size_t at) {
  if (at > 1 && (text[at - 1] == '-' || text[at - 1] == '_')) return word_before(text, at - 1);
  return word_before(text, at);
}

// The domain that ends before `at` goes on: "gmail.example.net", "gmail.examples", "gmail.example-x".
bool domain_goes_on(std::string_view text, std::size_t at) {
  if (at == text.size()) return false;
  if (is_word(text[at])) return true;
  const bool joins = text[at] == '.' || text[at] == '-' || text[at] == '_';
  return joins && at + 1 < text.size() && is_word(text[at + 1]);
}

// How `wanted` (folded) may be written at `at`: as it is in either case, as escapes of its octets, or, above ASCII, as
// the question marks that mail::ReplyParser made of it. Adds what comes behind.
void step(std::string_view text, std::size_t at, char32_t wanted, Positions& out) {
  if (at >= text.size()) return;
  const auto rest = text.substr(at);
  if (const auto literal = mail::first_code_point(rest); literal.length && mail::fold_case(literal.value) == wanted) {
    add(out, at + literal.length);
  }
  if (wanted < 0x80) {
    const auto escape = escape_at(rest);
    if (escape.length && mail::fold_case(static_cast<unsigned char>(escape.octet)) == wanted)
      add(out, at + escape.length);
    return;
  }
  const std::size_t octets = mail::to_utf8(std::u32string(1, wanted)).size();
  if (rest.substr(0, octets) == std::string(octets, '?')) add(out, at + octets);
  std::string decoded;
  std::size_t end = at;
  while (decoded.size() < octets) {
    const auto escape = escape_at(text.substr(end));
    if (!escape.length) return;
    decoded += escape.octet;
    end += escape.length;
  }
  const auto point = mail::first_code_point(decoded);
  if (point.length == octets && mail::fold_case(point.value) == wanted) add(out, end);
}

// A quick look before anything is allocated, for almost every octet of a text starts nothing: can a spelling of
// `wanted` begin at `at`?
bool may_begin(std::string_view text, std::size_t at, char32_t wanted) {
  const char c = text[at];
  if (mail::fold_case(static_cast<unsigned char>(c)) == wanted) return true;
  if (wanted >= 0x80 && (core::is_8bit(c) || c == '?')) return true;
  if (c == '\\' && at + 1 < text.size() && text[at + 1] != '\\' && may_begin(text, at + 1, wanted)) return true;
  const auto escape = escape_at(text.substr(at));
  return escape.length && (wanted >= 0x80 || mail::fold_case(static_cast<unsigned char>(escape.octet)) == wanted);
}

enum class Backslash { no, may_quote };  // RFC 5321 §4.1.2 quoted-pairSMTP

Positions match(std::string_view text, Positions from, std::u32string_view wanted, Backslash backslash) {
  Positions next;
  for (const char32_t c : wanted) {
    next.clear();
    for (const auto at : from) {
      step(text, at, c, next);
      if (backslash == Backslash::may_quote && at < text.size() && text[at] == '\\') step(text, at + 1, c, next);
    }
    from.swap(next);
    if (from.empty()) break;
  }
  return from;
}

// A hidden address made ready for comparing.
class Pattern {
 public:
  Pattern(const Mask& mask, std::size_t at_sign)
      : shown_(mask.shown), shown_domain_(mask.shown.substr(std::min(mask.shown.rfind('@') + 1, mask.shown.size()))) {
    const mail::Mailbox hidden{mask.hidden.substr(0, at_sign), mask.hidden.substr(at_sign + 1)};
    const auto local = hidden.unquoted_local();
    local_ = fold(local);
    // Our own SRS senders' domain is public, and names us where an upstream speaks of our host.
    const bool srs = core::istarts_with(local, "SRS0") || core::istarts_with(local, "SRS1");
    domain_is_hidden_ = !(srs && local.size() > 4 && std::string_view("=-+").find(local[4]) != std::string_view::npos);
    for (const auto label : core::split(hidden.domain, '.')) labels_.push_back(spellings_of_label(label));
  }

  const std::string& shown() const { return shown_; }
  const std::string& shown_domain() const { return shown_domain_; }
  bool domain_is_hidden() const { return domain_is_hidden_; }

  struct Found {
    std::size_t domain = 0, end = 0;  // where the domain begins, and what is behind it
  };

  // The longest spelling of the address that starts at `at`.
  std::optional<Found> address_at(std::string_view text, std::size_t at) const {
    std::optional<Found> best;
    const auto consider = [&](const Positions& locals) {
      for (const auto separator : behind_separator(text, locals)) {
        const auto end = domain_at(text, separator);
        if (end && (!best || *end > best->end)) best = Found{separator, *end};
      }
    };
    if (local_.empty() || may_begin(text, at, local_.front())) {
      consider(match(text, {at}, local_, Backslash::may_quote));
    }
    for (const auto* quote : {U"\"", U"'"}) {
      if (!may_begin(text, at, *quote)) continue;
      if (const auto open = match(text, {at}, quote, Backslash::may_quote); !open.empty()) {
        consider(match(text, match(text, open, local_, Backslash::may_quote), quote, Backslash::may_quote));
      }
    }
    return best;
  }

  // The longest spelling of the domain that starts at `at`.
  std::optional<std::size_t> domain_at(std::string_view text, std::size_t at) const {
    const auto may_be = [&](const std::u32string& label) {
      return label.empty() || may_begin(text, at, label.front());
    };
    if (at == text.size() || std::ranges::none_of(labels_.front(), may_be)) return std::nullopt;
    Positions positions{at};
    for (std::size_t i = 0; i < labels_.size(); ++i) {
      if (i > 0) positions = match(text, positions, U".", Backslash::no);
      Positions next;
      for (const auto& spelling : labels_[i]) {
        for (const auto end : match(text, positions, spelling, Backslash::no)) add(next, end);
      }
      positions = std::move(next);
    }
    if (positions.empty()) return std::nullopt;
    return *std::ranges::max_element(positions);
  }

 private:
  static std::u32string fold(std::string_view text) {
    std::u32string result;
    while (!text.empty()) {
      const auto point = mail::first_code_point(text);
      result += mail::fold_case(point.length ? point.value : char32_t{0xfffd});
      text.remove_prefix(std::max<std::size_t>(point.length, 1));
    }
    return result;
  }

  static std::vector<std::u32string> spellings_of_label(std::string_view label) {
    std::vector<std::u32string> result{fold(label)};
    std::optional<std::string> other;
    if (core::istarts_with(label, "xn--")) {
      if (const auto decoded = mail::punycode_decode(label.substr(4))) other = mail::to_utf8(*decoded);
    } else if (core::has_8bit(label)) {
      if (const auto encoded = mail::punycode_encode(result.front())) other = "xn--" + *encoded;
    }
    if (other) result.push_back(fold(*other));
    return result;
  }

  // "alice%gmail.example" is the percent hack; people write the other forms.
  static Positions behind_separator(std::string_view text, const Positions& from) {
    Positions result = match(text, from, U"@", Backslash::no);
    for (const std::u32string_view separator : {U"%", U" @ ", U" at ", U"(at)", U"[at]"}) {
      for (const auto end : match(text, from, separator, Backslash::no)) add(result, end);
    }
    return result;
  }

  std::string shown_, shown_domain_;
  std::u32string local_;
  std::vector<std::vector<std::u32string>> labels_;  // each with its spellings
  bool domain_is_hidden_ = true;
};

class Masker {
 public:
  explicit Masker(const std::vector<Mask>& masks) {
    for (const auto& mask : masks) {
      const auto at_sign = mask.hidden.rfind('@');
      if (at_sign != std::string::npos && at_sign + 1 < mask.hidden.size()) patterns_.emplace_back(mask, at_sign);
    }
  }

  std::string operator()(std::string_view text) const {
    Work work{text, 0, 0, {}};
    while (work.at < text.size()) {
      if (!replace_address(work) && !replace_domain(work)) work.out += text[work.at++];
    }
    return std::move(work.out);
  }

 private:
  struct Work {
    std::string_view text;
    std::size_t at;        // what is before it is done
    std::size_t replaced;  // where the last replacement ended
    std::string out;

    void replace(std::size_t end, std::string_view by) {
      out += by;
      at = replaced = end;
    }
    bool bracketed(std::size_t end) const { return at > 0 && text[at - 1] == '<' && text.substr(end).starts_with('>'); }
  };

  // Addresses are replaced also where the text goes on right behind them: better one word too odd than one leak.
  bool replace_address(Work& work) const {
    const Pattern* best = nullptr;
    Pattern::Found found{work.at, work.at};
    for (const auto& pattern : patterns_) {
      const auto here = pattern.address_at(work.text, work.at);
      if (here && here->end > found.end) {
        best = &pattern;
        found = *here;
      }
    }
    if (!best) return false;
    const bool longer = is_word(work.text[work.at]) && work.at > work.replaced && word_before(work.text, work.at);
    if (longer && best->domain_is_hidden()) {
      // The end of a longer local part: another address, of which only the domain is hidden.
      work.out += work.text.substr(work.at, found.domain - work.at);
      work.replace(found.end, best->shown_domain());
    } else if (best->shown().empty()) {
      work.replace(found.end, work.bracketed(found.end) ? "" : "<>");
    } else {
      work.replace(found.end, best->shown());
    }
    return true;
  }

  bool replace_domain(Work& work) const {
    if (label_before(work.text, work.at)) return false;
    const Pattern* best = nullptr;
    std::size_t end = work.at;
    for (const auto& pattern : patterns_) {
      if (!pattern.domain_is_hidden()) continue;
      const auto here = pattern.domain_at(work.text, work.at);
      if (here && *here > end && !domain_goes_on(work.text, *here)) {
        best = &pattern;
        end = *here;
      }
    }
    if (!best) return false;
    work.replace(end, best->shown_domain());
    return true;
  }

  std::vector<Pattern> patterns_;
};

// errors = "code-only"
std::string own_text(const mail::Reply& reply) {
  if (reply.permanent()) return "The destination refused";
  if (reply.transient()) return "The destination cannot take this now";
  return "The destination answered";
}

}  // namespace

std::string mask_text(std::string_view text, const std::vector<Mask>& masks) {
  return Masker(masks)(text);
}

mail::Reply present(const mail::Reply& reply, ErrorDetail detail, const std::vector<Mask>& masks, std::string_view id) {
  mail::Reply result = reply;
  if (detail == ErrorDetail::code_only) result.lines = {own_text(reply)};
  if (result.lines.size() > kMaxLines) result.lines.resize(kMaxLines);
  if (detail == ErrorDetail::masked) {
    const Masker masker(masks);
    for (auto& line : result.lines) line = masker(line);
  }
  if (result.lines.empty()) result.lines.emplace_back();
  auto& last = result.lines.back();
  last += last.empty() ? "[upstream" : " [upstream";
  if (!id.empty()) last += ' ' + std::string(id);
  last += ']';
  return result;
}

}  // namespace forwarder
