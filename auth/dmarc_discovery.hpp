// Where a domain's DMARC record is and which domain it belongs to: the DNS tree walk of RFC 9989 §4.10, at most eight
// questions a name, and RFC 7489's way over the Public Suffix List. All questions of a walk are asked at once; the
// answers are shared by all walks through the Lookup. Pure.
//
// One thing is stricter than RFC 9989: with a list at hand, a record on a listed public suffix that does not say psd=n
// is read as psd=y. Its owner only forgot the tag, and without it evil.github.io would align with github.io
// (libraries.md §3b). It cannot cost a pass that RFC 7489 would have given.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/dmarc_domain.hpp"
#include "auth/dmarc_record.hpp"
#include "dns/answer.hpp"

namespace auth {

inline constexpr std::size_t kMaxWalkQueries = 8;  // RFC 9989 §4.10

struct LocatedRecord {
  std::string domain;
  DmarcRecord record;
};

// known: the rest is final; pending: questions are open; failed: DNS failed where it decides.
enum class Knowledge { known, pending, failed };

struct Walk {
  Knowledge organization_known = Knowledge::known;
  std::string organization;  // the Organizational Domain; the start itself when no record was found
  Knowledge own_known = Knowledge::known;
  std::optional<DmarcRecord> own;  // at the start
  std::optional<LocatedRecord>
      inherited;  // the organization's, or else the public suffix's, where that is not the start
};

// The names whose _dmarc is asked for, in order: `domain`, then its parents (RFC 9989 §4.10 steps 3 to 7).
std::vector<std::string> walk_targets(std::string_view domain);
// `domain` is normal. `suffixes` may be null.
Walk walk_tree(const std::string& domain, const PublicSuffixList* suffixes, dns::Lookup& lookup);

// RFC 7489 §3.2: a public suffix is its own organization.
std::string listed_organization(const std::string& domain, const PublicSuffixList& suffixes);

// RFC 7489 §6.6.3.
struct ListedPolicy {
  Knowledge known = Knowledge::known;
  bool broken = false;  // a record is there and cannot be read
  std::optional<LocatedRecord> record;
};
ListedPolicy find_listed_policy(const std::string& domain, const PublicSuffixList& suffixes, dns::Lookup& lookup);

}  // namespace auth
