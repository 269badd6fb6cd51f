#include "policy/greylist.hpp"

#include <algorithm>
#include <chrono>
#include <vector>

#include "core/text.hpp"

namespace policy {
namespace {

constexpr unsigned kNetwork4 = 24, kNetwork6 = 64;
// "co.uk", "com.au", "gov.br": registries that sell below such labels. A guess, good enough to tell senders apart.
constexpr std::size_t kShortLabel = 3, kCountryLabel = 2;

std::int64_t milliseconds(core::Steady::time_point time) {
  return std::chrono::duration_cast<core::Milliseconds>(time.time_since_epoch()).count();
}

}  // namespace

std::string greylist_origin(std::string_view confirmed_name, const core::IpAddress& client) {
  const auto labels = core::split(confirmed_name, '.');
  if (labels.size() < 2) {
    const auto ip = client.unmapped();
    return ip.masked(ip.is_v6() ? kNetwork6 : kNetwork4).to_string();
  }
  const auto last = labels.size() - 1;
  const bool below =
      labels.size() > 2 && labels[last].size() == kCountryLabel && labels[last - 1].size() <= kShortLabel;
  const auto first = labels.size() - (below ? 3 : 2);
  return core::lower(confirmed_name.substr(static_cast<std::size_t>(labels[first].data() - confirmed_name.data())));
}

core::Milliseconds Greylist::wait_of(const Key& key, const GreylistSettings& settings, core::Steady::time_point now) {
  const auto at = milliseconds(now);
  std::string name;
  for (const auto part : {key.origin, key.sender, key.rule}) {
    name += core::lower(part);
    name += '\n';  // none of them holds one
  }
  // What has passed is worth more than what waits, the newer one more than the older one.
  const auto worth = [](const Entry& entry) {
    return entry.passed != 0 ? entry.passed + core::Milliseconds(kRetryWindow).count() : entry.first;
  };
  return table_.visit(hash_(name), worth, [&](Entry& entry) {
    const bool kept = entry.passed != 0 && at - entry.passed < settings.keep.count();
    const bool waited =
        entry.passed == 0 && entry.first != 0 && at - entry.first < core::Milliseconds(kRetryWindow).count();
    if (!kept && !waited) entry = {at, 0};
    const auto left = kept ? 0 : settings.delay.count() - (at - entry.first);
    if (left <= 0) entry.passed = at;
    return core::Milliseconds(std::max<std::int64_t>(0, left));
  });
}

}  // namespace policy
