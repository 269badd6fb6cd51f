// Who forwards where: the rules of all forwarded domains as one immutable snapshot. Look-up is O(1) in the number of
// addresses (patterns of one domain are tried in file order). Pure: no I/O, no clock. Thread-safe after construction.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mail/address.hpp"
#include "mail/reply.hpp"
#include "policy/rate_limit.hpp"

namespace policy {

enum class Action { forward, drop, reject };
// Who keeps a message until its destination has it (interface.md §6.2).
enum class Custody { sender, queue };

// One rule as configuration gives it; plain data, already syntax-checked.
struct RuleSpec {
  enum class Kind { exact, pattern, catch_all } kind = Kind::exact;
  std::string match;  // local part (as written, ASCII case ignored) or RE2 pattern (policy/pattern.hpp)
  Action action = Action::forward;
  std::vector<std::string> to;        // destinations; may hold $1..$9 for patterns
  std::vector<std::string> fallback;  // like `to`, each outside of all forwarded domains
  std::optional<Custody> custody;     // nothing: as the daemon does
  std::optional<RateLimit> rate;      // recipients the rule takes; nothing: policy.rate's
  std::string reply;                  // "550 5.1.6 text" for reject; "" is the default 550 5.1.1 (Route::Kind::unknown)
  bool enabled = true;
  bool raw = false;  // interface.md §6.27
  // Globs on the envelope sender, "<>" for the null one; deny_from first, then one of allow_from must match, if any.
  std::vector<std::string> allow_from, deny_from;
  std::string where;  // "domains/example.org.toml:12", for errors and `onward route`
};

struct DomainSpec {
  std::string name;                 // "example.org" or "*.example.org", lower case, A-labels
  std::string subaddressing = "+";  // one or more separator characters, "" off; the longest address without tag wins
  bool keep_tag = false;
  std::vector<RuleSpec> rules;  // a rule wins over an alias of the same local part
  std::string where;
};

struct Route {
  enum class Kind {
    forward,
    drop,
    reject,         // `reply`: the rule's own, or 554 5.4.6 when patterns lead in a circle or too far (LP-03)
    unknown,        // our domain, no such address: 550 5.1.1
    not_ours,       // not a forwarded domain: 550 5.7.1 relay-denied
    sender_denied,  // allow_from / deny_from: 550 5.7.1
  } kind = Kind::not_ours;
  std::string rule;    // "example.org/sales", "example.org/pattern inv-(\\d+)", "example.org/catch_all", "postmaster"
  std::string where;   // file:line of the rule
  std::string domain;  // the forwarded domain that took it: whose own DKIM key signs
  std::vector<mail::Mailbox> destinations;  // final ones, each outside of our forwarded domains, no duplicates
  // For each destination, whom to try when it will not have the message; of the rule that names it.
  std::vector<std::vector<mail::Mailbox>> fallbacks;
  std::optional<Custody> custody;    // of the first rule on the way that says
  std::optional<RateLimit> rate;     // of the rule that took the recipient
  std::optional<mail::Reply> reply;  // for reject
};

struct RouteTable;  // policy/routes_impl.hpp

class Routes {
 public:
  class Builder;
  ~Routes();

  // The whole decision for one recipient; follows destinations inside forwarded domains at most 10 deep and 100 wide
  // (LP-03). When one of several destinations inside refuses (reject, sender lists, unknown), the recipient is refused
  // as a whole, so that nobody's mail is lost in silence. <postmaster> and postmaster@ any forwarded domain go to the
  // postmaster address unless a rule says otherwise; postmaster@ and abuse@ of `own_names` (host name, SRS domain) too.
  // A rule here is one that is more than a catch-all.
  Route resolve(const mail::ForwardPath& recipient, const mail::ReversePath& sender) const;
  // Is `domain` forwarded (exactly or as a wildcard)?
  bool is_ours(std::string_view domain) const;
  std::size_t addresses() const;
  std::vector<std::string> domains() const;

 private:
  friend class Builder;
  explicit Routes(std::unique_ptr<RouteTable> impl);
  std::unique_ptr<RouteTable> impl_;
};

// Collects the domains, then checks everything at once: bad patterns, bad destinations, duplicates, cycles (printed as
// "a@x -> b@y -> a@x").
class Routes::Builder {
 public:
  struct Error {
    std::string where;  // "file:line", or a file alone
    std::string key;    // "rule.to", "aliases", ...; "" when it is about no key
    std::string what;
    bool dangling = false;  // a destination in a forwarded domain that no rule takes: may follow from another error
  };
  Builder();
  ~Builder();
  void set_postmaster(mail::Mailbox destination);
  void add_own_name(std::string host_or_srs_domain);
  // Returns the index to be used with add_aliases.
  std::size_t add_domain(DomainSpec spec);
  // A bulk table's text, see policy/alias_table.hpp; one a domain. 1,000,000 aliases cost < 250 MB and load in < 3 s.
  void add_aliases(std::size_t domain, std::string text, std::string file_name);
  // Null when there are errors (at most kMaxErrors are told). To be called once.
  static constexpr std::size_t kMaxErrors = 1000;
  std::shared_ptr<const Routes> build(std::vector<Error>& errors);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace policy
