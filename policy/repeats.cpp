#include "policy/repeats.hpp"

#include <chrono>
#include <string>

namespace policy {

Repeats::Passage Repeats::enter(const Key& key, core::Steady::time_point now) {
  const auto at = std::chrono::duration_cast<core::Milliseconds>(now.time_since_epoch()).count();
  std::string name;
  for (const auto part : {key.message_id, key.recipient, key.body_hash}) {
    name += std::to_string(part.size()) + ":";
    name += part;
  }
  const auto hash = hash_(name);
  const auto worth = [](const Entry& entry) { return entry.since; };
  return table_.visit(hash, worth, [&](Entry& entry) {
    if (entry.count == 0 || at - entry.since >= core::Milliseconds(kWindow).count()) entry = {at, 0};
    if (entry.count >= kMost) return Passage();
    ++entry.count;
    return Passage(this, hash, entry.since);
  });
}

void Repeats::Passage::leave() {
  auto* table = std::exchange(table_, nullptr);
  if (table == nullptr) return;
  table->table_.visit_known(hash_, [&](Entry& entry) {
    if (entry.since == window_ && entry.count > 0) --entry.count;
  });
}

}  // namespace policy
