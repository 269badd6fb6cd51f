#include "mail/header.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "core/text.hpp"
#include "mail/utf8.hpp"

namespace mail {
namespace {

constexpr std::size_t kNicePart = 78;     // RFC 5322 §2.1.1
constexpr std::size_t kMaxLine = 998;     // without CRLF
constexpr std::size_t kMaxBlankRun = 32;  // longer ones in our own fields become one blank
constexpr std::uint32_t kCrLfCrLf = 0x0d0a0d0a;

constexpr bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

bool is_field_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c <= '~' && c != ':'; });
}

// The octets of the line at the start of `text`, without its CRLF; nothing when it has none, or holds a bare CR or LF,
// or a NUL.
std::optional<std::string_view> take_line(std::string_view& text) {
  const auto end = text.find('\n');
  if (end == std::string_view::npos || end == 0 || text[end - 1] != '\r') return std::nullopt;
  const auto line = text.substr(0, end - 1);
  if (line.find_first_of(std::string_view("\r\0", 2)) != std::string_view::npos) return std::nullopt;
  text.remove_prefix(end + 1);
  return line;
}

// Controls and what is no UTF-8 become '?', an octet for an octet.
std::string clean_text(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto point = first_code_point(text);
    const bool good = point.length > 0 && (!is_control(point.value) || point.value == '\t');
    if (good) {
      out += text.substr(0, point.length);
    } else {
      out.append(std::max<std::size_t>(point.length, 1), '?');
    }
    text.remove_prefix(std::max<std::size_t>(point.length, 1));
  }
  return out;
}

// The longest start of `word` of at most `room` octets that does not cut a UTF-8 sequence.
std::size_t whole_points(std::string_view word, std::size_t room) {
  if (word.size() <= room) return word.size();
  while (room > 1 && (static_cast<unsigned char>(word[room]) & 0xc0) == 0x80) --room;
  return room;
}

}  // namespace

std::string_view HeaderField::value() const {
  auto text = raw.substr(raw.find(':') + 1);
  if (text.ends_with("\r\n")) text.remove_suffix(2);
  return text;
}

core::Result<Headers> Headers::parse(std::string_view section) {
  if (section.size() > kMaxHeaderOctets) return core::Errc::exhausted;
  Headers headers;
  for (auto rest = section; !rest.empty();) {
    const char* const start = rest.data();
    auto line = take_line(rest);
    if (!line) return core::Errc::malformed;
    const auto colon = line->find(':');
    if (colon == std::string_view::npos || !is_field_name(line->substr(0, colon))) return core::Errc::malformed;
    const auto name = line->substr(0, colon);
    while (!rest.empty() && is_blank(rest.front())) {
      line = take_line(rest);
      // A folded line of blanks only: some readers take it for the end of the header (SM-06).
      if (!line || line->find_first_not_of(" \t") == std::string_view::npos) return core::Errc::malformed;
    }
    if (headers.fields_.size() == kMaxHeaderFields) return core::Errc::exhausted;
    headers.fields_.push_back({{start, static_cast<std::size_t>(rest.data() - start)}, name});
  }
  return headers;
}

std::vector<const HeaderField*> Headers::all(std::string_view name) const {
  std::vector<const HeaderField*> found;
  for (const auto& field : fields_) {
    if (core::iequals(field.name, name)) found.push_back(&field);
  }
  return found;
}

const HeaderField* Headers::first(std::string_view name) const {
  for (const auto& field : fields_) {
    if (core::iequals(field.name, name)) return &field;
  }
  return nullptr;
}

std::size_t Headers::count(std::string_view name) const {
  return all(name).size();
}

void Headers::moved_to(std::string_view section) {
  for (auto& field : fields_) {  // they follow each other without a gap
    const auto length = field.raw.size();
    field.raw = section.substr(0, length);
    field.name = field.raw.substr(0, field.name.size());
    section.remove_prefix(length);
  }
}

std::optional<std::uint64_t> HeaderScanner::feed(std::string_view input) {
  for (std::size_t i = 0; !end_ && i < input.size(); ++i) {
    if (i >= 3) {
      // Only a LF can end the header: go to the next one, and look at what is before it.
      const auto lf = input.find('\n', i);
      i = lf == std::string_view::npos ? input.size() - 1 : lf;
      recent_ = 0;
      for (std::size_t k = i - 3; k < i; ++k) recent_ = recent_ << 8 | static_cast<unsigned char>(input[k]);
    }
    recent_ = recent_ << 8 | static_cast<unsigned char>(input[i]);
    if (recent_ == kCrLfCrLf) end_ = seen_ + i + 1;
  }
  seen_ += input.size();
  return end_;
}

std::string unfold(std::string_view value) {
  std::string out;
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (value[i] != '\r' && value[i] != '\n') {
      out += value[i];
      continue;
    }
    while (!out.empty() && is_blank(out.back())) out.pop_back();
    while (i + 1 < value.size() && std::string_view(" \t\r\n").find(value[i + 1]) != std::string_view::npos) ++i;
    out += ' ';
  }
  return std::string(core::trim(out));
}

std::string make_field(std::string_view name, std::string_view text) {
  std::string out;
  for (const char c : name) out += c > ' ' && c <= '~' && c != ':' ? c : '-';
  out += ':';
  const auto clean = clean_text(text);
  std::string_view rest = core::trim(clean);
  std::size_t column = out.size();
  bool first = true;
  while (!rest.empty()) {
    const auto blanks = std::min(rest.find_first_not_of(" \t"), rest.size());
    const auto end = std::min(rest.find_first_of(" \t", blanks), rest.size());
    auto gap = blanks == 0 || blanks > kMaxBlankRun ? std::string_view(" ") : rest.substr(0, blanks);
    auto word = rest.substr(blanks, end - blanks);
    rest.remove_prefix(end);
    // The first word stays beside the name if it can: a line with the name alone confuses simple readers.
    const std::size_t most = first ? kMaxLine : kNicePart;
    if (column + gap.size() + word.size() > most) {
      out += "\r\n";
      column = 0;
    }
    first = false;
    for (;;) {
      const auto part = whole_points(word, kMaxLine - column - gap.size());
      out += gap;
      out += word.substr(0, part);
      column += gap.size() + part;
      word.remove_prefix(part);
      if (word.empty()) break;
      out += "\r\n";  // a word longer than a line may be: cut, which adds a blank
      column = 0;
      gap = " ";
    }
  }
  return out + "\r\n";
}

std::string format_date(std::int64_t unix_seconds) {
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  constexpr std::int64_t kYear9999 = 253'402'300'799;  // the last second that four digits can say
  const std::chrono::sys_seconds time{std::chrono::seconds(std::clamp<std::int64_t>(unix_seconds, 0, kYear9999))};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{}, {} {} {} {:02}:{:02}:{:02} +0000", kDays[std::chrono::weekday(day).c_encoding()],
                     static_cast<unsigned>(date.day()), kMonths[static_cast<unsigned>(date.month()) - 1],
                     static_cast<int>(date.year()), clock.hours().count(), clock.minutes().count(),
                     clock.seconds().count());
}

}  // namespace mail
