#include "app/toml_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "core/text.hpp"
#include "core/units.hpp"

namespace app {
namespace {

constexpr std::size_t kMaxShown = 60;      // octets of a value that a message repeats
constexpr std::size_t kMaxValue = 4096;    // octets of one string
constexpr std::size_t kMaxList = 100'000;  // elements of one list

// For messages: the text as it is, without what could disturb a terminal or a log.
std::string shown(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kMaxShown)) out += (c >= ' ' && c != '\x7f') || core::is_8bit(c) ? c : '?';
  return text.size() > kMaxShown ? out + "..." : out;
}

unsigned line_of(const toml::node& node) {
  return static_cast<unsigned>(node.source().begin.line);
}

std::string_view type_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "a number";
    case toml::node_type::floating_point:
      return "a number with a fraction";
    case toml::node_type::boolean:
      return "true or false";
    case toml::node_type::date:
    case toml::node_type::time:
    case toml::node_type::date_time:
      return "a date or time";
    case toml::node_type::none:
      break;
  }
  return "nothing";
}

// Damerau-Levenshtein for short words, as far as it matters here.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      const std::size_t change = core::to_lower(a[i - 1]) == core::to_lower(b[j - 1]) ? 0 : 1;
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

std::string list_of(const std::vector<std::string_view>& words) {
  std::string out;
  for (const auto word : words) out += (out.empty() ? "" : ", ") + std::string(word);
  return out;
}

bool has_control(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x20 || c == 0x7f) return true;
    // C1 controls, U+0080 to U+009F
    if (c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0) return true;
  }
  return false;
}

}  // namespace

std::string_view nearest(std::string_view word, const std::vector<std::string_view>& known) {
  constexpr std::size_t kLongest = 40;
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(1, word.size() / 3) + 1;
  if (word.size() > kLongest) return best;
  for (const auto candidate : known) {
    const auto d = distance(word, candidate);
    if (d < best_distance) {
      best = candidate;
      best_distance = d;
    }
  }
  return best;
}

std::optional<toml::table> parse_toml(std::string_view text, const std::string& file, Report& report) {
  try {
    return toml::parse(text, file);
  } catch (const toml::parse_error& e) {
    report.errors.push_back(
        {file, static_cast<unsigned>(e.source().begin.line), "", "is no TOML: " + shown(e.description())});
    if (e.description().size() > kMaxShown)
      report.errors.back().message = "is no TOML: " + core::printable(e.description().substr(0, 300));
  } catch (const std::exception& e) {
    report.errors.push_back({file, 0, "", "is no TOML: " + shown(e.what())});
  }
  return std::nullopt;
}

Section::Section(const toml::table* table, std::string file, std::string path, unsigned line, Report& report)
    : table_(table), file_(std::move(file)), path_(std::move(path)), line_(line), report_(&report) {}

std::string Section::path_of(std::string_view key) const {
  if (path_.empty()) return std::string(key);
  return key.empty() ? path_ : path_ + "." + std::string(key);
}

bool Section::has(std::string_view key) const {
  return table_ != nullptr && table_->get(key) != nullptr;
}

unsigned Section::line(std::string_view key) const {
  const auto* node = table_ != nullptr ? table_->get(key) : nullptr;
  return node != nullptr ? line_of(*node) : line_;
}

const toml::node* Section::get(std::string_view key) {
  known_.emplace(key);
  return table_ != nullptr ? table_->get(key) : nullptr;
}

void Section::error_at(unsigned line, std::string_view key, std::string message) {
  report_->errors.push_back({file_, line, path_of(key), std::move(message)});
}

void Section::error(std::string_view key, std::string message) {
  error_at(line(key), key, std::move(message));
}

void Section::warn(std::string_view key, std::string message) {
  report_->warnings.push_back({file_, line(key), path_of(key), std::move(message)});
}

void Section::wrong_type(std::string_view key, const toml::node& node, std::string_view wanted) {
  error_at(line_of(node), key, fmt::format("is {}; it must be {}", type_name(node), wanted));
}

bool Section::is_clean(std::string_view key, const toml::node& node, const std::string& value) {
  if (value.size() > kMaxValue) {
    error_at(line_of(node), key, fmt::format("is longer than {} octets", kMaxValue));
    return false;
  }
  if (has_control(value)) {  // OP-02
    error_at(line_of(node), key, "has a line end or control character in it; it must be one line of text");
    return false;
  }
  return true;
}

std::optional<Text> Section::maybe_text(std::string_view key) {
  note(key, [] { return Asked(); });
  const auto* node = get(key);
  if (node == nullptr) return std::nullopt;
  const auto* value = node->as_string();
  if (value == nullptr) {
    wrong_type(key, *node, "a string in quotes");
    return std::nullopt;
  }
  if (!is_clean(key, *node, value->get())) return std::nullopt;
  return Text{value->get(), line_of(*node)};
}

std::string Section::text(std::string_view key, std::string fallback) {
  note(key, [&] { return Asked{.preset = fallback.empty() ? "\"\"" : fallback}; });
  auto value = maybe_text(key);
  return value ? std::move(value->value) : std::move(fallback);
}

std::optional<Text> Section::required(std::string_view key, std::string_view example) {
  note(key, [&] { return Asked{.required = true}; });
  if (!has(key)) {
    known_.emplace(key);
    error(key, fmt::format("is missing; write for example {} = \"{}\"", key, example));
    return std::nullopt;
  }
  auto value = maybe_text(key);
  if (value && value->value.empty()) {
    error(key, fmt::format("is empty; write for example {} = \"{}\"", key, example));
    return std::nullopt;
  }
  return value;
}

bool Section::flag(std::string_view key, bool fallback) {
  note(key, [&] { return Asked{.preset = fallback ? "true" : "false", .words = {"true", "false"}}; });
  const auto* node = get(key);
  if (node == nullptr) return fallback;
  const auto* value = node->as_boolean();
  if (value == nullptr) {
    wrong_type(key, *node, "true or false, without quotes");
    return fallback;
  }
  return value->get();
}

std::int64_t Section::number(std::string_view key, std::int64_t fallback, Range<std::int64_t> range) {
  note(key, [&] {
    return Asked{.preset = std::to_string(fallback), .range = fmt::format("{}–{}", range.least, range.most)};
  });
  const auto* node = get(key);
  if (node == nullptr) return fallback;
  const auto* value = node->as_integer();
  if (value == nullptr) {
    wrong_type(key, *node, fmt::format("a whole number from {} to {}, without quotes", range.least, range.most));
    return fallback;
  }
  if (value->get() < range.least || value->get() > range.most) {
    error(key, fmt::format("{} is out of range; it must be from {} to {}", value->get(), range.least, range.most));
    return fallback;
  }
  return value->get();
}

unsigned Section::count(std::string_view key, unsigned fallback, Range<unsigned> range) {
  return static_cast<unsigned>(number(key, fallback, {range.least, range.most}));
}

std::uint64_t Section::size(std::string_view key, std::uint64_t fallback, Range<std::uint64_t> range) {
  constexpr std::string_view kForm = "a size such as \"25 MiB\" (B, KiB, MiB, GiB, TiB)";
  note(key, [&] {
    return Asked{.preset = core::format_size(fallback),
                 .range = fmt::format("{}–{}", core::format_size(range.least), core::format_size(range.most))};
  });
  const auto* node = get(key);
  if (node == nullptr) return fallback;
  std::optional<std::uint64_t> value;
  if (const auto* integer = node->as_integer(); integer != nullptr && integer->get() >= 0) {
    value = static_cast<std::uint64_t>(integer->get());
  } else if (const auto* string = node->as_string()) {
    if (!is_clean(key, *node, string->get())) return fallback;
    value = core::parse_size(string->get());
    if (!value) {
      error(key, fmt::format("\"{}\" is no size; write {}", shown(string->get()), kForm));
      return fallback;
    }
  }
  if (!value) {
    wrong_type(key, *node, kForm);
    return fallback;
  }
  if (*value < range.least || *value > range.most) {
    error(key, fmt::format("{} is out of range; it must be from {} to {}", core::format_size(*value),
                           core::format_size(range.least), core::format_size(range.most)));
    return fallback;
  }
  return *value;
}

core::Milliseconds Section::duration(std::string_view key, core::Milliseconds fallback, Range<core::Milliseconds> range,
                                     Zero zero) {
  constexpr std::string_view kForm = "a time with a unit such as \"30s\" (s, m, h, d, w)";
  note(key, [&] {
    return Asked{.preset = core::format_duration(fallback),
                 .range = fmt::format("{}{}–{}", zero == Zero::off ? "0, " : "", core::format_duration(range.least),
                                      core::format_duration(range.most))};
  });
  const auto* node = get(key);
  if (node == nullptr) return fallback;
  const auto* string = node->as_string();
  if (string == nullptr) {
    wrong_type(key, *node, kForm);
    return fallback;
  }
  if (!is_clean(key, *node, string->get())) return fallback;
  const auto value = core::parse_duration(string->get());
  if (!value) {
    error(key, fmt::format("\"{}\" is no time; write {}", shown(string->get()), kForm));
    return fallback;
  }
  const bool is_off = zero == Zero::off && value->count() == 0;
  if (!is_off && (*value < range.least || *value > range.most)) {
    error(key, fmt::format("{} is out of range; it must be from {} to {}{}", core::format_duration(*value),
                           core::format_duration(range.least), core::format_duration(range.most),
                           zero == Zero::off ? ", or \"0s\" for off" : ""));
    return fallback;
  }
  return *value;
}

std::optional<std::size_t> Section::choice_index(std::string_view key, std::string_view preset,
                                                 const std::vector<std::string_view>& names) {
  note(key, [&] { return Asked{.preset = std::string(preset), .words = names}; });
  const auto* node = get(key);
  if (node == nullptr) return std::nullopt;
  const auto wanted = list_of(names);
  const auto* string = node->as_string();
  if (string == nullptr) {
    wrong_type(key, *node, fmt::format("a string, one of: {}", wanted));
    return std::nullopt;
  }
  const auto it = std::find(names.begin(), names.end(), std::string_view(string->get()));
  if (it == names.end()) {
    const auto meant = nearest(string->get(), names);
    error(key, fmt::format("\"{}\" is unknown; {}it must be one of: {}", shown(string->get()),
                           meant.empty() ? "" : fmt::format("did you mean \"{}\"? ", meant), wanted));
    return std::nullopt;
  }
  return static_cast<std::size_t>(it - names.begin());
}

std::vector<Section::Element> Section::elements(std::string_view key) {
  note(key, [] { return Asked{.preset = "[]"}; });
  std::vector<Element> out;
  const auto* node = get(key);
  if (node == nullptr) return out;
  const auto* array = node->as_array();
  if (array == nullptr) {
    wrong_type(key, *node, "a list in [ ]");
    return out;
  }
  if (array->size() > kMaxList) {
    error(key, fmt::format("has more than {} elements", kMaxList));
    return out;
  }
  for (const auto& element : *array) {
    if (const auto* string = element.as_string()) {
      if (is_clean(key, element, string->get())) out.push_back({Text{string->get(), line_of(element)}, std::nullopt});
    } else if (const auto* table = element.as_table()) {
      out.push_back({std::nullopt, Section(table, file_, path_of(key), line_of(element), *report_)});
    } else {
      wrong_type(key, element, "a string or a table");
    }
  }
  return out;
}

std::vector<Text> Section::texts(std::string_view key) {
  std::vector<Text> out;
  for (auto& element : elements(key)) {
    if (element.text) {
      out.push_back(std::move(*element.text));
    } else {
      error_at(element.table->line(), key, "holds a table; it must be a list of strings");
    }
  }
  return out;
}

std::vector<Section> Section::tables(std::string_view key) {
  std::vector<Section> out;
  for (auto& element : elements(key)) {
    if (element.table) {
      out.push_back(std::move(*element.table));
    } else {
      error_at(element.text->line, key, "holds a string; it must be a list of tables { ... }");
    }
  }
  return out;
}

Section Section::table(std::string_view key) {
  const auto* node = get(key);
  const toml::table* found = nullptr;
  if (node != nullptr) {
    found = node->as_table();
    if (found == nullptr) {
      wrong_type(key, *node, fmt::format("a section: [{}] on a line of its own", path_of(key)));
    }
  }
  return Section(found, file_, path_of(key), found != nullptr ? line_of(*found) : line_, *report_);
}

void Section::finish() {
  if (table_ == nullptr) return;
  const std::vector<std::string_view> known(known_.begin(), known_.end());
  for (const auto& [name, node] : *table_) {
    if (known_.contains(name.str())) continue;
    const auto line = static_cast<unsigned>(name.source().begin.line);
    const auto word = node.is_table() || node.is_array_of_tables() ? "section" : "key";
    const auto meant = nearest(name.str(), known);
    error_at(line != 0 ? line : line_of(node), shown(name.str()),
             meant.empty() ? fmt::format("unknown {}; known here: {}", word, list_of(known))
                           : fmt::format("unknown {}; did you mean \"{}\"?", word, meant));
  }
}

}  // namespace app
