#include "dns/cache.hpp"

#include <algorithm>

namespace dns {
namespace {

constexpr core::Seconds kMinTtl{1};
constexpr core::Seconds kMaxKept{86'400};
constexpr std::size_t kEntryOverhead = 400;  // list node, index node, the values themselves

std::size_t octets_of(const Question& question, const Answer& answer) {
  std::size_t total = kEntryOverhead + 2 * question.name.size() + answer.error.size() + answer.canonical.size();
  total += answer.addresses.size() * sizeof(core::IpAddress);
  for (const auto& mx : answer.mx) total += sizeof mx + mx.host.size();
  for (const auto* list : {&answer.names, &answer.texts, &answer.raw}) {
    for (const auto& text : *list) total += sizeof text + text.size();
  }
  return total;
}

}  // namespace

std::optional<Answer> Cache::find(const Question& question, Time now) {
  const auto found = index_.find(question);
  if (found == index_.end()) return std::nullopt;
  const auto entry = found->second;
  if (entry->until <= now) {
    erase(entry);
    return std::nullopt;
  }
  entries_.splice(entries_.begin(), entries_, entry);
  Answer answer = entry->answer;
  answer.ttl = static_cast<std::uint32_t>(std::chrono::ceil<core::Seconds>(entry->until - now).count());
  return answer;
}

void Cache::put(const Question& question, const Answer& answer, core::Seconds ttl, Time now) {
  if (const auto old = index_.find(question); old != index_.end()) erase(old->second);
  const auto octets = octets_of(question, answer);
  if (max_entries_ == 0 || octets > max_octets_) return;
  while (index_.size() >= max_entries_ || octets_ + octets > max_octets_) erase(std::prev(entries_.end()));
  entries_.push_front(Entry{question, answer, now + std::clamp(ttl, kMinTtl, kMaxKept), octets});
  index_.emplace(question, entries_.begin());
  octets_ += octets;
}

void Cache::clear() {
  index_.clear();
  entries_.clear();
  octets_ = 0;
}

void Cache::erase(Entries::iterator entry) {
  octets_ -= entry->octets;
  index_.erase(entry->question);
  entries_.erase(entry);
}

}  // namespace dns
