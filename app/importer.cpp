// What all importers share: checking the rules, and writing domain files.
#include "app/importer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "app/setup.hpp"
#include "core/text.hpp"
#include "mail/address.hpp"
#include "policy/pattern.hpp"
#include "policy/rule_syntax.hpp"

namespace app {
namespace {

using Kind = policy::RuleSpec::Kind;

std::string key_of(const ImportedRule& rule) {
  if (rule.kind == Kind::catch_all) return "*";
  return rule.kind == Kind::pattern ? "/" + rule.match : policy::plain_local(rule.match);
}

std::string shown(const ImportedRule& rule, const std::string& domain) {
  const auto local = rule.kind == Kind::catch_all ? std::string() : rule.match;
  return core::printable(local + "@" + domain);
}

// Keeps the destinations that can be one; nothing left of a rule that had some: the rule goes.
bool settle_destinations(ImportedRule& rule, const std::string& domain, int captures, std::vector<ImportNote>& notes) {
  if (rule.action != policy::Action::forward) return true;
  std::vector<std::string> good;
  for (auto& to : rule.to) {
    const auto parsed = policy::parse_destination(to, captures);
    if (!parsed) {
      notes.push_back({rule.where, fmt::format("{}: destination {}: {}", shown(rule, domain), core::printable(to),
                                               parsed.error().text)});
      continue;
    }
    if (std::find(good.begin(), good.end(), to) == good.end()) good.push_back(std::move(to));
  }
  if (good.size() > policy::kMaxDestinations) {
    notes.push_back({rule.where, fmt::format("{}: has {} destinations; {} are kept", shown(rule, domain), good.size(),
                                             policy::kMaxDestinations)});
    good.resize(policy::kMaxDestinations);
  }
  rule.to = std::move(good);
  if (rule.to.empty()) notes.push_back({rule.where, shown(rule, domain) + ": left out: it leads nowhere"});
  return !rule.to.empty();
}

bool settle_rule(ImportedRule& rule, const std::string& domain, std::set<std::string>& seen,
                 std::vector<ImportNote>& notes) {
  int captures = 0;
  const auto leave_out = [&](std::string_view why) {
    notes.push_back({rule.where, fmt::format("{}: left out: {}", shown(rule, domain), why)});
    return false;
  };
  // Our reader takes no such values (OP-02).
  const bool clean = core::is_utf8(rule.match) && std::none_of(rule.match.begin(), rule.match.end(), [](char c) {
                       return static_cast<unsigned char>(c) < 0x20 || c == '\x7f';
                     });
  if (!clean) return leave_out("octets in it that are no text");
  if (rule.kind == Kind::pattern) {
    const auto compiled = policy::Pattern::compile(rule.match);
    if (!compiled) return leave_out(compiled.error().text);
    captures = compiled->captures();
  } else if (rule.kind == Kind::exact &&
             (policy::plain_local(rule.match).empty() || rule.match.find('@') != std::string::npos)) {
    return leave_out("no local part of a mail address");
  }
  if (!settle_destinations(rule, domain, captures, notes)) return false;
  if (!seen.insert(key_of(rule)).second) return leave_out("it is there twice; the first one counts");
  return true;
}

// Everything that only shows when the rules are put together: circles, destinations inside that nobody takes.
void settle_routes(Import& import) {
  policy::Routes::Builder builder;
  for (const auto& [domain, rules] : import.domains) {
    policy::DomainSpec spec;
    spec.name = domain;
    spec.where = domain;
    for (const auto& rule : rules) {
      policy::RuleSpec one;
      one.kind = rule.kind;
      one.match = rule.match;
      one.action = rule.action;
      one.to = rule.to;
      one.enabled = rule.enabled;
      one.where = rule.where;
      spec.rules.push_back(std::move(one));
    }
    static_cast<void>(builder.add_domain(std::move(spec)));
  }
  std::vector<policy::Routes::Builder::Error> errors;
  static_cast<void>(builder.build(errors));
  for (auto& error : errors) {
    import.notes.push_back({error.where, "onward check will refuse this: " + core::printable(error.what)});
  }
}

std::string quoted_pattern(const std::string& pattern) {
  const bool plain =
      std::all_of(pattern.begin(), pattern.end(), [](char c) { return c >= ' ' && c != '\x7f' && c != '\''; });
  return plain ? "'" + pattern + "'" : toml_string(pattern);
}

void write_comments(const ImportedRule& rule, std::string& out) {
  for (const auto& comment : rule.comments) {
    const auto text = core::printable(comment);
    out += text.empty() ? "#\n" : fmt::format("# {}\n", text);
  }
}

void write_rule(const ImportedRule& rule, std::string& out) {
  out += '\n';
  write_comments(rule, out);
  if (rule.kind == Kind::catch_all) {
    out += "[catch_all]\n";
  } else {
    out += "[[rule]]\n";
    out += rule.kind == Kind::pattern ? fmt::format("pattern = {}\n", quoted_pattern(rule.match))
                                      : fmt::format("address = {}\n", toml_string(rule.match));
  }
  if (rule.action == policy::Action::forward) {
    std::string to;
    for (const auto& one : rule.to) to += (to.empty() ? "" : ", ") + toml_string(one);
    out += fmt::format("to = [{}]\n", to);
  } else {
    out += fmt::format("action = \"{}\"\n", rule.action == policy::Action::drop ? "drop" : "reject");
  }
  if (!rule.enabled) out += "enabled = false\n";
}

// What an alias table can say too.
bool is_plain(const ImportedRule& rule) {
  return rule.kind == Kind::exact && rule.action == policy::Action::forward && rule.enabled &&
         rule.match.find_first_of(" \t\":#") == std::string::npos;
}

}  // namespace

void settle_import(Import& import) {
  for (auto it = import.domains.begin(); it != import.domains.end();) {
    auto& [domain, rules] = *it;
    if (!policy::is_forwarded_name(domain)) {
      const auto where = rules.empty() ? std::string() : rules.front().where;
      import.notes.push_back({where, core::printable(domain) + ": left out: no domain name"});
      it = import.domains.erase(it);
      continue;
    }
    std::set<std::string> seen;
    std::vector<ImportedRule> good;
    for (auto& rule : rules) {
      if (settle_rule(rule, domain, seen, import.notes)) good.push_back(std::move(rule));
    }
    rules = std::move(good);
    ++it;
  }
  settle_routes(import);
}

std::vector<std::pair<std::string, std::string>> domain_files(const Import& import, std::string_view origin) {
  std::vector<std::pair<std::string, std::string>> files;
  for (const auto& [domain, rules] : import.domains) {
    const auto name = domain.starts_with("*.") ? "any" + domain.substr(1) : domain;
    const auto plain = static_cast<std::size_t>(std::count_if(rules.begin(), rules.end(), is_plain));
    const bool table = plain > kManyRules;
    auto text = fmt::format("# From {}.\nname = {}\n", core::printable(origin), toml_string(domain));
    std::string aliases;
    if (table) text += fmt::format("aliases = {}\n", toml_string(name + ".aliases"));
    for (const auto& rule : rules) {
      if (!table || !is_plain(rule)) {
        write_rule(rule, text);
        continue;
      }
      write_comments(rule, aliases);
      aliases += fmt::format("{}: {}\n", rule.match, fmt::join(rule.to, ", "));
    }
    files.emplace_back(name + ".toml", std::move(text));
    if (table) files.emplace_back(name + ".aliases", std::move(aliases));
  }
  return files;
}

}  // namespace app
