// What operators do to many recipients at once, in steps, and hold rules.
#include <algorithm>

#include "queue/filter.hpp"
#include "queue/sqlite_rows.hpp"
#include "queue/sqlite_schema.hpp"
#include "queue/sqlite_tables.hpp"

namespace queue {
namespace {

Page step(Page page) {
  page.most = std::min(page.most, kMaxStep);
  return page;
}

// Calls `change` with the row and the recipient for what `scanner` finds; it says whether it changed anything.
template <class F>
Touched touch(Scanner& scanner, const Filter& filter, const Page& page, Time now, F change) {
  const auto listed = scanner.scan(filter, step(page), now);
  Touched touched;
  touched.receipt = {Commit::committed, {}, 0, 0};
  touched.after = listed.after;
  for (const auto& job : listed.jobs) {
    for (const auto& recipient : job.recipients) {
      // What is provisional is none of an operator's business: it is not ours yet.
      if (recipient.state == State::provisional) continue;
      if (change(row_of(job.key, recipient.number), recipient)) ++touched.recipients;
    }
  }
  return touched;
}

}  // namespace

Touched Tables::hold(const Filter& filter, const std::string& reason, const Page& page) {
  return touch(scanner_, filter, page, timeline_.now(), [&](std::int64_t row, const Recipient& recipient) {
    if (recipient.hold != Hold::none && recipient.hold != Hold::by_rule) return false;
    hold_row_.with(row, static_cast<int>(Hold::by_operator), cut(reason), 0);
    hold_row_.run();
    return true;
  });
}

Touched Tables::release_held(const Filter& filter, const Page& page) {
  return touch(scanner_, filter, page, timeline_.now(), [&](std::int64_t row, const Recipient& recipient) {
    if (recipient.hold == Hold::none) return false;
    release_row_.with(row);
    release_row_.run();
    return true;
  });
}

Touched Tables::retry_now(const Filter& filter, const Page& page) {
  const auto now = timeline_.now();
  return touch(scanner_, filter, page, now, [&](std::int64_t row, const Recipient& recipient) {
    if (recipient.lease != 0) return false;
    retry_row_.with(row, now);
    retry_row_.run();
    return true;
  });
}

Touched Tables::remove(const Filter& filter, const Page& page) {
  return touch(scanner_, filter, page, timeline_.now(), [&](std::int64_t row, const Recipient&) {
    remove_recipient(row);
    return true;
  });
}

Receipt Tables::quarantine(MessageKey message, const std::string& reason) {
  hold_message_.with(first_row(message), last_row(message), static_cast<int>(Hold::quarantined), cut(reason));
  hold_message_.run();
  return {Commit::committed, {}, message, 0};
}

core::Result<std::int64_t> Tables::add_hold_rule(const HoldRule& rule) {
  if (rules_.size() >= kMaxHoldRules) return StoreErrc::busy;
  auto added = rule;
  added.number = rules_.empty() ? 1 : rules_.back().number + 1;
  added.created = timeline_.now();
  insert_rule_.with(added.number, cut(added.to_domain), cut(added.sender), cut(added.recipient), cut(added.reason),
                    added.created, added.expires);
  insert_rule_.run();
  rules_changed_ = true;
  rules_.push_back(added);
  return added.number;
}

Receipt Tables::remove_hold_rule(std::int64_t number) {
  const auto found =
      std::find_if(rules_.begin(), rules_.end(), [&](const auto& rule) { return rule.number == number; });
  if (found == rules_.end()) return {Commit::not_committed, StoreErrc::not_found, 0, 0};
  release_rule_.with(number);
  release_rule_.run();
  delete_rule_.with(number);
  delete_rule_.run();
  rules_changed_ = true;
  rules_.erase(found);
  return {Commit::committed, {}, 0, 0};
}

}  // namespace queue
