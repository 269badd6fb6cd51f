#include "core/log.hpp"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

#include "core/text.hpp"

namespace core {
namespace {

constexpr std::size_t kMaxValue = 1024;

// JSON string with everything but printable ASCII and valid UTF-8 escaped. Bidi controls are escaped too, so that a
// terminal shows a line as it is (OP-06).
void append_json(std::string& out, std::string_view value) {
  const bool utf8 = is_utf8(value);
  out += '"';
  for (std::size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    const auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (u < 0x20 || u == 0x7f || (u >= 0x80 && !utf8)) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", u);
    } else if (u == 0xc2 && static_cast<unsigned char>(value[i + 1]) < 0xa0) {  // C1 controls
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned char>(value[++i]));
    } else if (u == 0xe2 && (static_cast<unsigned char>(value[i + 1]) == 0x80 ||
                             static_cast<unsigned char>(value[i + 1]) == 0x81)) {  // U+2000..U+207F: bidi, separators
      const auto code = 0x2000U | ((static_cast<unsigned>(static_cast<unsigned char>(value[i + 1])) & 0x3fU) << 6) |
                        (static_cast<unsigned>(static_cast<unsigned char>(value[i + 2])) & 0x3fU);
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", code);
      i += 2;
    } else {
      out += c;
    }
  }
  out += '"';
}

bool plain_word(std::string_view value) {
  if (value.empty()) return false;
  for (const char c : value) {
    if (c <= 0x20 || c > 0x7e || c == '"' || c == '\\' || c == '=') return false;
  }
  return true;
}

void append_field(std::string& out, LogFormat format, const Field& field) {
  if (format == LogFormat::json) {
    out += ",\"";
    out += field.key;
    out += "\":";
  } else {
    out += ' ';
    out += field.key;
    out += '=';
  }
  std::visit(
      [&](const auto& value) {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, std::string_view>) {
          const auto cut = value.substr(0, kMaxValue);
          if (format == LogFormat::text && plain_word(cut)) {
            out += cut;
          } else {
            append_json(out, cut);
          }
        } else if constexpr (std::is_same_v<T, bool>) {
          out += value ? "true" : "false";
        } else if constexpr (std::is_same_v<T, double>) {
          fmt::format_to(std::back_inserter(out), "{:.6g}", std::isfinite(value) ? value : 0.0);
        } else {
          fmt::format_to(std::back_inserter(out), "{}", value);
        }
      },
      field.value);
}

// RFC 3339 in UTC with milliseconds.
void append_time(std::string& out, Wall::time_point now) {
  const auto ms = std::chrono::duration_cast<Milliseconds>(now.time_since_epoch()).count();
  const auto days = std::chrono::floor<std::chrono::days>(now);
  const std::chrono::year_month_day date(days);
  const auto seconds = std::chrono::duration_cast<Seconds>(now - days).count();
  fmt::format_to(std::back_inserter(out), "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                 static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), seconds / 3600,
                 seconds / 60 % 60, seconds % 60, ms % 1000);
}

}  // namespace

std::string_view to_string(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warn:
      return "warn";
    case LogLevel::error:
      return "error";
  }
  return "info";
}

Log Log::with(std::string_view key, std::string_view value) const {
  Log copy = *this;
  append_field(copy.bound_, format_, Field(key, value));
  return copy;
}

void Log::write(LogLevel level, std::string_view event, std::initializer_list<Field> fields) const {
  if (enabled(level)) sink_->write(line_of(level, event, fields));
}

void Log::announce(std::string_view event, std::initializer_list<Field> fields) const {
  if (enabled(LogLevel::warn)) sink_->write_now(line_of(LogLevel::warn, event, fields));
}

std::string Log::line_of(LogLevel level, std::string_view event, std::initializer_list<Field> fields) const {
  std::string line;
  line.reserve(256 + bound_.size());
  if (format_ == LogFormat::json) {
    line += "{\"time\":\"";
    append_time(line, Wall::now());
    line += "\",\"level\":\"";
    line += to_string(level);
    line += "\",\"event\":\"";
    line += event;
    line += '"';
  } else {
    append_time(line, Wall::now());
    line += ' ';
    line += to_string(level);
    line += ' ';
    line += event;
  }
  line += bound_;
  for (const auto& field : fields) append_field(line, format_, field);
  line += format_ == LogFormat::json ? "}\n" : "\n";
  return line;
}

}  // namespace core
