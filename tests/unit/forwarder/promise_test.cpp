// promise.md C.4 as data, held against decide() for every multiset of up to five outcomes, in every order.
#include "forwarder/promise.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <vector>

namespace forwarder::promise {
namespace {

using mail::Fate;
using Fates = std::vector<Fate>;

constexpr std::array kFates = {Fate::delivered, Fate::deferred, Fate::failed, Fate::unknown, Fate::late};

std::string print(Sender sender, const Fates& fates) {
  std::string text = sender == Sender::ownable ? "ownable:" : "not ownable:";
  for (const auto fate : fates) text += ' ' + std::to_string(static_cast<int>(fate));
  return text;
}

// A row of the table: which of the five outcomes must, may and must not occur, and what comes of each.
struct Row {
  const char* name;
  std::vector<Sender> senders;
  Fates at_least_one_of;  // one of these occurs
  Fates only;             // no others occur
  std::map<Fate, Action> actions;
  Answer answer;
  bool commit;
};

const std::vector<Sender> kAny = {Sender::ownable, Sender::not_ownable};

// In the order of the table: the first row that fits counts.
const std::vector<Row> kTable = {
    {"all 2xx", kAny, {Fate::delivered}, {Fate::delivered}, {{Fate::delivered, Action::done}}, Answer::accepted, false},
    {"all 5xx", kAny, {Fate::failed}, {Fate::failed}, {{Fate::failed, Action::drop}}, Answer::refused, false},
    {"ownable, a 2xx or late",
     {Sender::ownable},
     {Fate::delivered, Fate::late},
     {kFates.begin(), kFates.end()},
     {{Fate::delivered, Action::done},
      {Fate::deferred, Action::own},
      {Fate::late, Action::own_dot},
      {Fate::unknown, Action::own_dot},
      {Fate::failed, Action::fail}},
     Answer::accepted,
     true},
    {"ownable, no 2xx, no late, a 4xx or unknown",
     {Sender::ownable},
     {Fate::deferred, Fate::unknown},
     {Fate::deferred, Fate::unknown, Fate::failed},
     {{Fate::deferred, Action::drop}, {Fate::failed, Action::drop}, {Fate::unknown, Action::keep_fingerprint}},
     Answer::later,
     false},
    {"not ownable, a 4xx, late or unknown",
     {Sender::not_ownable},
     {Fate::deferred, Fate::late, Fate::unknown},
     {kFates.begin(), kFates.end()},
     {{Fate::delivered, Action::keep_fingerprint},
      {Fate::late, Action::keep_fingerprint},
      {Fate::unknown, Action::keep_fingerprint},
      {Fate::deferred, Action::drop},
      {Fate::failed, Action::drop}},
     Answer::later,
     false},
    {"not ownable, 2xx and 5xx only",
     {Sender::not_ownable},
     {Fate::delivered},
     {Fate::delivered, Fate::failed},
     {{Fate::delivered, Action::keep_fingerprint}, {Fate::failed, Action::drop}},
     Answer::partial,
     false},
};

bool contains(const auto& set, auto value) {
  return std::ranges::find(set, value) != set.end();
}

bool fits(const Row& row, Sender sender, const Fates& fates) {
  return contains(row.senders, sender) &&
         std::ranges::any_of(fates, [&](Fate fate) { return contains(row.at_least_one_of, fate); }) &&
         std::ranges::all_of(fates, [&](Fate fate) { return contains(row.only, fate); });
}

// Every sequence of one to five outcomes: each multiset in each of its orders.
void for_each_case(auto check) {
  for (const auto sender : kAny) {
    for (std::size_t size = 1; size <= 5; ++size) {
      Fates fates(size, kFates[0]);
      std::vector<std::size_t> digits(size, 0);
      for (bool more = true; more;) {
        for (std::size_t i = 0; i < size; ++i) fates[i] = kFates[digits[i]];
        check(sender, fates);
        more = false;
        for (auto& digit : digits) {
          if (++digit < kFates.size()) {
            more = true;
            break;
          }
          digit = 0;
        }
      }
    }
  }
}

TEST(Promise, agrees_with_the_table_of_C_4) {
  std::size_t cases = 0;
  std::map<std::string, std::size_t> rows_used;
  for_each_case([&](Sender sender, const Fates& fates) {
    SCOPED_TRACE(print(sender, fates));
    ++cases;
    const auto row = std::ranges::find_if(kTable, [&](const Row& r) { return fits(r, sender, fates); });
    ASSERT_NE(row, kTable.end()) << "the table is not total";
    ++rows_used[row->name];
    const auto decision = decide(sender, fates);
    ASSERT_EQ(decision.actions.size(), fates.size());
    EXPECT_EQ(decision.answer, row->answer) << row->name;
    EXPECT_EQ(decision.commit, row->commit) << row->name;
    for (std::size_t i = 0; i < fates.size(); ++i) {
      EXPECT_EQ(decision.actions[i], row->actions.at(fates[i])) << row->name << ", recipient " << i;
    }
  });
  EXPECT_EQ(cases, 2U * (5 + 25 + 125 + 625 + 3125));
  EXPECT_EQ(rows_used.size(), kTable.size());
}

// I1: the client sees 2xx only when each recipient has the message or is ours on stable storage.
TEST(Promise, I1_accepted_only_when_everyone_is_delivered_or_owned) {
  for_each_case([](Sender sender, const Fates& fates) {
    SCOPED_TRACE(print(sender, fates));
    const auto decision = decide(sender, fates);
    const bool ours = std::ranges::any_of(decision.actions, [](Action a) { return a != Action::done; });
    if (decision.answer == Answer::accepted) {
      EXPECT_TRUE(!ours || decision.commit) << "owned, but not stored before the answer";
      for (std::size_t i = 0; i < fates.size(); ++i) {
        const auto action = decision.actions[i];
        EXPECT_TRUE(action == Action::done || action == Action::own || action == Action::own_dot ||
                    action == Action::fail);
        EXPECT_EQ(action == Action::done, fates[i] == Fate::delivered);
        EXPECT_EQ(action == Action::fail, fates[i] == Fate::failed) << "a DSN for, and only for, a refusal";
      }
    } else {
      // "4xx/5xx means we hold nothing".
      EXPECT_TRUE(std::ranges::all_of(decision.actions,
                                      [](Action a) { return a == Action::drop || a == Action::keep_fingerprint; }));
    }
  });
}

// Whoever has, or may have, the message must not get it again from the client's retry.
TEST(Promise, every_possible_copy_leaves_a_mark) {
  for_each_case([](Sender sender, const Fates& fates) {
    SCOPED_TRACE(print(sender, fates));
    const auto decision = decide(sender, fates);
    for (std::size_t i = 0; i < fates.size(); ++i) {
      if (fates[i] == Fate::deferred || fates[i] == Fate::failed) continue;
      EXPECT_NE(decision.actions[i], Action::drop) << "recipient " << i;
      EXPECT_NE(decision.actions[i], Action::own) << "recipient " << i << ": a dot was sent";
    }
  });
}

// Unproven mail is never ours (C, "ownable").
TEST(Promise, what_is_not_ownable_is_never_owned_and_never_bounced) {
  for_each_case([](Sender sender, const Fates& fates) {
    if (sender == Sender::ownable) return;
    SCOPED_TRACE(print(sender, fates));
    for (const auto action : decide(sender, fates).actions) {
      EXPECT_TRUE(action == Action::done || action == Action::drop || action == Action::keep_fingerprint);
    }
  });
}

TEST(Promise, the_order_of_recipients_does_not_matter) {
  for_each_case([](Sender sender, const Fates& fates) {
    auto sorted = fates;
    std::ranges::sort(sorted);
    const auto decision = decide(sender, fates), reference = decide(sender, sorted);
    EXPECT_EQ(decision.answer, reference.answer) << print(sender, fates);
    EXPECT_EQ(decision.commit, reference.commit) << print(sender, fates);
    std::map<Fate, Action> by_fate;
    for (std::size_t i = 0; i < sorted.size(); ++i) by_fate[sorted[i]] = reference.actions[i];
    for (std::size_t i = 0; i < fates.size(); ++i) EXPECT_EQ(decision.actions[i], by_fate[fates[i]]);
  });
}

TEST(Promise, nobody_at_all_is_no_acceptance) {
  for (const auto sender : kAny) {
    const auto decision = decide(sender, {});
    EXPECT_EQ(decision.answer, Answer::later);
    EXPECT_TRUE(decision.actions.empty());
    EXPECT_FALSE(decision.commit);
  }
}

}  // namespace
}  // namespace forwarder::promise
