#include "policy/access.hpp"

#include <algorithm>
#include <functional>
#include <set>

#include "core/text.hpp"

namespace policy {
namespace {

constexpr std::string_view kAs = "AS", kCountry = "country:";

struct Printer {
  std::string operator()(const core::Prefix& prefix) const { return prefix.to_string(); }
  std::string operator()(const AccessRule::AsNumber& as) const { return std::string(kAs) + std::to_string(as.number); }
  std::string operator()(const AccessRule::Country& country) const { return std::string(kCountry) + country.code; }
};

}  // namespace

std::string AccessRule::to_string() const {
  return std::visit(Printer(), match);
}

std::optional<decltype(AccessRule::match)> parse_access_match(std::string_view text) {
  if (text.starts_with(kCountry)) {
    const auto code = text.substr(kCountry.size());
    const bool right = code.size() == 2 && std::ranges::all_of(code, [](char c) { return c >= 'A' && c <= 'Z'; });
    if (!right) return std::nullopt;
    return AccessRule::Country{std::string(code)};
  }
  if (text.starts_with(kAs)) {
    const auto number = core::parse_number(text.substr(kAs.size()));
    if (!number || *number > UINT32_MAX) return std::nullopt;
    return AccessRule::AsNumber{static_cast<std::uint32_t>(*number)};
  }
  const auto prefix = core::Prefix::parse(text);
  if (!prefix) return std::nullopt;
  return *prefix;
}

AccessRules::AccessRules(std::vector<AccessRule> rules, std::shared_ptr<const GeoDatabase> countries,
                         std::shared_ptr<const GeoDatabase> networks)
    : rules_(std::move(rules)),
      countries_(std::move(countries)),
      networks_(std::move(networks)),
      hits_(std::make_unique<std::atomic<std::uint64_t>[]>(rules_.size())) {
  std::set<unsigned, std::greater<>> four, six;
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    const auto& match = rules_[i].match;
    if (const auto* prefix = std::get_if<core::Prefix>(&match)) {
      prefixes_.try_emplace(*prefix, i);
      (prefix->address.is_v6() ? six : four).insert(prefix->length);
    } else if (const auto* as = std::get_if<AccessRule::AsNumber>(&match)) {
      as_numbers_.try_emplace(as->number, i);
    } else {
      country_codes_.try_emplace(std::get<AccessRule::Country>(match).code, i);
    }
  }
  lengths4_.assign(four.begin(), four.end());
  lengths6_.assign(six.begin(), six.end());
}

const AccessRule* AccessRules::find_prefix(const core::IpAddress& ip) const {
  for (const auto length : ip.is_v6() ? lengths6_ : lengths4_) {
    const auto found = prefixes_.find(core::Prefix{ip.masked(length), length});
    if (found != prefixes_.end()) return &rules_[found->second];
  }
  return nullptr;
}

AccessRules::Decision AccessRules::find(const core::IpAddress& client) const {
  Decision decision;
  const auto ip = client.unmapped();
  decision.rule = find_prefix(ip);
  if (decision.rule == nullptr && !as_numbers_.empty() && networks_) {
    decision.as_number = networks_->as_number(ip);
    const auto found = decision.as_number ? as_numbers_.find(*decision.as_number) : as_numbers_.end();
    if (found != as_numbers_.end()) decision.rule = &rules_[found->second];
  }
  if (decision.rule == nullptr && !country_codes_.empty() && countries_) {
    decision.country = countries_->country(ip);
    const auto found = decision.country ? country_codes_.find(*decision.country) : country_codes_.end();
    if (found != country_codes_.end()) decision.rule = &rules_[found->second];
  }
  return decision;
}

AccessRules::Decision AccessRules::decide(const core::IpAddress& client) const {
  const auto decision = find(client);
  if (decision.rule != nullptr) {
    hits_[static_cast<std::size_t>(decision.rule - rules_.data())].fetch_add(1, std::memory_order_relaxed);
  }
  return decision;
}

std::vector<std::pair<const AccessRule*, std::uint64_t>> AccessRules::hits(std::size_t most) const {
  std::vector<std::pair<const AccessRule*, std::uint64_t>> out;
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    const auto count = hits_[i].load(std::memory_order_relaxed);
    if (count > 0) out.emplace_back(&rules_[i], count);
  }
  std::ranges::sort(out, [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : std::less<>()(a.first, b.first);
  });
  if (out.size() > most) out.resize(most);
  return out;
}

void AccessRules::inherit_hits(const AccessRules& before) const {
  std::unordered_map<std::string, std::uint64_t> known;
  for (const auto& [rule, count] : before.hits(before.size())) known.emplace(rule->to_string(), count);
  for (std::size_t i = 0; !known.empty() && i < rules_.size(); ++i) {
    const auto found = known.find(rules_[i].to_string());
    if (found == known.end()) continue;
    hits_[i].fetch_add(found->second, std::memory_order_relaxed);
    known.erase(found);  // of rules with the same match only the first one is ever used
  }
}

}  // namespace policy
