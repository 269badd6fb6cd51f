#include "policy/routes.hpp"

#include <algorithm>

#include "core/text.hpp"
#include "policy/routes_impl.hpp"

namespace policy {
namespace {

// The same for all spellings of an address inside our domains.
std::string inside_key(const mail::Mailbox& address) {
  return core::lower(address.unquoted_local()) + "@" + core::lower(address.domain);
}

// interface.md §6.16: duplicates outside differ in the domain's case only.
std::string outside_key(const mail::Mailbox& address) {
  return address.local + "@" + core::lower(address.domain);
}

// Empty when the result is no mailbox, or when a capture may not stand there (interface.md §6.27).
std::optional<mail::Mailbox> substitute(const mail::Mailbox& form, const std::vector<std::string_view>& captures,
                                        bool raw) {
  std::string local;
  for (std::size_t i = 0; i < form.local.size(); ++i) {
    const bool group = form.local[i] == '$' && i + 1 < form.local.size() && core::is_digit(form.local[i + 1]);
    if (!group) {
      local += form.local[i];
      continue;
    }
    const auto number = static_cast<std::size_t>(form.local[++i] - '0');
    if (number == 0 || number > captures.size()) return std::nullopt;
    const auto capture = captures[number - 1];
    // RL-01: forms by which somebody else's server could be made to relay further.
    if (!raw && capture.find_first_of("%!@") != std::string_view::npos) return std::nullopt;
    local += capture;
  }
  auto result = mail::parse_mailbox(local + "@" + form.domain, mail::Utf8::yes);
  if (!result || result->domain != form.domain) return std::nullopt;
  return std::move(*result);
}

}  // namespace

// ---- who takes an address

const Domain* RouteTable::domain_of(std::string_view name) const {
  const auto lower = core::lower(name);
  if (const auto it = exact.find(lower); it != exact.end()) return &domains[it->second];
  if (wildcard.empty()) return nullptr;
  std::string_view rest = lower;
  for (auto dot = rest.find('.'); dot != std::string_view::npos; dot = rest.find('.')) {
    rest.remove_prefix(dot + 1);
    if (const auto it = wildcard.find(rest); it != wildcard.end()) return &domains[it->second];
  }
  return nullptr;
}

// RFC 5321 §4.5.1, RFC 2142 §4; interface.md §6.25.
bool RouteTable::is_postmaster_name(std::string_view domain, std::string_view plain_local) const {
  const bool own = own_names.contains(core::lower(domain));
  if (plain_local == "postmaster") return own || domain_of(domain) != nullptr;
  return own && plain_local == "abuse";
}

bool RouteTable::is_inside(const mail::Mailbox& address) const {
  return domain_of(address.domain) != nullptr ||
         (postmaster && is_postmaster_name(address.domain, core::lower(address.unquoted_local())));
}

void RouteTable::find(const mail::Mailbox& address, Match& match) const {
  match.local = address.unquoted_local();
  match.domain = domain_of(address.domain);
  const auto plain = core::lower(match.local);
  const bool for_postmaster = postmaster && is_postmaster_name(address.domain, plain);
  if (match.domain == nullptr) {
    match.kind = for_postmaster ? Match::Kind::postmaster : Match::Kind::not_ours;
    return;
  }
  const Domain& domain = *match.domain;
  const auto take_exact = [&](std::string_view local) {
    if (const auto it = domain.exact.find(local); it != domain.exact.end()) {
      match.kind = Match::Kind::rule;
      match.rule = &domain.rules[it->second];
      return true;
    }
    if (const auto entry = domain.aliases.find(local)) {
      match.kind = Match::Kind::alias;
      match.alias = *entry;
      return true;
    }
    return false;
  };
  if (take_exact(plain)) return;
  // The longest address without its tag wins: "a-b-c" is "a-b" before it is "a".
  const std::string_view separators = domain.subaddressing;
  for (auto at = plain.size(); at > 1;) {
    if (separators.find(plain[--at]) == std::string_view::npos) continue;
    if (!take_exact(std::string_view(plain).substr(0, at))) continue;
    match.tag = match.local.substr(at);
    return;
  }
  for (const auto index : domain.patterns) {
    if (auto captures = domain.rules[index].pattern->match(match.local)) {
      match.kind = Match::Kind::rule;
      match.rule = &domain.rules[index];
      match.captures = std::move(*captures);
      return;
    }
  }
  if (for_postmaster) {
    match.kind = Match::Kind::postmaster;
  } else if (domain.catch_all) {
    match.kind = Match::Kind::rule;
    match.rule = &domain.rules[*domain.catch_all];
  } else {
    match.kind = Match::Kind::unknown;
  }
}

// ---- where it leads

void Expansion::run(const mail::Mailbox& address) {
  if (visit(address)) route_.kind = route_.destinations.empty() ? Route::Kind::drop : Route::Kind::forward;
}

// What took the recipient itself, for logs and `onward route`.
void Expansion::note(const Match& match) {
  if (match.domain != nullptr) route_.domain = match.domain->name;
  switch (match.kind) {
    case Match::Kind::rule:
      route_.rule = match.rule->label;
      route_.where = match.rule->where;
      route_.rate = match.rule->rate;
      break;
    case Match::Kind::alias:
      route_.rule = match.domain->name + "/" + std::string(match.alias.key);
      route_.where = match.domain->alias_file + ":" + std::to_string(match.alias.line);
      break;
    case Match::Kind::postmaster:
      route_.rule = "postmaster";
      break;
    case Match::Kind::unknown:
    case Match::Kind::not_ours:
      break;
  }
}

bool Expansion::visit(const mail::Mailbox& address) {
  auto key = inside_key(address);
  const bool looped = std::find(path_.begin(), path_.end(), key) != path_.end();
  if (looped) return fail(Fault::cycle, address);
  if (path_.size() > kMaxDepth) return fail(Fault::too_deep, address);
  if (!inside_.insert(key).second) return true;  // its destinations are there already
  if (inside_.size() > kMaxDestinations + 1) return fail(Fault::too_wide, address);
  path_.push_back(std::move(key));
  Match match;
  routes_.find(address, match);
  if (path_.size() == 1) note(match);
  if (match.kind == Match::Kind::unknown && path_.size() > 1) {
    path_.pop_back();
    return fail(Fault::dangling, address);
  }
  if (!follow(match)) return false;
  path_.pop_back();
  return true;
}

bool Expansion::follow(const Match& match) {
  switch (match.kind) {
    case Match::Kind::rule:
      return follow_rule(match);
    case Match::Kind::alias:
      return follow_aliases(match);
    case Match::Kind::postmaster:
      return go_on(*routes_.postmaster, match);
    case Match::Kind::unknown:
      return refuse(Route::Kind::unknown);
    case Match::Kind::not_ours:
      break;
  }
  return refuse(Route::Kind::not_ours);
}

bool Expansion::follow_rule(const Match& match) {
  const Rule& rule = *match.rule;
  if (!route_.custody) route_.custody = rule.custody;
  if (sender_ != nullptr && sender_denied(rule)) return refuse(Route::Kind::sender_denied);
  if (rule.action == Action::drop) return true;
  if (rule.action == Action::reject) {
    return rule.reply ? refuse(Route::Kind::reject, rule.reply) : refuse(Route::Kind::unknown);
  }
  for (const auto& destination : rule.to) {
    if (!destination.has_captures) {
      if (!go_on(destination.address, match)) return false;
      continue;
    }
    const auto address = substitute(destination.address, match.captures, rule.raw);
    if (!address) return refuse(Route::Kind::unknown);
    if (!go_on(*address, match)) return false;
  }
  return true;
}

bool Expansion::follow_aliases(const Match& match) {
  Destinations all(match.alias.value);
  for (auto text = all.next(); !text.empty(); text = all.next()) {
    const auto address = mail::parse_mailbox(text, mail::Utf8::yes);
    // The builder has read every one of them.
    if (!address) return refuse(Route::Kind::unknown);
    if (!go_on(*address, match)) return false;
  }
  return true;
}

bool Expansion::go_on(const mail::Mailbox& destination, const Match& match) {
  const mail::Mailbox* address = &destination;
  mail::Mailbox tagged;
  if (!match.tag.empty() && match.domain->keep_tag) {
    auto with_tag = mail::make_mailbox(destination.unquoted_local() + match.tag, destination.domain, mail::Utf8::yes);
    if (!with_tag) return refuse(Route::Kind::unknown);
    tagged = std::move(*with_tag);
    address = &tagged;
  }
  if (routes_.is_inside(*address)) return visit(*address);
  if (!outside_.insert(outside_key(*address)).second) return true;
  if (outside_.size() > kMaxDestinations) return fail(Fault::too_wide, *address);
  std::vector<mail::Mailbox> fallback;
  if (match.kind == Match::Kind::rule) {
    for (const auto& other : match.rule->fallback) {
      const auto resolved = other.has_captures ? substitute(other.address, match.captures, match.rule->raw)
                                               : std::optional(other.address);
      if (!resolved) return refuse(Route::Kind::unknown);
      fallback.push_back(*resolved);
    }
  }
  route_.destinations.push_back(*address);
  route_.fallbacks.push_back(std::move(fallback));
  return true;
}

bool Expansion::sender_denied(const Rule& rule) const {
  const auto text =
      sender_->null() ? std::string("<>") : sender_->mailbox.unquoted_local() + "@" + sender_->mailbox.domain;
  const auto matches = [&](const std::string& glob) { return core::glob_match(glob, text); };
  if (std::any_of(rule.deny_from.begin(), rule.deny_from.end(), matches)) return true;
  return !rule.allow_from.empty() && std::none_of(rule.allow_from.begin(), rule.allow_from.end(), matches);
}

// One refusal refuses the whole recipient: nobody's part of the mail is lost in silence.
bool Expansion::refuse(Route::Kind kind, std::optional<mail::Reply> reply) {
  route_.kind = kind;
  route_.reply = std::move(reply);
  route_.destinations.clear();
  route_.fallbacks.clear();
  return false;
}

bool Expansion::fail(Fault fault, const mail::Mailbox& at) {
  fault_ = fault;
  const auto last = inside_key(at);
  auto from = path_.begin();
  if (fault == Fault::cycle) from = std::find(path_.begin(), path_.end(), last);
  for (auto it = from; it != path_.end(); ++it) chain_ += *it + " -> ";
  chain_ += last;
  if (fault == Fault::dangling) return refuse(Route::Kind::unknown);
  return refuse(Route::Kind::reject, mail::Reply(554, {5, 4, 6}, "Forwarding rules loop or expand too far"));
}

// ---- Routes

Routes::Routes(std::unique_ptr<RouteTable> impl) : impl_(std::move(impl)) {}
Routes::~Routes() = default;

Route Routes::resolve(const mail::ForwardPath& recipient, const mail::ReversePath& sender) const {
  Expansion expansion(*impl_, &sender);
  if (!recipient.is_bare_postmaster()) {
    expansion.run(recipient.mailbox);
    return expansion.take();
  }
  // RFC 5321 §4.5.1: <postmaster> without a domain.
  Route route;
  route.kind = Route::Kind::unknown;
  if (impl_->postmaster) {
    if (impl_->is_inside(*impl_->postmaster)) {
      expansion.run(*impl_->postmaster);
      route = expansion.take();
    } else {
      route.kind = Route::Kind::forward;
      route.destinations.push_back(*impl_->postmaster);
      route.fallbacks.emplace_back();
    }
  }
  route.rule = "postmaster";
  return route;
}

bool Routes::is_ours(std::string_view domain) const {
  return impl_->domain_of(domain) != nullptr;
}

std::size_t Routes::addresses() const {
  return impl_->addresses;
}

std::vector<std::string> Routes::domains() const {
  std::vector<std::string> names;
  for (const auto& domain : impl_->domains) names.push_back(domain.name);
  return names;
}

}  // namespace policy
