// Routes::Builder: turns what configuration says into the look-up structures, and refuses what could go wrong later.
#include <fmt/format.h>

#include <algorithm>

#include "core/text.hpp"
#include "policy/routes.hpp"
#include "policy/routes_impl.hpp"

namespace policy {
namespace {

// Names written differently that are one forwarded domain.
std::string domain_key(std::string_view name) {
  return core::lower(name);
}

}  // namespace

struct Routes::Builder::State {
  std::unique_ptr<RouteTable> impl = std::make_unique<RouteTable>();
  std::vector<Error> errors;
  std::size_t dropped = 0;

  void error(std::string where, std::string key, std::string what, bool dangling = false) {
    if (errors.size() < kMaxErrors) {
      errors.push_back({std::move(where), std::move(key), std::move(what), dangling});
    } else {
      ++dropped;
    }
  }

  void add_rule(Domain& domain, RuleSpec spec);
  std::optional<Rule> compile(const Domain& domain, RuleSpec& spec);
  void compile_destinations(const RuleSpec& spec, Rule& rule);
  void add_postfix_catch_all(Domain& domain);
  void check_aliases(const Domain& domain);
  void check_destination(const mail::Mailbox& start, const std::string& where, const std::string& key);
  void check_rules(const Domain& domain);
};

Routes::Builder::Builder() : state_(std::make_unique<State>()) {}
Routes::Builder::~Builder() = default;

void Routes::Builder::set_postmaster(mail::Mailbox destination) {
  state_->impl->postmaster = std::move(destination);
}

void Routes::Builder::add_own_name(std::string host_or_srs_domain) {
  state_->impl->own_names.insert(core::lower(host_or_srs_domain));
}

std::size_t Routes::Builder::add_domain(DomainSpec spec) {
  auto& impl = *state_->impl;
  const auto index = impl.domains.size();
  auto& domain = impl.domains.emplace_back();
  domain.name = domain_key(spec.name);
  domain.subaddressing = std::move(spec.subaddressing);
  domain.keep_tag = spec.keep_tag;
  domain.where = std::move(spec.where);
  if (!is_forwarded_name(domain.name)) {
    state_->error(
        domain.where, "name",
        fmt::format("\"{}\" is no domain; write \"example.org\" or \"*.example.org\"", core::printable(domain.name)));
    return index;
  }
  const bool wild = domain.name.starts_with("*.");
  auto& names = wild ? impl.wildcard : impl.exact;
  const auto [known, fresh] = names.try_emplace(domain.name.substr(wild ? 2 : 0), index);
  if (!fresh) {
    state_->error(domain.where, "name",
                  fmt::format("{} is already forwarded by {}; a domain has one file", domain.name,
                              impl.domains[known->second].where));
  }
  if (auto wrong = separators_problem(domain.subaddressing)) state_->error(domain.where, "subaddressing", *wrong);
  for (auto& rule : spec.rules) state_->add_rule(domain, std::move(rule));
  return index;
}

void Routes::Builder::State::add_rule(Domain& domain, RuleSpec spec) {
  const bool enabled = spec.enabled;
  const auto kind = spec.kind;
  const auto match = spec.match;
  auto rule = compile(domain, spec);  // also when it is off: what is wrong in it is wrong
  if (!rule || !enabled) return;
  const auto index = domain.rules.size();
  switch (kind) {
    case RuleSpec::Kind::exact: {
      const auto [known, fresh] = domain.exact.try_emplace(plain_local(match), index);
      if (!fresh) {
        error(rule->where, "rule.address",
              fmt::format("{}@{} already has the rule at {}; remove one, or set enabled = false", match, domain.name,
                          domain.rules[known->second].where));
        return;
      }
      ++impl->addresses;
      break;
    }
    case RuleSpec::Kind::pattern:
      domain.patterns.push_back(index);
      break;
    case RuleSpec::Kind::catch_all:
      if (domain.catch_all) {
        error(rule->where, "catch_all", fmt::format("{} already has one", domain.name));
        return;
      }
      domain.catch_all = index;
      break;
  }
  domain.rules.push_back(std::move(*rule));
}

std::optional<Rule> Routes::Builder::State::compile(const Domain& domain, RuleSpec& spec) {
  const auto before = errors.size() + dropped;
  Rule rule;
  rule.action = spec.action;
  rule.raw = spec.raw;
  rule.where = spec.where;
  switch (spec.kind) {
    case RuleSpec::Kind::exact:
      rule.label = domain.name + "/" + core::printable(spec.match);
      if (plain_local(spec.match).empty()) {
        error(spec.where, "rule.address",
              fmt::format("\"{}\" is no local part of a mail address; write what stands left of the @",
                          core::printable(spec.match)));
      }
      break;
    case RuleSpec::Kind::pattern: {
      rule.label = domain.name + "/pattern " + core::printable(spec.match);
      auto pattern = Pattern::compile(spec.match);
      if (pattern) {
        rule.pattern.emplace(std::move(*pattern));
      } else {
        error(spec.where, "rule.pattern", pattern.error().text);
      }
      break;
    }
    case RuleSpec::Kind::catch_all:
      rule.label = domain.name + "/catch_all";
      break;
  }
  compile_destinations(spec, rule);
  if (!spec.reply.empty()) {
    auto reply = parse_reject_reply(spec.reply);
    if (reply) {
      rule.reply = std::move(*reply);
    } else {
      error(spec.where, "rule.reply", reply.error().text);
    }
  }
  for (const auto* globs : {&spec.allow_from, &spec.deny_from}) {
    for (const auto& glob : *globs) {
      if (auto wrong = sender_glob_problem(glob)) {
        error(spec.where, globs == &spec.allow_from ? "rule.allow_from" : "rule.deny_from", *wrong);
      }
    }
  }
  rule.allow_from = std::move(spec.allow_from);
  rule.deny_from = std::move(spec.deny_from);
  if (errors.size() + dropped != before) return std::nullopt;
  return rule;
}

void Routes::Builder::State::compile_destinations(const RuleSpec& spec, Rule& rule) {
  if (spec.action == Action::forward && spec.to.empty()) {
    error(spec.where, "rule.to", "is missing; name at least one address, or set action = \"drop\" or \"reject\"");
  }
  const int captures = rule.pattern ? rule.pattern->captures() : 0;
  const auto compile_list = [&](const std::vector<std::string>& texts, const char* key, std::size_t most,
                                std::vector<Destination>& out) {
    if (texts.size() > most) {
      error(spec.where, key, fmt::format("has more than {} addresses", most));
      return;
    }
    for (const auto& text : texts) {
      auto destination = parse_destination(text, captures);
      if (destination) {
        out.push_back(std::move(*destination));
      } else if (spec.kind != RuleSpec::Kind::pattern || rule.pattern) {  // else the pattern's error is enough
        error(spec.where, key, destination.error().text);
      }
    }
  };
  compile_list(spec.to, "rule.to", kMaxDestinations, rule.to);
  compile_list(spec.fallback, "rule.fallback", kMaxFallbacks, rule.fallback);
  rule.custody = spec.custody;
  rule.rate = spec.rate;
}

void Routes::Builder::add_aliases(std::size_t index, std::string text, std::string file_name) {
  auto& domain = state_->impl->domains[index];
  domain.alias_file = std::move(file_name);
  const auto problem = [this, &domain](unsigned line, std::string what) {
    state_->error(line == 0 ? domain.alias_file : fmt::format("{}:{}", domain.alias_file, line), "", std::move(what));
  };
  domain.aliases = AliasTable(std::move(text), domain.name, problem);
  state_->impl->addresses += domain.aliases.size();
  state_->add_postfix_catch_all(domain);
}

void Routes::Builder::State::add_postfix_catch_all(Domain& domain) {
  const auto& entry = domain.aliases.catch_all();
  if (!entry) return;
  RuleSpec spec;
  spec.kind = RuleSpec::Kind::catch_all;
  spec.where = fmt::format("{}:{}", domain.alias_file, entry->line);
  if (domain.catch_all) {
    error(spec.where, "",
          fmt::format("@{}: the domain has a [catch_all] at {}; remove one of them", domain.name,
                      domain.rules[*domain.catch_all].where));
    return;
  }
  Destinations all(entry->value);
  for (auto text = all.next(); !text.empty(); text = all.next()) spec.to.emplace_back(text);
  add_rule(domain, std::move(spec));
}

// ---- what only shows when everything is known

// Follows one address as a message would: circles, too many destinations, and destinations that nobody takes (LP-03).
void Routes::Builder::State::check_destination(const mail::Mailbox& start, const std::string& where,
                                               const std::string& key) {
  Expansion expansion(*impl, nullptr);
  expansion.run(start);
  const auto& chain = expansion.chain();
  switch (expansion.fault()) {
    case Expansion::Fault::none:
      break;
    case Expansion::Fault::cycle:
      error(where, key, fmt::format("leads in a circle: {}", chain));
      return;
    case Expansion::Fault::too_deep:
      error(where, key, fmt::format("is forwarded more than {} times inside: {}", kMaxDepth, chain));
      return;
    case Expansion::Fault::too_wide:
      error(where, key, fmt::format("expands to more than {} addresses: {}", kMaxDestinations, chain));
      return;
    case Expansion::Fault::dangling:
      error(where, key,
            fmt::format("leads to an address that no rule takes: {}; add a rule for it, or correct it", chain), true);
      return;
  }
  if (expansion.route().kind == Route::Kind::unknown && expansion.route().rule.empty()) {
    error(where, key,
          fmt::format("{} is in a forwarded domain, but no rule takes it; add a rule for it, or correct it",
                      start.to_string()),
          true);
  }
}

void Routes::Builder::State::check_rules(const Domain& domain) {
  for (const auto& rule : domain.rules) {
    for (const auto& fallback : rule.fallback) {
      if (impl->domain_of(fallback.address.domain) == nullptr) continue;
      error(rule.where, "rule.fallback",
            fmt::format("{} is in a forwarded domain; a fallback is a mailbox outside", fallback.address.to_string()));
    }
  }
  const auto inside = [this](const Destination& to) { return !to.has_captures && impl->is_inside(to.address); };
  std::vector<std::pair<std::size_t, std::string_view>> in_file_order;
  for (const auto& [local, index] : domain.exact) in_file_order.emplace_back(index, local);
  std::sort(in_file_order.begin(), in_file_order.end());
  for (const auto& [index, local] : in_file_order) {
    const auto& rule = domain.rules[index];
    if (std::none_of(rule.to.begin(), rule.to.end(), inside)) continue;
    if (const auto address = mail::make_mailbox(local, "x.example", mail::Utf8::yes)) {
      check_destination({address->local, domain.name}, rule.where, "rule.to");
    }
  }
  auto others = domain.patterns;
  if (domain.catch_all) others.push_back(*domain.catch_all);
  for (const auto index : others) {
    const auto& rule = domain.rules[index];
    for (const auto& to : rule.to) {
      if (inside(to)) check_destination(to.address, rule.where, "rule.to");
    }
  }
}

void Routes::Builder::State::check_aliases(const Domain& domain) {
  std::string last_domain;  // most tables send most of their mail to few domains
  bool last_inside = false;
  domain.aliases.for_each([&](const AliasTable::Entry& entry) {
    const auto where = [&] { return fmt::format("{}:{}", domain.alias_file, entry.line); };
    bool inside = false;
    std::size_t count = 0;
    Destinations all(entry.value);
    for (auto text = all.next(); !text.empty(); text = all.next()) {
      const auto to = parse_destination(text, 0);
      if (!to) {
        const bool command = text.find_first_of("|/:\\") == 0;
        error(where(), "",
              command ? "commands, files and :include: are not supported; only addresses are" : to.error().text);
        return;
      }
      if (++count > kMaxDestinations) {
        error(where(), "", fmt::format("{}: has more than {} addresses", core::printable(entry.key), kMaxDestinations));
        return;
      }
      if (to->address.domain != last_domain) {
        last_domain = to->address.domain;
        last_inside = impl->domain_of(last_domain) != nullptr || impl->own_names.contains(core::lower(last_domain));
      }
      inside = inside || last_inside;
    }
    if (!inside) return;
    const auto local = plain_local(entry.key);
    if (const auto address = mail::make_mailbox(local, "x.example", mail::Utf8::yes)) {
      check_destination({address->local, domain.name}, where(), "");
    }
  });
}

std::shared_ptr<const Routes> Routes::Builder::build(std::vector<Error>& errors) {
  auto& state = *state_;
  for (const auto& domain : state.impl->domains) {
    state.check_rules(domain);
    state.check_aliases(domain);
  }
  if (state.impl->postmaster && state.impl->is_inside(*state.impl->postmaster)) {
    state.check_destination(*state.impl->postmaster, "", "postmaster");
  }
  if (state.dropped != 0) {
    state.errors.push_back({"", "", fmt::format("and {} mistakes more in the rules", state.dropped)});
  }
  if (!state.errors.empty()) {
    errors.insert(errors.end(), std::make_move_iterator(state.errors.begin()),
                  std::make_move_iterator(state.errors.end()));
    return nullptr;
  }
  return std::shared_ptr<const Routes>(new Routes(std::move(state.impl)));
}

}  // namespace policy
