// The inside of Routes, shared by its builder and its look-up; nobody else includes it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "policy/alias_table.hpp"
#include "policy/pattern.hpp"
#include "policy/routes.hpp"
#include "policy/rule_syntax.hpp"

namespace policy {

struct Rule {
  Action action = Action::forward;
  std::vector<Destination> to, fallback;
  std::optional<Custody> custody;
  std::optional<RateLimit> rate;
  std::optional<mail::Reply> reply;
  bool raw = false;
  std::vector<std::string> allow_from, deny_from;
  std::optional<Pattern> pattern;
  std::string label;  // "example.org/sales"
  std::string where;
};

// Keys may be looked up by string_view.
struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>()(text); }
};
template <class T>
using StringMap = std::unordered_map<std::string, T, StringHash, std::equal_to<>>;

struct Domain {
  std::string name;
  std::string subaddressing;
  bool keep_tag = false;
  std::vector<Rule> rules;
  StringMap<std::size_t> exact;  // plain local part -> rules
  std::vector<std::size_t> patterns;
  std::optional<std::size_t> catch_all;
  AliasTable aliases;
  std::string alias_file;
  std::string where;
};

// What takes an address.
struct Match {
  enum class Kind { rule, alias, postmaster, unknown, not_ours } kind = Kind::not_ours;
  const Domain* domain = nullptr;
  const Rule* rule = nullptr;
  AliasTable::Entry alias;
  std::string tag;                         // with its separator, when it was taken off
  std::vector<std::string_view> captures;  // views into `local`
  std::string local;                       // unquoted, as written
};

struct RouteTable {
  std::vector<Domain> domains;
  StringMap<std::size_t> exact;     // lower-case name -> domains
  StringMap<std::size_t> wildcard;  // "example.org" for "*.example.org"
  std::set<std::string, std::less<>> own_names;
  std::optional<mail::Mailbox> postmaster;
  std::size_t addresses = 0;

  const Domain* domain_of(std::string_view name) const;
  bool is_postmaster_name(std::string_view domain, std::string_view plain_local) const;
  // Captures in the result are views into its own `local`, hence the reference.
  void find(const mail::Mailbox& address, Match& match) const;
  // In a forwarded domain, or one of the addresses of our own names: to be resolved again.
  bool is_inside(const mail::Mailbox& address) const;
};

// Follows one address to its final destinations, within the bounds of LP-03.
class Expansion {
 public:
  // Without `sender` the rules' sender lists are not looked at (when rules are checked).
  Expansion(const RouteTable& routes, const mail::ReversePath* sender) : routes_(routes), sender_(sender) {}

  void run(const mail::Mailbox& address);
  const Route& route() const { return route_; }
  Route take() { return std::move(route_); }
  // The chain that loops, is too deep or leads nowhere: "a@x -> b@y -> a@x"; "" when there is none.
  const std::string& chain() const { return chain_; }
  enum class Fault { none, cycle, too_deep, too_wide, dangling };
  Fault fault() const { return fault_; }

 private:
  bool visit(const mail::Mailbox& address);
  void note(const Match& match);
  bool follow(const Match& match);
  bool follow_rule(const Match& match);
  bool follow_aliases(const Match& match);
  bool go_on(const mail::Mailbox& destination, const Match& match);
  bool fail(Fault fault, const mail::Mailbox& at);
  bool refuse(Route::Kind kind, std::optional<mail::Reply> reply = std::nullopt);
  bool sender_denied(const Rule& rule) const;

  const RouteTable& routes_;
  const mail::ReversePath* sender_;
  Route route_;
  std::vector<std::string> path_;  // addresses being followed, the first is the recipient
  std::set<std::string> inside_;   // forwarded addresses seen
  std::set<std::string> outside_;  // destinations
  std::string chain_;
  Fault fault_ = Fault::none;
};

}  // namespace policy
