// Reads TOML tables key by key and collects every mistake with its file, line and key (interface.md §2). A Section
// knows which keys were asked for; finish() reports the ones nobody knows. Values with control octets never get through
// (threats OP-02). Reads from memory; no I/O. Mistakes go to a Report that outlives all Sections. What is asked for,
// with its default and its range, can be noted: docs/configuration.md is made from that (app/config_page.hpp).
#pragma once

#include <toml++/toml.h>

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/config_error.hpp"
#include "core/clock.hpp"

namespace app {

// How a key is read, in words for people.
struct Asked {
  std::string preset{};                   // "" : none
  std::string range{};                    // "" : the type says it all
  std::vector<std::string_view> words{};  // of which it is one
  bool required = false;
};
using AskedKeys = std::map<std::string, Asked, std::less<>>;  // by path: "limits.memory"

// What reading a configuration found, over all its files.
struct Report {
  std::vector<ConfigError> errors;
  std::vector<ConfigWarning> warnings;
  AskedKeys* asked = nullptr;  // the caller's, who wants to know; null: nobody does
};

struct Text {
  std::string value;
  unsigned line = 0;
};

template <class T>
struct Range {
  T least, most;
};

class Section {
 public:
  // `table` may be null: every key has its default. `path`: "limits", "" for the file itself.
  Section(const toml::table* table, std::string file, std::string path, unsigned line, Report& report);

  bool present() const { return table_ != nullptr; }
  bool has(std::string_view key) const;
  const std::string& file() const { return file_; }
  unsigned line() const { return line_; }
  // Of the value; the section's own when there is none.
  unsigned line(std::string_view key) const;

  std::optional<Text> maybe_text(std::string_view key);
  std::string text(std::string_view key, std::string fallback);
  // An error when it is missing or empty.
  std::optional<Text> required(std::string_view key, std::string_view example);
  bool flag(std::string_view key, bool fallback);
  std::int64_t number(std::string_view key, std::int64_t fallback, Range<std::int64_t> range);
  unsigned count(std::string_view key, unsigned fallback, Range<unsigned> range);
  std::uint64_t size(std::string_view key, std::uint64_t fallback, Range<std::uint64_t> range);
  enum class Zero { refused, off };  // is "0" a value?
  core::Milliseconds duration(std::string_view key, core::Milliseconds fallback, Range<core::Milliseconds> range,
                              Zero zero = Zero::refused);
  template <class E>
  E choice(std::string_view key, E fallback, std::initializer_list<std::pair<std::string_view, E>> values) {
    std::vector<std::string_view> names;
    std::string_view preset;
    for (const auto& [name, value] : values) {
      names.push_back(name);
      if (value == fallback) preset = name;
    }
    const auto index = choice_index(key, preset, names);
    return index ? (values.begin() + static_cast<std::ptrdiff_t>(*index))->second : fallback;
  }
  // A list of strings.
  std::vector<Text> texts(std::string_view key);
  // [key], or key = {...}
  Section table(std::string_view key);
  // [[key]], or key = [{...}, ...]
  std::vector<Section> tables(std::string_view key);
  // A list whose elements are strings or tables.
  struct Element;
  std::vector<Element> elements(std::string_view key);

  // `key` of this section; "what is wrong; what would be right".
  void error(std::string_view key, std::string message);
  void error_at(unsigned line, std::string_view key, std::string message);
  void warn(std::string_view key, std::string message);
  // Reports the keys that were never asked for.
  void finish();

 private:
  const toml::node* get(std::string_view key);
  // The first word is the best one: required() asks again as maybe_text().
  template <class Make>
  void note(std::string_view key, Make make) {
    if (report_->asked != nullptr) report_->asked->try_emplace(path_of(key), make());
  }
  std::string path_of(std::string_view key) const;
  bool is_clean(std::string_view key, const toml::node& node, const std::string& value);
  void wrong_type(std::string_view key, const toml::node& node, std::string_view wanted);
  std::optional<std::size_t> choice_index(std::string_view key, std::string_view preset,
                                          const std::vector<std::string_view>& names);

  const toml::table* table_;
  std::string file_, path_;
  unsigned line_;
  Report* report_;
  std::set<std::string, std::less<>> known_;
};

struct Section::Element {
  std::optional<Text> text;
  std::optional<Section> table;
};

// A parsed file; empty after a syntax error, which is in the report then.
std::optional<toml::table> parse_toml(std::string_view text, const std::string& file, Report& report);

// The nearest of `known` when it is near enough to be what was meant; "" otherwise.
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& known);

}  // namespace app
