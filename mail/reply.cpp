#include "mail/reply.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "core/text.hpp"
#include "mail/reasons.hpp"

namespace mail {
namespace {

constexpr std::size_t kMaxWireLine = 512;  // RFC 5321 §4.5.3.1.5, CRLF included
constexpr std::size_t kMaxWireLines = 20;
constexpr int kFallbackCode = 451;  // for a reply without a code: a bug of ours must not read as success

// "d.ddd.ddd" at the start, followed by a blank or the end, whatever the class: how many octets, 0 when it is none.
std::size_t enhanced_form(std::string_view text, EnhancedCode& out) {
  std::size_t at = 0;
  std::uint16_t parts[3] = {};
  for (std::size_t part = 0; part < 3; ++part) {
    if (part > 0) {
      if (at == text.size() || text[at] != '.') return 0;
      ++at;
    }
    const std::size_t most = part == 0 ? 1 : 3;
    std::size_t digits = 0;
    while (digits < most && at < text.size() && core::is_digit(text[at])) {
      parts[part] = static_cast<std::uint16_t>(parts[part] * 10 + (text[at] - '0'));
      ++digits;
      ++at;
    }
    if (digits == 0) return 0;
  }
  if (at < text.size() && text[at] != ' ' && text[at] != '\t') return 0;
  out = {parts[0], parts[1], parts[2]};
  return at;
}

constexpr bool is_enhanced_class(int klass) {
  return klass == 2 || klass == 4 || klass == 5;
}

// What may stand beside `code` (RFC 2034 §4, threats UP-06): the same class, or X.0.0.
EnhancedCode fitting(EnhancedCode enhanced, int code) {
  const int klass = code / 100;
  if (!enhanced || !is_enhanced_class(klass)) return {};
  if (enhanced.klass != klass || enhanced.subject > 999 || enhanced.detail > 999) {
    return {static_cast<std::uint16_t>(klass), 0, 0};
  }
  return enhanced;
}

// Where to break a text that is longer than `room`: at a blank, but never inside a final "[reason id]".
std::size_t break_at(std::string_view text, std::size_t room) {
  std::size_t most = room;
  if (text.back() == ']') {
    const auto tag = text.rfind(" [");
    if (tag != std::string_view::npos && tag > 0 && tag < room && text.size() - tag - 1 <= room) most = tag;
  }
  const auto blank = text.rfind(' ', most);
  return blank == std::string_view::npos || blank == 0 ? room : blank;
}

void wrap(std::string_view text, std::size_t room, std::vector<std::string_view>& out) {
  while (text.size() > room) {
    const auto at = break_at(text, room);
    out.push_back(text.substr(0, at));
    text.remove_prefix(at);
    if (text.front() == ' ') text.remove_prefix(1);
  }
  out.push_back(text);
}

bool is_code(std::string_view line) {
  return line.size() >= 3 && line[0] >= '2' && line[0] <= '5' && core::is_digit(line[1]) && core::is_digit(line[2]);
}

}  // namespace

std::string EnhancedCode::to_string() const {
  return fmt::format("{}.{}.{}", klass, subject, detail);
}

std::optional<EnhancedCode> parse_enhanced_code(std::string_view text) {
  EnhancedCode code;
  if (enhanced_form(text, code) == 0 || !is_enhanced_class(code.klass)) return std::nullopt;
  return code;
}

std::string Reply::to_wire() const {
  const int number = code >= 200 && code <= 599 ? code : kFallbackCode;
  const auto status = fitting(enhanced, number);
  const auto head = fmt::format("{}", number);
  const auto second = status ? status.to_string() : std::string();
  const std::size_t room = kMaxWireLine - 2 - head.size() - 1 - (status ? second.size() + 1 : 0);

  std::vector<std::string> clean;
  clean.reserve(lines.size());
  for (const auto& line : lines) clean.push_back(core::printable(line));
  if (clean.empty()) clean.emplace_back();
  std::vector<std::string_view> wire;
  for (const auto& line : clean) {
    wrap(line, room, wire);
    if (wire.size() > 4 * kMaxWireLines) break;
  }
  if (wire.size() > kMaxWireLines) {
    // The last line says why and who (our "[reason id]"): it stays, what is before it is cut.
    std::vector<std::string_view> tail;
    wrap(clean.back(), room, tail);
    wire.resize(kMaxWireLines - 1);
    wire.push_back(tail.back());
  }

  std::string out;
  for (std::size_t i = 0; i < wire.size(); ++i) {
    out += head;
    out += i + 1 < wire.size() ? '-' : ' ';
    out += second;
    if (status && !wire[i].empty()) out += ' ';
    out += wire[i];
    out += "\r\n";
  }
  return out;
}

std::string Reply::to_log() const {
  auto out = fmt::format("{}", code);
  if (enhanced) out += ' ' + enhanced.to_string();
  const char* separator = " ";
  for (const auto& line : lines) {
    out += separator;
    out += core::printable(line);
    separator = " / ";
  }
  return out;
}

Reply make_refusal(int code, EnhancedCode enhanced, std::string_view text, std::string_view reason,
                   std::string_view id) {
  assert(is_declared(reason, code, enhanced));
  return Reply(code, enhanced, fmt::format("{} [{}{}{}]", text, reason, id.empty() ? "" : " ", id));
}

core::Result<std::optional<Reply>> ReplyParser::feed(std::string_view input, std::size_t& consumed) {
  consumed = 0;
  if (failed_) return core::Errc::protocol;
  while (consumed < input.size()) {
    const char c = input[consumed++];
    if (++octets_ > kMaxOctets || (c == '\n') != cr_) {
      failed_ = true;
      return core::Errc::protocol;
    }
    cr_ = c == '\r';
    if (cr_) continue;
    if (c != '\n') {
      line_ += c;
      continue;
    }
    auto done = line_done();
    if (!done || *done) return done;
  }
  return std::optional<Reply>();
}

core::Result<std::optional<Reply>> ReplyParser::line_done() {
  // RFC 5321 §4.2: Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
  const std::string_view line = line_;
  const bool valid = is_code(line) && (line.size() == 3 || line[3] == ' ' || line[3] == '-');
  const int code = valid ? (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0') : 0;
  if (!valid || (reply_.code != 0 && reply_.code != code)) {
    failed_ = true;
    return core::Errc::protocol;
  }
  const bool last = line.size() == 3 || line[3] == ' ';
  reply_.code = code;

  auto text = line.substr(std::min<std::size_t>(4, line.size()));
  EnhancedCode found;
  if (const auto length = enhanced_form(text, found); length > 0) {
    if (!reply_.enhanced && is_enhanced_class(found.klass) && found.klass == code / 100) reply_.enhanced = found;
    text.remove_prefix(std::min(length + 1, text.size()));
  }
  if (reply_.lines.size() < max_lines_ && (text_ < max_text_ || reply_.lines.empty())) {
    text = text.substr(0, max_text_ - std::min(text_, max_text_));
    text_ += text.size();
    reply_.lines.push_back(core::printable(text));
  }
  line_.clear();
  if (!last) return std::optional<Reply>();

  // UP-06: no code, or one of another class: the general one of the reply's class.
  if (!reply_.enhanced && is_enhanced_class(code / 100)) {
    reply_.enhanced = {static_cast<std::uint16_t>(code / 100), 0, 0};
  }
  std::optional<Reply> reply(std::move(reply_));
  reset();
  return reply;
}

void ReplyParser::reset() {
  line_.clear();
  reply_ = Reply();
  octets_ = text_ = 0;
  cr_ = failed_ = false;
}

}  // namespace mail
