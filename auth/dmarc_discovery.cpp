#include "auth/dmarc_discovery.hpp"

#include <algorithm>

namespace auth {
namespace {

const dns::Answer* ask_record(std::string_view domain, dns::Lookup& lookup) {
  return lookup.ask({"_dmarc." + std::string(domain), dns::Type::txt});
}

Psd psd_of(const LocatedRecord& found, const PublicSuffixList* suffixes) {
  if (found.record.psd == Psd::unknown && suffixes && suffixes->is_listed_suffix(found.domain)) return Psd::yes;
  return found.record.psd;
}

struct Trail {
  std::vector<LocatedRecord> found;  // from the start upwards
  std::vector<std::string> failed;   // names DNS did not answer for
  bool pending = false;
};

// RFC 9989 §4.10 steps 1, 2, 5, 6: up to the first record that says whether it is a public suffix's.
Trail follow(const std::vector<std::string>& targets, const PublicSuffixList* suffixes, dns::Lookup& lookup) {
  Trail trail;
  std::vector<const dns::Answer*> answers;
  for (const auto& target : targets) answers.push_back(ask_record(target, lookup));
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (!answers[i]) {
      trail.pending = true;
      return trail;
    }
    if (answers[i]->status == dns::Status::failure) {
      trail.failed.push_back(targets[i]);
      continue;
    }
    const auto selection = select_dmarc_record(answers[i]->texts);
    if (selection.found != Found::one) continue;
    auto record = parse_dmarc_record(selection.text, Dialect::rfc9989);
    if (!record) continue;
    trail.found.push_back({targets[i], std::move(*record)});
    if (psd_of(trail.found.back(), suffixes) != Psd::unknown) break;
  }
  return trail;
}

// What is not known at a public suffix changes nothing when the name below it has a record: that name is the
// organization either way. So a top level domain whose servers stumble over _dmarc does not hold up mail.
bool is_immaterial(const std::string& failed, const Trail& trail, const PublicSuffixList* suffixes) {
  if (!suffixes || !suffixes->is_listed_suffix(failed)) return false;
  return std::any_of(trail.found.begin(), trail.found.end(), [&failed](const LocatedRecord& found) {
    return count_labels(found.domain) == count_labels(failed) + 1;
  });
}

}  // namespace

std::vector<std::string> walk_targets(std::string_view domain) {
  std::vector<std::string> targets{std::string(domain)};
  const auto labels = count_labels(domain);
  if (labels == 0) return {};
  for (std::size_t left = std::min(labels - 1, kMaxWalkQueries - 1); left > 0; --left) {
    targets.emplace_back(last_labels(domain, left));
  }
  return targets;
}

Walk walk_tree(const std::string& domain, const PublicSuffixList* suffixes, dns::Lookup& lookup) {
  Walk walk;
  walk.organization = domain;
  const auto* first = ask_record(domain, lookup);
  auto trail = follow(walk_targets(domain), suffixes, lookup);
  if (!first) {
    walk.own_known = Knowledge::pending;
  } else if (first->status == dns::Status::failure) {
    walk.own_known = Knowledge::failed;
  }
  if (!trail.found.empty() && trail.found.front().domain == domain) walk.own = trail.found.front().record;
  if (trail.pending) {
    walk.organization_known = Knowledge::pending;
    return walk;
  }
  const bool gap = std::any_of(trail.failed.begin(), trail.failed.end(),
                               [&](const std::string& name) { return !is_immaterial(name, trail, suffixes); });
  if (gap) walk.organization_known = Knowledge::failed;
  if (trail.found.empty()) return walk;

  // RFC 9989 §4.10.2: only the last one can say psd=, and it is the one with the fewest labels.
  auto& top = trail.found.back();
  const bool below = top.domain != domain && psd_of(top, suffixes) == Psd::yes;
  walk.organization = below ? std::string(last_labels(domain, count_labels(top.domain) + 1)) : top.domain;
  // RFC 9989 §4.10.1: the organization's record, else the public suffix's.
  for (auto& found : trail.found) {
    const bool of_organization = found.domain == walk.organization;
    if (found.domain == domain || !(of_organization || (below && &found == &top))) continue;
    walk.inherited = std::move(found);
    break;
  }
  return walk;
}

std::string listed_organization(const std::string& domain, const PublicSuffixList& suffixes) {
  return suffixes.registrable_domain(domain).value_or(domain);
}

ListedPolicy find_listed_policy(const std::string& domain, const PublicSuffixList& suffixes, dns::Lookup& lookup) {
  ListedPolicy policy;
  std::vector<std::string> names{domain};
  if (auto organization = listed_organization(domain, suffixes); organization != domain) {
    names.push_back(std::move(organization));
  }
  std::vector<const dns::Answer*> answers;
  for (const auto& name : names) answers.push_back(ask_record(name, lookup));
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!answers[i] || answers[i]->status == dns::Status::failure) {
      policy.known = answers[i] ? Knowledge::failed : Knowledge::pending;
      return policy;
    }
    const auto selection = select_dmarc_record(answers[i]->texts);
    if (selection.found == Found::none) continue;
    if (selection.found == Found::several) return policy;  // RFC 7489 §6.6.3 step 5
    auto record = parse_dmarc_record(selection.text, Dialect::rfc7489);
    policy.broken = !record;
    if (record) policy.record = LocatedRecord{names[i], std::move(*record)};
    return policy;
  }
  return policy;
}

}  // namespace auth
