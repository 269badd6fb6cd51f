// Postfix's tables: virtual(5), aliases(5), regexp_table(5) and pcre_table(5) as far as RE2 and our rules go.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "app/importer.hpp"
#include "core/text.hpp"
#include "policy/alias_table.hpp"

namespace app {
namespace {

using Kind = policy::RuleSpec::Kind;

struct Entry {
  std::string text;  // one logical line, continuations joined
  unsigned line = 0;
  std::vector<std::string> comments;  // the comment lines above
};

// A line that begins with a blank goes on with the one above (postmap(1)).
std::vector<Entry> entries_of(std::string_view text) {
  std::vector<Entry> out;
  std::vector<std::string> comments;
  unsigned number = 0;
  for (auto line : core::split(text, '\n')) {
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    const auto content = core::trim(line);
    if (content.empty()) {
      comments.clear();
    } else if (content.front() == '#') {
      comments.emplace_back(core::trim(content.substr(1)));
    } else if (line.front() == ' ' || line.front() == '\t') {
      if (!out.empty()) out.back().text += " " + std::string(content);
    } else {
      out.push_back({std::string(content), number, std::move(comments)});
      comments.clear();
    }
  }
  return out;
}

// Up to a blank or, outside of quotes, a colon: what an entry is about.
std::size_t key_length(std::string_view text, bool& colon) {
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') quoted = !quoted;
    if (quoted && c == '\\') ++i;
    if (quoted) continue;
    if (c == ':') {
      colon = true;
      return i;
    }
    if (c == ' ' || c == '\t') return i;
  }
  return text.size();
}

class PostfixReader {
 public:
  PostfixReader(const std::string& file, const ImportHints& hints, Import& out)
      : file_(file), hints_(hints), out_(out) {}
  void read(const Entry& entry);

 private:
  std::string where(const Entry& entry) const { return fmt::format("{}:{}", file_, entry.line); }
  void note(const Entry& entry, std::string what) { out_.notes.push_back({where(entry), std::move(what)}); }
  void leave_out(const Entry& entry, std::string_view why) {
    note(entry, fmt::format("left out: {}: {}", core::printable(entry.text.substr(0, 60)), why));
  }
  void add(const Entry& entry, const std::string& domain, ImportedRule rule) {
    rule.where = where(entry);
    rule.comments = entry.comments;
    out_.domains[core::lower(domain)].push_back(std::move(rule));
  }
  // The addresses of an entry's right side; nothing: one of them makes the entry impossible, and that has been told.
  std::optional<ImportedRule> destinations(const Entry& entry, std::string_view value);
  void read_virtual(const Entry& entry, std::string_view key, std::string_view value);
  void read_alias(const Entry& entry, std::string_view key, std::string_view value);
  void read_regexp(const Entry& entry);
  void add_regexp(const Entry& entry, std::string pattern, bool exact_case, std::string result);

  const std::string& file_;
  const ImportHints& hints_;
  Import& out_;
  unsigned conditions_ = 0;  // inside of how many if ... endif
};

std::optional<ImportedRule> PostfixReader::destinations(const Entry& entry, std::string_view value) {
  ImportedRule rule;
  if (core::trim(value) == "/dev/null") {
    rule.action = policy::Action::drop;
    return rule;
  }
  policy::Destinations list(value);
  for (auto one = list.next(); !one.empty(); one = list.next()) {
    if (one.front() == '|' || one.front() == '/' || one.starts_with("\"|") || one.starts_with("\"/")) {
      leave_out(entry, "delivers into a program or file, which a forwarder does not");
      return std::nullopt;
    }
    if (core::istarts_with(one, ":include:")) {
      leave_out(entry, "includes a file; import that file's addresses by hand");
      return std::nullopt;
    }
    auto address = std::string(one);
    if (one.find('@') == std::string_view::npos) {
      if (hints_.origin.empty()) {
        note(entry, fmt::format("{}: has no domain (name it with --origin); it is left out", core::printable(one)));
        continue;
      }
      address += "@" + hints_.origin;
    }
    rule.to.push_back(std::move(address));
  }
  return rule;
}

void PostfixReader::read_virtual(const Entry& entry, std::string_view key, std::string_view value) {
  const auto at = key.rfind('@');
  if (at == std::string_view::npos) {
    if (key.find('.') != std::string_view::npos) {  // "domain anything" declares a domain
      out_.domains.try_emplace(core::lower(key));
    } else if (hints_.domain.empty()) {
      leave_out(entry, "names no domain; name it with --domain");
    } else if (auto rule = destinations(entry, value)) {
      rule->match = key;
      add(entry, hints_.domain, std::move(*rule));
    }
    return;
  }
  const auto domain = std::string(key.substr(at + 1));
  auto rule = destinations(entry, value);
  if (!rule) return;
  const bool to_domain =
      std::any_of(rule->to.begin(), rule->to.end(), [](const auto& to) { return to.starts_with('@'); });
  if (at > 0 && to_domain) {
    leave_out(entry, "leads from an address to a whole domain");
    return;
  }
  if (at > 0) {
    rule->match = key.substr(0, at);
    std::erase_if(rule->to, [&](const std::string& to) {
      if (!core::iequals(to, key)) return false;
      note(entry,
           fmt::format("{}: leads to itself (a local mailbox there); that copy is left out", core::printable(key)));
      return true;
    });
  } else if (to_domain) {  // @old.example @new.example: the local part stays
    rule->kind = Kind::pattern;
    rule->match = "(.+)";
    for (auto& to : rule->to) {
      if (to.starts_with('@')) to.insert(0, "$1");
    }
  } else {
    rule->kind = Kind::catch_all;
  }
  add(entry, domain, std::move(*rule));
}

void PostfixReader::read_alias(const Entry& entry, std::string_view key, std::string_view value) {
  if (hints_.domain.empty()) {
    leave_out(entry, "an alias belongs to a domain; name it with --domain");
    return;
  }
  auto rule = destinations(entry, value);
  if (!rule) return;
  if (key.starts_with("owner-")) {
    note(entry, "kept as a plain address; a list's envelope sender is not changed here");
  }
  rule->match = key;
  add(entry, hints_.domain, std::move(*rule));
}

// ---- regexp tables

// Where the last '@' is that is neither escaped as part of a class nor inside of one; npos: there is none.
std::size_t last_at(std::string_view pattern) {
  std::size_t found = std::string_view::npos;
  bool in_class = false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '\\') {
      if (i + 1 < pattern.size() && pattern[i + 1] == '@') found = i;
      ++i;
    } else if (pattern[i] == '[') {
      in_class = true;
    } else if (pattern[i] == ']') {
      in_class = false;
    } else if (pattern[i] == '@' && !in_class) {
      found = i;
    }
  }
  return found;
}

// Parentheses that match each other; `bars`: is there a '|' outside of all?
bool is_balanced(std::string_view pattern, bool& bars) {
  int depth = 0;
  bool in_class = false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\') {
      ++i;
    } else if (in_class) {
      in_class = c != ']';
    } else if (c == '[') {
      in_class = true;
    } else if (c == '(') {
      ++depth;
    } else if (c == ')' && --depth < 0) {
      return false;
    } else if (c == '|' && depth == 0) {
      bars = true;
    }
  }
  return depth == 0;
}

// "example\.org$" as a name. Nothing: it is a pattern.
std::optional<std::string> literal_domain(std::string_view pattern) {
  std::string out;
  if (pattern.ends_with('$')) pattern.remove_suffix(1);
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) c = pattern[++i];
    if (pattern.substr(i).starts_with("[.]")) {
      c = '.';
      i += 2;
    }
    if (!core::is_alnum(c) && c != '-' && c != '.') return std::nullopt;
    out += c;
  }
  if (out.empty()) return std::nullopt;
  return out;
}

// Postfix's $1, ${1}, $(1) as ours. Nothing: something else behind a '$'.
std::optional<std::string> with_our_captures(std::string_view result) {
  std::string out;
  for (std::size_t i = 0; i < result.size(); ++i) {
    out += result[i];
    if (result[i] != '$') continue;
    const auto rest = result.substr(i + 1);
    const bool braced = rest.size() >= 3 && ((rest[0] == '{' && rest[2] == '}') || (rest[0] == '(' && rest[2] == ')'));
    const char digit = braced ? rest[1] : rest.empty() ? '\0' : rest[0];
    if (digit < '1' || digit > '9') return std::nullopt;
    out += digit;
    i += braced ? 3 : 1;
  }
  return out;
}

void PostfixReader::add_regexp(const Entry& entry, std::string pattern, bool exact_case, std::string result) {
  bool bars = false;
  const auto at = last_at(pattern);
  if (at == std::string::npos) {
    leave_out(entry, "matches addresses of any domain; here a pattern belongs to one");
    return;
  }
  auto local = pattern.substr(0, at);
  const auto domain = literal_domain(std::string_view(pattern).substr(pattern.find('@', at) + 1));
  if (!domain) {
    leave_out(entry, "its domain is a pattern; here a pattern is for local parts");
    return;
  }
  if (!is_balanced(local, bars) || bars) {
    leave_out(entry, "a group or an alternative reaches over the @");
    return;
  }
  if (local.starts_with('^')) {
    local.erase(0, 1);
  } else {
    local.insert(0, ".*?");  // where a search would begin to match
  }
  const auto captures = with_our_captures(result);
  if (!captures) {
    leave_out(entry, "its result has a $ that is none of $1 to $9");
    return;
  }
  auto rule = destinations(entry, *captures);
  if (!rule) return;
  rule->kind = Kind::pattern;
  rule->match = (exact_case ? "(?-i)" : "") + local;
  add(entry, *domain, std::move(*rule));
}

void PostfixReader::read_regexp(const Entry& entry) {
  const std::string_view text = entry.text;
  if (text.starts_with("if ") || text == "endif" || text.starts_with("endif ")) {
    if (text.starts_with("if ")) {
      ++conditions_;
      leave_out(entry, "a condition, with everything inside");
    } else if (conditions_ > 0) {
      --conditions_;
    }
    return;
  }
  if (conditions_ > 0) {
    leave_out(entry, "inside of a condition");
    return;
  }
  if (text.front() != '/') {
    leave_out(entry, "a pattern that must not match has no counterpart here");
    return;
  }
  std::size_t end = 1;
  while (end < text.size() && text[end] != '/') end += text[end] == '\\' ? 2 : 1;
  if (end >= text.size()) {
    leave_out(entry, "a pattern without end");
    return;
  }
  const auto rest = text.substr(end + 1);
  const auto flags = rest.substr(0, rest.find_first_of(" \t"));
  if (flags.find_first_not_of("im") != std::string_view::npos) {
    leave_out(entry, "flags that RE2 does not have");
    return;
  }
  // "i" toggles: without it Postfix's patterns ignore case, as ours do.
  add_regexp(entry, std::string(text.substr(1, end - 1)), flags.find('i') != std::string_view::npos,
             std::string(core::trim(rest.substr(flags.size()))));
}

void PostfixReader::read(const Entry& entry) {
  const std::string_view text = entry.text;
  if (conditions_ > 0 || text.front() == '/' || text.starts_with("!/") || text.starts_with("if ") || text == "endif") {
    read_regexp(entry);
    return;
  }
  bool colon = false;
  const auto length = key_length(text, colon);
  const auto key = text.substr(0, length);
  auto value = text.substr(length);
  // "name : value" is an alias too.
  if (!colon && core::trim(value).starts_with(':') && !core::trim(value).starts_with(":include:")) {
    colon = true;
    value = core::trim(value);
  }
  if (colon) value.remove_prefix(1);
  value = core::trim(value);
  if (key.empty() || value.empty()) {
    leave_out(entry, "neither an address with destinations nor a pattern");
  } else if (colon) {
    read_alias(entry, key, value);
  } else {
    read_virtual(entry, key, value);
  }
}

}  // namespace

void import_postfix(std::string_view text, const std::string& file, const ImportHints& hints, Import& out) {
  PostfixReader reader(file, hints, out);
  for (const auto& entry : entries_of(text)) reader.read(entry);
}

}  // namespace app
