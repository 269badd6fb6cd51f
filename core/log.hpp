// Structured log lines: one event a line, JSON or text, with ids bound once (threats OP-05, OP-06, RS-15).
// Log is a cheap value handed by reference; where lines go is the LogSink's matter. Values are escaped, never trusted.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

#include "core/clock.hpp"

namespace core {

enum class LogLevel { debug, info, warn, error };
enum class LogFormat { json, text };

// "debug", "info", ...
std::string_view to_string(LogLevel level);

class LogSink {
 public:
  virtual ~LogSink() = default;
  // `line` ends in '\n'. May be called by any thread; must not block on I/O.
  virtual void write(std::string_view line) = 0;
  // The same for a line that must be out before what follows it happens, as far as that does not take waiting.
  virtual void write_now(std::string_view line) { write(line); }
};

struct Field {
  std::string_view key;
  std::variant<std::string_view, std::int64_t, double, bool> value;

  Field(std::string_view k, std::string_view v) : key(k), value(v) {}
  Field(std::string_view k, const char* v) : key(k), value(std::string_view(v)) {}
  Field(std::string_view k, const std::string& v) : key(k), value(std::string_view(v)) {}
  Field(std::string_view k, bool v) : key(k), value(v) {}
  Field(std::string_view k, double v) : key(k), value(v) {}
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  Field(std::string_view k, T v) : key(k), value(static_cast<std::int64_t>(v)) {}
};

class Log {
 public:
  Log(LogSink& sink, LogFormat format, LogLevel level) : sink_(&sink), format_(format), level_(level) {}

  // A copy that prints `key=value` in every line.
  Log with(std::string_view key, std::string_view value) const;

  bool enabled(LogLevel level) const { return level >= level_; }
  // One line: time, level, event, the bound fields, then `fields`. String values longer than 1,024 octets are cut.
  void write(LogLevel level, std::string_view event, std::initializer_list<Field> fields = {}) const;
  void debug(std::string_view event, std::initializer_list<Field> f = {}) const { write(LogLevel::debug, event, f); }
  void info(std::string_view event, std::initializer_list<Field> f = {}) const { write(LogLevel::info, event, f); }
  // A warning that must be out before what it announces is done.
  void announce(std::string_view event, std::initializer_list<Field> fields = {}) const;
  void warn(std::string_view event, std::initializer_list<Field> f = {}) const { write(LogLevel::warn, event, f); }
  void error(std::string_view event, std::initializer_list<Field> f = {}) const { write(LogLevel::error, event, f); }

  void set_level(LogLevel level) { level_ = level; }

 private:
  std::string line_of(LogLevel level, std::string_view event, std::initializer_list<Field> fields) const;

  LogSink* sink_;
  LogFormat format_;
  LogLevel level_;
  std::string bound_;  // already printed in format_
};

// Drops everything; for tests.
class NullSink final : public LogSink {
 public:
  void write(std::string_view) override {}
};

}  // namespace core
