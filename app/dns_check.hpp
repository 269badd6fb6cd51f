// Is DNS as it must be? Compares what it says with DnsFacts, check by check. Pure: the answers are what a dns::Lookup
// knows; check_dns() is the coroutine that fetches them. Used by `onward dns check`, and by the daemon from time to
// time. Everything that comes out of DNS is made printable before it gets into a Check. Threads: any.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/dns_facts.hpp"
#include "dns/resolver.hpp"

namespace app {

enum class CheckStatus { pass, warn, fail };
std::string_view to_string(CheckStatus status);

struct Check {
  std::string name;  // a stable slug: "mx", "spf-egress", "srs-spf", ... (docs/dns.md has them all)
  CheckStatus status = CheckStatus::pass;
  std::string detail;  // one line: what was found
  std::string fix;     // what to do, a line each, zone-file lines where they are; "" for a pass
};

struct DnsReport {
  std::string domain;
  std::vector<Check> checks;

  std::size_t count(CheckStatus status) const;
  CheckStatus worst() const;
  // 0 to 100: a pass counts whole, a warning half, a failure nothing.
  unsigned score() const;
};

// own: the host name, its addresses, the SRS domain and [dkim]. domain: of one domain what nobody else shares.
// whole: a domain's, then our own.
enum class CheckScope { own, domain, whole };

// Nothing: answers are wanted. `domain` is ignored for `own`.
std::optional<DnsReport> check_dns(const DnsFacts& facts, const std::string& domain, CheckScope scope,
                                   core::Wall::time_point now, dns::Lookup& lookup);
// Asks until it knows, at most until the deadline; what is not answered by then is a DNS failure. `facts` outlives it.
net::Awaitable<DnsReport> check_dns(dns::Resolver& resolver, const DnsFacts& facts, std::string domain,
                                    CheckScope scope, core::Deadline deadline);
// Our own report first, then each forwarded domain's, a few at a time; `deadline` is for all of them.
net::Awaitable<std::vector<DnsReport>> check_all_dns(dns::Resolver& resolver, const DnsFacts& facts,
                                                     core::Deadline deadline);

// For the gauges: names that failed, names that only warned, and the lowest score.
struct DnsSummary {
  std::size_t failures = 0, warnings = 0;
  unsigned score = 100;
};
DnsSummary summarise(const std::vector<DnsReport>& reports);

// interface.md §3: {domain, score, checks: [{name, status, detail, fix}]}
nlohmann::json as_json(const DnsReport& report);

}  // namespace app
