// [access]: whom the operator lets in or keeps out by address, AS number or country (interface.md §2). The longest
// matching prefix decides, then the AS number, then the country; between equal ones the first. One hash look-up for
// each prefix length in use, however many rules there are. Immutable but for its counters; thread-safe.
#pragma once

#include <atomic>
#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "core/ip.hpp"
#include "policy/geo.hpp"

namespace policy {

enum class AccessAction { allow, block };

struct AccessRule {
  struct Country {
    std::string code;  // two upper-case letters
    friend bool operator==(const Country&, const Country&) = default;
  };
  struct AsNumber {
    std::uint32_t number = 0;
    friend bool operator==(const AsNumber&, const AsNumber&) = default;
  };
  std::variant<core::Prefix, AsNumber, Country> match;
  AccessAction action = AccessAction::block;
  // "192.0.2.0/24", "AS64500", "country:XX"
  std::string to_string() const;
};
// The same forms; host bits must be zero. Nothing: none of these.
std::optional<decltype(AccessRule::match)> parse_access_match(std::string_view text);

class AccessRules {
 public:
  // What decided for an address.
  struct Decision {
    const AccessRule* rule = nullptr;  // null: no rule matches
    bool allowed() const { return rule != nullptr && rule->action == AccessAction::allow; }
    bool blocked() const { return rule != nullptr && rule->action == AccessAction::block; }
    // What was found on the way; empty when it was not looked up.
    std::optional<std::uint32_t> as_number;
    std::optional<std::string> country;
  };

  // The databases may be null: then rules by AS number or country match nothing.
  AccessRules(std::vector<AccessRule> rules, std::shared_ptr<const GeoDatabase> countries,
              std::shared_ptr<const GeoDatabase> networks);

  // Pointers into the decision live as long as the rules do.
  Decision find(const core::IpAddress& client) const;
  // The same, and the rule's counter goes up.
  Decision decide(const core::IpAddress& client) const;

  bool empty() const { return rules_.empty(); }
  std::size_t size() const { return rules_.size(); }
  // Rules with their hits, most hits first, those without left out, `most` at most.
  std::vector<std::pair<const AccessRule*, std::uint64_t>> hits(std::size_t most) const;
  // After a reload: goes on with the counters of equal rules.
  void inherit_hits(const AccessRules& before) const;
  const std::shared_ptr<const GeoDatabase>& countries() const { return countries_; }
  const std::shared_ptr<const GeoDatabase>& networks() const { return networks_; }

 private:
  // An address as a number, so that stretches of them can be reckoned with.
  struct Bits {
    std::uint64_t high = 0, low = 0;
    friend auto operator<=>(const Bits&, const Bits&) = default;
  };
  // From `first` to where the next one begins, this rule decides (null: none).
  struct Stretch {
    Bits first;
    const AccessRule* rule = nullptr;
  };
  static Bits bits_of(const core::IpAddress& ip);
  static Bits behind(const core::Prefix& prefix);
  static std::vector<Stretch> flatten(std::vector<const AccessRule*> rules);
  const AccessRule* find_prefix(const core::IpAddress& ip) const;

  const std::vector<AccessRule> rules_;
  std::vector<Stretch> stretches4_, stretches6_;
  std::unordered_map<std::uint32_t, std::size_t> as_numbers_;
  std::unordered_map<std::string, std::size_t> country_codes_;
  std::shared_ptr<const GeoDatabase> countries_, networks_;
  std::unique_ptr<std::atomic<std::uint64_t>[]> hits_;  // one a rule
};

}  // namespace policy
