#include "policy/access.hpp"

#include <algorithm>
#include <functional>
#include <iterator>

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
  std::vector<const AccessRule*> four, six;
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    const auto& match = rules_[i].match;
    if (const auto* prefix = std::get_if<core::Prefix>(&match)) {
      (prefix->address.is_v6() ? six : four).push_back(&rules_[i]);
    } else if (const auto* as = std::get_if<AccessRule::AsNumber>(&match)) {
      as_numbers_.try_emplace(as->number, i);
    } else {
      country_codes_.try_emplace(std::get<AccessRule::Country>(match).code, i);
    }
  }
  stretches4_ = flatten(std::move(four));
  stretches6_ = flatten(std::move(six));
}

AccessRules::Bits AccessRules::bits_of(const core::IpAddress& ip) {
  Bits bits;
  for (const char c : ip.bytes()) {
    bits.high = bits.high << 8 | bits.low >> 56;
    bits.low = bits.low << 8 | static_cast<unsigned char>(c);
  }
  return bits;
}

// The first address behind the prefix; all zero behind the last one there is.
AccessRules::Bits AccessRules::behind(const core::Prefix& prefix) {
  auto bits = bits_of(prefix.address);
  const unsigned host = (prefix.address.is_v6() ? 128 : 32) - prefix.length;
  if (host == 128) return {};
  if (host >= 64) {
    bits.high += std::uint64_t{1} << (host - 64);
    return bits;
  }
  bits.low += std::uint64_t{1} << host;
  if (bits.low == 0) ++bits.high;
  return bits;
}

// Prefixes lie inside one another or apart. In the order of their addresses, outer ones first, each begins a stretch,
// and where it ends the one around it goes on.
std::vector<AccessRules::Stretch> AccessRules::flatten(std::vector<const AccessRule*> rules) {
  const auto prefix = [](const AccessRule* rule) -> const core::Prefix& { return std::get<core::Prefix>(rule->match); };
  std::ranges::sort(rules, [&](const AccessRule* a, const AccessRule* b) {
    const auto& one = prefix(a);
    const auto& other = prefix(b);
    if (one.address != other.address) return one.address < other.address;
    if (one.length != other.length) return one.length < other.length;
    return std::less<>()(a, b);  // of equal ones the first of the file
  });
  std::vector<Stretch> out;
  const auto begin = [&](Bits first, const AccessRule* rule) {
    if (!out.empty() && out.back().first == first) out.pop_back();
    out.push_back({first, rule});
  };
  std::vector<const AccessRule*> around;  // the prefixes that are open, the innermost last
  const auto close_until = [&](std::optional<Bits> next) {
    while (!around.empty()) {
      const auto end = behind(prefix(around.back()));
      if (next && (end == Bits{} || end > *next)) return;
      around.pop_back();
      if (end != Bits{}) begin(end, around.empty() ? nullptr : around.back());
    }
  };
  for (const auto* rule : rules) {
    const auto first = bits_of(prefix(rule).address);
    close_until(first);
    if (!around.empty() && prefix(around.back()) == prefix(rule)) continue;
    begin(first, rule);
    around.push_back(rule);
  }
  close_until(std::nullopt);
  return out;
}

const AccessRule* AccessRules::find_prefix(const core::IpAddress& ip) const {
  const auto& stretches = ip.is_v6() ? stretches6_ : stretches4_;
  const auto after = std::ranges::upper_bound(stretches, bits_of(ip), {}, &Stretch::first);
  return after == stretches.begin() ? nullptr : std::prev(after)->rule;
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
