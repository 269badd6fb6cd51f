#include "mail/address.hpp"

#include "core/ip.hpp"
#include "core/text.hpp"
#include "mail/utf8.hpp"

namespace mail {
namespace {

constexpr std::size_t kMaxLabel = 63;
// An A-label is "xn--" and at least one letter for each code point of its U-label (RFC 3492).
constexpr std::size_t kMaxLabelPoints = kMaxLabel - 4;

constexpr bool is_atext(char c) {
  return core::is_alnum(c) || std::string_view("!#$%&'*+-/=?^_`{|}~").find(c) != std::string_view::npos;
}

// What no U-label can hold (RFC 5892): spaces, look-alikes of dots and hyphens, and compatibility forms that IDNA maps
// away. A full table is not needed here: a name that is not one finds no MX.
bool fits_label(char32_t c) {
  struct Range {
    char32_t first, last;
  };
  static constexpr Range kRefused[] = {
      {0x0000, 0x00a0}, {0x00ad, 0x00ad}, {0x2000, 0x200b}, {0x200e, 0x206f}, {0x2460, 0x24ff}, {0x3000, 0x3004},
      {0xe000, 0xf8ff}, {0xfe00, 0xfe1f}, {0xfe30, 0xfe6f}, {0xfeff, 0xfeff}, {0xff00, 0xffff}, {0xe0000, 0x10ffff},
  };
  for (const auto& range : kRefused) {
    if (c >= range.first && c <= range.last) return false;
  }
  return true;
}

bool is_label(std::string_view label, Utf8 utf8) {
  if (label.empty() || label.front() == '-' || label.back() == '-') return false;
  std::size_t points = 0;
  bool ascii = true;
  for (std::size_t i = 0; i < label.size(); ++points) {
    const char c = label[i];
    if (core::is_alnum(c) || c == '-') {
      ++i;
      continue;
    }
    if (!core::is_8bit(c) || utf8 == Utf8::no) return false;
    const auto point = first_code_point(label.substr(i));
    if (point.length == 0 || !fits_label(point.value)) return false;
    ascii = false;
    i += point.length;
  }
  return points <= (ascii ? kMaxLabel : kMaxLabelPoints);
}

bool is_dot_string(std::string_view local, Utf8 utf8) {
  if (local.empty() || local.front() == '.' || local.back() == '.') return false;
  bool dot = false;
  for (const char c : local) {
    if (c == '.') {
      if (dot) return false;
      dot = true;
      continue;
    }
    dot = false;
    if (!is_atext(c) && (utf8 == Utf8::no || !core::is_8bit(c))) return false;
  }
  return utf8 == Utf8::no || is_plain_utf8(local);
}

// RFC 5321 §4.1.2 Quoted-string with RFC 6531 §3.3: the length of the one `text` starts with, 0 when there is none.
std::size_t quoted_string_length(std::string_view text, Utf8 utf8) {
  if (text.empty() || text.front() != '"') return 0;
  for (std::size_t i = 1; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') return utf8 == Utf8::no || is_plain_utf8(text.substr(0, i)) ? i + 1 : 0;
    if (c == '\\') {
      ++i;
      if (i == text.size() || text[i] < ' ' || text[i] > '~') return 0;
    } else if (core::is_8bit(c) ? utf8 == Utf8::no : (c < ' ' || c > '~')) {
      return 0;
    }
  }
  return 0;
}

// Takes "@a,@b:" off the front; a route that is not well-formed stays, and the mailbox is then refused.
std::string_view without_route(std::string_view path, Utf8 utf8) {
  if (path.empty() || path.front() != '@') return path;
  const auto colon = path.find(':');
  if (colon == std::string_view::npos) return path;
  for (const auto hop : core::split(path.substr(0, colon), ',')) {
    if (hop.empty() || hop.front() != '@' || !is_domain(hop.substr(1), utf8)) return path;
  }
  return path.substr(colon + 1);
}

// The inside of "<...>".
core::Result<std::string_view> inside(std::string_view text) {
  if (text.size() < 2 || text.front() != '<' || text.back() != '>') return core::Errc::malformed;
  return text.substr(1, text.size() - 2);
}

}  // namespace

std::string Mailbox::unquoted_local() const {
  if (local.size() < 2 || local.front() != '"') return local;
  std::string out;
  for (std::size_t i = 1; i + 1 < local.size(); ++i) {
    if (local[i] == '\\' && i + 2 < local.size()) ++i;
    out += local[i];
  }
  return out;
}

bool Mailbox::is_ascii() const {
  return !core::has_8bit(local) && !core::has_8bit(domain);
}

core::Result<Mailbox> parse_mailbox(std::string_view text, Utf8 utf8) {
  if (text.size() > kMaxPath) return core::Errc::malformed;
  const bool quoted = !text.empty() && text.front() == '"';
  const auto at = quoted ? quoted_string_length(text, utf8) : text.find('@');
  if (at == 0 || at >= text.size() || text[at] != '@') return core::Errc::malformed;
  const auto local = text.substr(0, at);
  const auto domain = text.substr(at + 1);
  if (local.size() > kMaxLocalPart || (!quoted && !is_dot_string(local, utf8))) return core::Errc::malformed;
  if (!is_domain(domain, utf8) && !is_address_literal(domain)) return core::Errc::malformed;
  return Mailbox{std::string(local), std::string(domain)};
}

core::Result<Mailbox> make_mailbox(std::string_view unquoted_local, std::string_view domain, Utf8 utf8) {
  std::string text;
  if (is_dot_string(unquoted_local, utf8)) {
    text = unquoted_local;
  } else {
    text = '"';
    for (const char c : unquoted_local) {
      if (c == '"' || c == '\\') text += '\\';
      text += c;
    }
    text += '"';
  }
  text += '@';
  text += domain;
  return parse_mailbox(text, utf8);
}

core::Result<ReversePath> parse_reverse_path(std::string_view text, Utf8 utf8) {
  const auto path = inside(text);
  if (!path) return path.error();
  if (path->empty()) return ReversePath{};
  auto mailbox = parse_mailbox(without_route(*path, utf8), utf8);
  if (!mailbox) return mailbox.error();
  return ReversePath{std::move(*mailbox)};
}

core::Result<ForwardPath> parse_forward_path(std::string_view text, Utf8 utf8) {
  const auto path = inside(text);
  if (!path) return path.error();
  // RFC 5321 §4.1.1.3, §4.5.1: the only recipient that needs no domain.
  if (core::iequals(*path, "postmaster")) return ForwardPath{Mailbox{std::string(*path), {}}};
  auto mailbox = parse_mailbox(without_route(*path, utf8), utf8);
  if (!mailbox) return mailbox.error();
  return ForwardPath{std::move(*mailbox)};
}

bool is_domain(std::string_view text, Utf8 utf8) {
  if (text.empty() || text.size() > kMaxDomain) return false;
  for (;;) {
    const auto dot = text.find('.');
    if (!is_label(text.substr(0, dot), utf8)) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

bool is_address_literal(std::string_view text) {
  if (text.size() < 3 || text.front() != '[' || text.back() != ']') return false;
  text = text.substr(1, text.size() - 2);
  constexpr std::string_view kTag = "IPv6:";
  if (core::istarts_with(text, kTag)) {
    const auto ip = core::IpAddress::parse(text.substr(kTag.size()));
    return ip && ip->is_v6();
  }
  // RFC 5321 §4.1.3: a General-address-literal needs a registered tag, and IPv6 is the only one there is.
  const auto ip = core::IpAddress::parse(text);
  return ip && ip->is_v4();
}

}  // namespace mail
