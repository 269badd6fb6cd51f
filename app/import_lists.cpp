// Rules as lists: CSV (RFC 4180) as services export it, and Cloudflare Email Routing's API.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>

#include "app/importer.hpp"
#include "core/text.hpp"

namespace app {
namespace {

using Kind = policy::RuleSpec::Kind;
using nlohmann::json;

// "sales@example.org", "sales" with a domain from elsewhere, "*@example.org", "sales-*@example.org". Nothing: no
// domain.
struct Matched {
  std::string domain;
  Kind kind = Kind::exact;
  std::string match;
};
std::optional<Matched> matched(std::string_view address, std::string_view domain_elsewhere) {
  Matched out;
  const auto at = address.rfind('@');
  auto local = address.substr(0, at);
  out.domain = core::lower(at == std::string_view::npos ? domain_elsewhere : address.substr(at + 1));
  if (out.domain.empty()) return std::nullopt;
  if (local.empty() || local == "*" || core::iequals(local, "catch-all") || core::iequals(local, "catchall")) {
    out.kind = Kind::catch_all;
  } else if (local.find('*') != std::string_view::npos) {
    out.kind = Kind::pattern;
    for (const char c : local) {
      if (c == '*') {
        out.match += ".*";
      } else {
        if (!core::is_alnum(c) && !core::is_8bit(c) && c != '_') out.match += '\\';
        out.match += c;
      }
    }
  } else {
    out.match = local;
  }
  return out;
}

// ---- CSV

struct Row {
  std::vector<std::string> fields;
  unsigned line = 0;
  bool torn = false;  // the text ends inside of its quotes
};

std::vector<Row> rows_of(std::string_view text, char separator) {
  std::vector<Row> rows;
  Row row{{""}, 1};
  unsigned line = 1;
  bool quoted = false;
  const auto end_row = [&] {
    const bool empty = row.fields.size() == 1 && core::trim(row.fields.front()).empty();
    if (!empty) rows.push_back(std::move(row));
    row = {{""}, line};
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') ++line;
    if (quoted) {
      if (c != '"') {
        row.fields.back() += c;
      } else if (i + 1 < text.size() && text[i + 1] == '"') {
        row.fields.back() += text[++i];
      } else {
        quoted = false;
      }
    } else if (c == '"' && row.fields.back().empty()) {
      quoted = true;
    } else if (c == separator) {
      row.fields.emplace_back();
    } else if (c == '\n') {
      end_row();
    } else if (c != '\r') {
      row.fields.back() += c;
    }
  }
  row.torn = quoted;
  end_row();
  return rows;
}

constexpr std::size_t kNone = static_cast<std::size_t>(-1);

struct Columns {
  std::size_t address = kNone, domain = kNone, to = kNone, enabled = kNone, comment = kNone;
  bool header = false;
};

std::size_t column(const Row& row, std::initializer_list<std::string_view> names) {
  for (std::size_t i = 0; i < row.fields.size(); ++i) {
    for (const auto name : names) {
      if (core::iequals(core::trim(row.fields[i]), name)) return i;
    }
  }
  return kNone;
}

Columns columns_of(const Row& first) {
  Columns out;
  out.address = column(first, {"address", "alias", "email", "from", "source", "match", "recipient"});
  out.domain = column(first, {"domain"});
  out.to =
      column(first, {"to", "destination", "destinations", "forward", "forward_to", "forwards", "target", "recipients"});
  out.enabled = column(first, {"enabled", "active", "is_enabled"});
  out.comment = column(first, {"comment", "description", "note", "name"});
  out.header = out.address != kNone && out.to != kNone;
  return out;
}

std::string field(const Row& row, std::size_t at) {
  return at < row.fields.size() ? std::string(core::trim(row.fields[at])) : std::string();
}

void split_destinations(std::string_view text, std::vector<std::string>& to) {
  std::string one;
  const auto end = [&] {
    if (!one.empty()) to.push_back(std::move(one));
    one.clear();
  };
  for (const char c : text) {
    if (c == ',' || c == ';' || c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      end();
    } else {
      one += c;
    }
  }
  end();
}

bool is_no(std::string_view text) {
  static constexpr std::array<std::string_view, 6> kNo{"0", "false", "no", "off", "disabled", "inactive"};
  return std::any_of(kNo.begin(), kNo.end(), [text](std::string_view no) { return core::iequals(text, no); });
}

void read_row(const Row& row, const Columns& columns, const std::string& file, const ImportHints& hints, Import& out) {
  const auto where = fmt::format("{}:{}", file, row.line);
  if (row.torn) {
    out.notes.push_back({where, "left out: a quote that is never closed"});
    return;
  }
  const auto address = field(row, columns.header ? columns.address : 0);
  const auto domain = field(row, columns.domain);
  if (address.starts_with('/')) {
    out.notes.push_back({where, "left out: " + core::printable(address) + ": write it as a pattern by hand"});
    return;
  }
  const auto match = matched(address, domain.empty() ? hints.domain : domain);
  if (!match) {
    out.notes.push_back(
        {where, fmt::format("left out: {}: names no domain; name it with --domain", core::printable(address))});
    return;
  }
  ImportedRule rule;
  rule.kind = match->kind;
  rule.match = match->match;
  rule.where = where;
  rule.enabled = !is_no(field(row, columns.enabled));
  if (const auto comment = field(row, columns.comment); !comment.empty()) {
    for (const auto line : core::split(comment, '\n')) rule.comments.emplace_back(core::trim(line));
  }
  if (columns.header) {
    split_destinations(field(row, columns.to), rule.to);
  } else {
    for (std::size_t i = 1; i < row.fields.size(); ++i) split_destinations(row.fields[i], rule.to);
  }
  out.domains[match->domain].push_back(std::move(rule));
}

// ---- Cloudflare

std::string text_of(const json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

struct CloudflareRule {
  const json* object = nullptr;
  std::int64_t priority = 0;
  std::size_t number = 0;  // in the file, from 1
};

// The address a rule is for: "*" for a catch-all. Nothing: none, or one that we do not know the meaning of.
std::optional<std::string> address_of(const json& rule) {
  const auto matchers = rule.find("matchers");
  if (matchers == rule.end() || !matchers->is_array() || matchers->size() != 1) return std::nullopt;
  const auto& matcher = matchers->front();
  if (!matcher.is_object()) return std::nullopt;
  if (text_of(matcher, "type") == "all") return "*";
  if (text_of(matcher, "type") != "literal" || text_of(matcher, "field") != "to") return std::nullopt;
  return text_of(matcher, "value");
}

// "" or why the actions have no counterpart.
std::string read_actions(const json& object, ImportedRule& rule) {
  const auto actions = object.find("actions");
  if (actions == object.end() || !actions->is_array() || actions->empty()) return "it has no action";
  for (const auto& action : *actions) {
    const auto type = action.is_object() ? text_of(action, "type") : std::string();
    if (type == "drop") {
      rule.action = policy::Action::drop;
    } else if (type == "forward") {
      const auto value = action.find("value");
      if (value == action.end() || !value->is_array()) return "it forwards to nobody";
      for (const auto& to : *value) {
        if (to.is_string()) rule.to.push_back(to.get<std::string>());
      }
    } else if (type == "worker") {
      return "a worker is a program; there are none here";
    } else {
      return fmt::format("its action \"{}\" is unknown", core::printable(type));
    }
  }
  if (rule.action == policy::Action::drop && !rule.to.empty()) return "it both forwards and drops";
  return {};
}

// The only domain of all rules, for a catch-all rule that names none.
std::string only_domain(const std::vector<CloudflareRule>& rules) {
  std::string found;
  for (const auto& rule : rules) {
    const auto address = address_of(*rule.object);
    const auto at = address ? address->rfind('@') : std::string::npos;
    if (at == std::string::npos) continue;
    const auto domain = core::lower(address->substr(at + 1));
    if (!found.empty() && found != domain) return {};
    found = domain;
  }
  return found;
}

void read_cloudflare_rule(const CloudflareRule& one, const std::string& where, const std::string& domain, Import& out) {
  const auto address = address_of(*one.object);
  const auto name = text_of(*one.object, "name");
  const auto leave_out = [&](std::string_view why) {
    out.notes.push_back(
        {where, fmt::format("left out: {}: {}", core::printable(name.empty() && address ? *address : name), why)});
  };
  if (!address) return leave_out("it matches something other than one address");
  const auto match = matched(*address, domain);
  if (!match) return leave_out("it is for a whole domain; name it with --domain");
  ImportedRule rule;
  if (const auto why = read_actions(*one.object, rule); !why.empty()) return leave_out(why);
  rule.kind = match->kind;
  rule.match = match->match;
  rule.where = where;
  const auto enabled = one.object->find("enabled");
  rule.enabled = enabled == one.object->end() || !enabled->is_boolean() || enabled->get<bool>();
  if (!name.empty()) rule.comments.push_back(name);
  out.domains[match->domain].push_back(std::move(rule));
}

}  // namespace

void import_csv(std::string_view text, const std::string& file, const ImportHints& hints, Import& out) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // a byte order mark
  const auto first_line = text.substr(0, text.find('\n'));
  const bool semicolons =
      first_line.find(',') == std::string_view::npos && first_line.find(';') != std::string_view::npos;
  const auto rows = rows_of(text, semicolons ? ';' : ',');
  if (rows.empty()) return;
  const auto columns = columns_of(rows.front());
  for (std::size_t i = columns.header ? 1 : 0; i < rows.size(); ++i) read_row(rows[i], columns, file, hints, out);
}

void import_cloudflare(std::string_view text, const std::string& file, const ImportHints& hints, Import& out) {
  const auto document = json::parse(text, nullptr, false);
  const json* list = &document;
  if (document.is_object() && document.contains("result")) list = &document.at("result");
  std::vector<CloudflareRule> rules;
  const auto take = [&rules](const json& object) {
    if (!object.is_object()) return;
    const auto priority = object.find("priority");
    rules.push_back({&object,
                     priority != object.end() && priority->is_number_integer() ? priority->get<std::int64_t>() : 0,
                     rules.size() + 1});
  };
  if (list->is_array()) {
    for (const auto& object : *list) take(object);
  } else if (list->is_object() && list->contains("matchers")) {
    take(*list);
  }
  if (rules.empty()) {
    out.notes.push_back({file, "is no list of rules as Cloudflare's API gives it"});
    return;
  }
  const auto domain = hints.domain.empty() ? only_domain(rules) : hints.domain;
  // The lower number comes first there; here the first of two counts.
  std::sort(rules.begin(), rules.end(), [](const CloudflareRule& a, const CloudflareRule& b) {
    return std::pair(a.priority, a.number) < std::pair(b.priority, b.number);
  });
  for (const auto& rule : rules) read_cloudflare_rule(rule, fmt::format("{}: rule {}", file, rule.number), domain, out);
}

}  // namespace app
