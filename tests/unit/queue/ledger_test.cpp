#include "queue/ledger.hpp"

#include <sys/resource.h>
#include <sys/stat.h>

#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <thread>

#include "core/random.hpp"
#include "core/text.hpp"
#include "queue/ledger_support.hpp"
#include "queue/ledger_table.hpp"

namespace queue::testing {
namespace {

class LedgerTest : public ::testing::Test {
 protected:
  std::unique_ptr<Ledger> open(std::uint32_t limit = 100) {
    return testing::open(folder_.file(), clock_, limit, &notes_);
  }
  core::ManualClock clock_;
  Folder folder_;
  std::vector<std::string> notes_;
};

What what(const Ledger& ledger, const Copy& copy) {
  return ledger.peek(copy).what;
}

TEST_F(LedgerTest, what_a_retry_gets) {
  auto ledger = open();
  const auto copy = copy_of(1);
  EXPECT_EQ(what(*ledger, copy), What::nothing);
  auto flight = claim(*ledger, copy);
  EXPECT_EQ(what(*ledger, copy), What::in_flight);
  flight.journal_dot();
  EXPECT_EQ(what(*ledger, copy), What::in_flight);
  flight.settle(0, outcome(mail::Fate::late));
  EXPECT_EQ(what(*ledger, copy), What::in_flight);
  flight.settle(0, outcome(mail::Fate::delivered));
  const auto found = ledger->peek(copy);
  EXPECT_EQ(found.what, What::delivered);
  EXPECT_EQ(found.trace, "abcdefghij-2");
  EXPECT_EQ(found.entry, flight.entry(0));
  EXPECT_EQ(what(*ledger, copy_of(2)), What::nothing);
}

// C.5: it never sends a second dot.
TEST_F(LedgerTest, one_attempt_at_a_time) {
  auto ledger = open();
  const std::vector<Copy> copies{copy_of(1), copy_of(2)};
  auto first = claim(*ledger, copies[1]);
  auto second = ledger->claim(copies);
  const auto* conflict = std::get_if<Ledger::Conflict>(&second);
  ASSERT_NE(conflict, nullptr);
  EXPECT_EQ(conflict->copy, 1U);
  EXPECT_EQ(conflict->finding.what, What::in_flight);
  EXPECT_EQ(what(*ledger, copies[0]), What::nothing);  // all or none
  first = Flight();
  EXPECT_EQ(what(*ledger, copies[1]), What::nothing);  // no dot was sent
  auto third = ledger->claim(copies);
  ASSERT_NE(std::get_if<Flight>(&third), nullptr);
}

TEST_F(LedgerTest, a_refusal_leaves_nothing) {
  auto ledger = open();
  for (const auto fate : {mail::Fate::failed, mail::Fate::deferred}) {
    deliver(*ledger, copy_of(1), fate);
    EXPECT_EQ(what(*ledger, copy_of(1)), What::nothing);
  }
  EXPECT_EQ(ledger->stats().entries, 0U);
}

// C.3.7: the third dot without an answer is the last; DU-17: at most three copies.
TEST_F(LedgerTest, three_unknown_endings_are_the_end) {
  for (const bool restart : {false, true}) {
    auto ledger = open();
    const auto copy = copy_of(restart ? 1 : 2);
    for (unsigned i = 1; i <= kMaxUnknown; ++i) {
      deliver(*ledger, copy, mail::Fate::unknown);
      if (restart) {
        ledger.reset();
        ledger = open();
      }
      const auto found = ledger->peek(copy);
      EXPECT_EQ(found.unknown, i);
      EXPECT_EQ(found.what, i < kMaxUnknown ? What::lost : What::worn_out);
    }
    auto claimed = ledger->claim({&copy, 1});
    ASSERT_NE(std::get_if<Ledger::Conflict>(&claimed), nullptr);
    EXPECT_EQ(std::get<Ledger::Conflict>(claimed).finding.what, What::worn_out);
  }
}

// ... also when a refusal came in between: an earlier dot may have arrived all the same.
TEST_F(LedgerTest, a_refusal_does_not_undo_what_is_unknown) {
  auto ledger = open();
  deliver(*ledger, copy_of(1), mail::Fate::unknown);
  deliver(*ledger, copy_of(1), mail::Fate::deferred);
  EXPECT_EQ(ledger->peek(copy_of(1)).unknown, 1U);
  static_cast<void>(claim(*ledger, copy_of(1)));  // given up before the dot
  EXPECT_EQ(ledger->peek(copy_of(1)).unknown, 1U);
  EXPECT_EQ(what(*ledger, copy_of(1)), What::lost);
  deliver(*ledger, copy_of(1));
  EXPECT_EQ(what(*ledger, copy_of(1)), What::delivered);
}

// A second copy stays dup_possible for as long as it is known.
TEST_F(LedgerTest, what_was_unknown_stays_flagged) {
  auto ledger = open();
  for (int i = 1; i <= 3; ++i) deliver(*ledger, copy_of(i), mail::Fate::unknown);
  deliver(*ledger, copy_of(1));
  claim(*ledger, copy_of(2)).own(0);
  EXPECT_TRUE(ledger->own(copy_of(3)));
  for (int i = 1; i <= 3; ++i) {
    EXPECT_EQ(what(*ledger, copy_of(i)), i == 1 ? What::delivered : What::owned);
    EXPECT_EQ(ledger->peek(copy_of(i)).unknown, 1U) << i;
  }
}

TEST_F(LedgerTest, what_is_in_flight_at_a_restart_is_lost_and_counted_once) {
  auto ledger = open();
  auto flight = send(*ledger, copy_of(1));
  auto mere_claim = claim(*ledger, copy_of(2));
  const auto killed = folder_.read();
  flight.settle(0, outcome(mail::Fate::delivered));
  mere_claim = Flight();
  ledger.reset();
  folder_.write(killed);
  for (int i = 0; i < 3; ++i) {
    ledger = open();
    EXPECT_EQ(ledger->peek(copy_of(1)).what, What::lost);
    EXPECT_EQ(ledger->peek(copy_of(1)).unknown, 1U);
    EXPECT_EQ(what(*ledger, copy_of(2)), What::nothing);
    ledger.reset();
  }
}

TEST_F(LedgerTest, a_flight_that_is_dropped_after_its_dot_is_unknown) {
  auto ledger = open();
  static_cast<void>(send(*ledger, copy_of(1)));
  EXPECT_EQ(ledger->peek(copy_of(1)).what, What::lost);
  auto flight = send(*ledger, copy_of(2));
  flight = Flight();
  EXPECT_EQ(ledger->peek(copy_of(2)).what, What::lost);
}

// A group of one upstream transaction whose recipients end differently (LMTP).
TEST_F(LedgerTest, copies_of_one_flight_end_apart) {
  auto ledger = open();
  const std::vector<Copy> copies{copy_of(1), copy_of(2), copy_of(3), copy_of(4)};
  {
    auto claimed = ledger->claim(copies);
    auto flight = std::move(std::get<Flight>(claimed));
    ASSERT_EQ(flight.size(), 4U);
    flight.settle(3, outcome(mail::Fate::failed, 550));  // at RCPT: no dot for this one
    flight.journal_dot();
    flight.settle(0, outcome(mail::Fate::delivered));
    flight.settle(1, outcome(mail::Fate::failed, 550));
    EXPECT_FALSE(flight.open(1));
    EXPECT_TRUE(flight.open(2));
  }
  EXPECT_EQ(what(*ledger, copies[0]), What::delivered);
  EXPECT_EQ(what(*ledger, copies[1]), What::nothing);
  EXPECT_EQ(what(*ledger, copies[2]), What::lost);
  EXPECT_EQ(what(*ledger, copies[3]), What::nothing);
}

TEST_F(LedgerTest, the_same_copy_twice_in_one_claim_counts_once) {
  auto ledger = open();
  const std::vector<Copy> copies{copy_of(1), copy_of(1)};
  auto claimed = ledger->claim(copies);
  auto flight = std::move(std::get<Flight>(claimed));
  ASSERT_EQ(flight.size(), 2U);
  EXPECT_FALSE(flight.open(1));
  flight.journal_dot();
  flight.settle(1, outcome(mail::Fate::failed));
  flight.settle(0, outcome(mail::Fate::delivered));
  EXPECT_EQ(what(*ledger, copies[0]), What::delivered);
}

// ---- our 250

TEST_F(LedgerTest, an_entry_ends_with_the_clients_next_command) {
  auto ledger = open();
  const auto id = deliver(*ledger, copy_of(1));
  ledger->confirmed(id);
  EXPECT_EQ(what(*ledger, copy_of(1)), What::nothing);  // a deliberate resubmission is delivered
  ledger->confirmed(id);
  ledger->acknowledged(id);  // names nothing any more
  const auto other = deliver(*ledger, copy_of(2));
  EXPECT_EQ(other.slot, id.slot);
  ledger->confirmed(id);
  EXPECT_EQ(what(*ledger, copy_of(2)), What::delivered);
  ledger->confirmed(EntryId());
  ledger.reset();
  ledger = open();
  EXPECT_EQ(what(*ledger, copy_of(1)), What::nothing);
  EXPECT_EQ(what(*ledger, copy_of(2)), What::delivered);
}

TEST_F(LedgerTest, an_acknowledgement_leaves_two_hours) {
  auto ledger = open();
  const auto id = deliver(*ledger, copy_of(1));
  deliver(*ledger, copy_of(2));
  clock_.advance(1h);
  ledger->acknowledged(id);
  clock_.advance(2h - 1s);
  EXPECT_EQ(what(*ledger, copy_of(1)), What::delivered);
  ledger->acknowledged(id);  // the first one counts
  clock_.advance(1s);
  EXPECT_EQ(what(*ledger, copy_of(1)), What::nothing);
  EXPECT_EQ(what(*ledger, copy_of(2)), What::delivered);
  clock_.advance(45h - 1s);
  EXPECT_EQ(what(*ledger, copy_of(2)), What::delivered);
  clock_.advance(1s);
  EXPECT_EQ(what(*ledger, copy_of(2)), What::nothing);
}

TEST_F(LedgerTest, an_acknowledgement_lengthens_no_life) {
  auto ledger = open();
  const auto id = deliver(*ledger, copy_of(1));
  clock_.advance(47h);
  ledger->acknowledged(id);
  clock_.advance(1h);
  EXPECT_EQ(what(*ledger, copy_of(1)), What::nothing);
}

// ---- key 2

TEST_F(LedgerTest, key_2_holds_two_hours_in_its_scope) {
  auto ledger = open();
  deliver(*ledger, copy_of(1, 7));
  EXPECT_EQ(what(*ledger, copy_of(2, 7)), What::delivered);
  EXPECT_EQ(what(*ledger, copy_of(2, 7, 2)), What::nothing);  // another network, no domain
  EXPECT_EQ(what(*ledger, copy_of(2, 8)), What::nothing);
  EXPECT_EQ(what(*ledger, copy_of(2)), What::nothing);
  EXPECT_EQ(what(*ledger, copy_of(1, 0, 2)), What::delivered);  // key 1 asks for no scope
  clock_.advance(2h - 1s);
  EXPECT_EQ(what(*ledger, copy_of(2, 7)), What::delivered);
  clock_.advance(1s);
  EXPECT_EQ(what(*ledger, copy_of(2, 7)), What::nothing);
  EXPECT_EQ(what(*ledger, copy_of(1, 7)), What::delivered);
}

TEST_F(LedgerTest, a_restamped_retry_goes_on_with_the_count) {
  auto ledger = open();
  deliver(*ledger, copy_of(1, 7), mail::Fate::unknown);
  deliver(*ledger, copy_of(2, 7), mail::Fate::unknown);
  EXPECT_EQ(ledger->peek(copy_of(2, 7)).unknown, 2U);
  EXPECT_EQ(ledger->peek(copy_of(1, 7)).unknown, 2U);
  EXPECT_EQ(ledger->stats().entries, 1U);
  ledger.reset();
  ledger = open();
  EXPECT_EQ(ledger->peek(copy_of(2)).unknown, 2U);
}

TEST_F(LedgerTest, a_restamped_retry_joins_whatever_the_time) {
  auto ledger = open();
  auto flight = send(*ledger, copy_of(1, 7));
  clock_.advance(3h);
  EXPECT_EQ(what(*ledger, copy_of(2, 7)), What::in_flight);
}

// ---- owned

TEST_F(LedgerTest, a_stored_copy_is_owned) {
  auto ledger = open();
  auto flight = claim(*ledger, copy_of(1));
  const auto id = flight.own(0);
  EXPECT_EQ(what(*ledger, copy_of(1)), What::owned);
  clock_.advance(47h);
  ledger.reset();
  ledger = open();
  EXPECT_EQ(what(*ledger, copy_of(1)), What::owned);
  ledger->forget(copy_of(1).fingerprint);
  EXPECT_EQ(what(*ledger, copy_of(1)), What::nothing);
  ledger->confirmed(id);
}

// C.3.6: the late handoff. The client's copy is OWNED, the dot goes on as the row's.
TEST_F(LedgerTest, a_late_handoff) {
  auto ledger = open();
  auto flight = send(*ledger, copy_of(1));
  const auto client = flight.hand_over(0, row_of(1));
  EXPECT_TRUE(flight.open(0));
  EXPECT_EQ(what(*ledger, copy_of(1)), What::owned);
  EXPECT_EQ(what(*ledger, row_of(1)), What::in_flight);
  ledger->confirmed(client);  // the shield against the client ends, the runner's journal does not
  EXPECT_EQ(what(*ledger, copy_of(1)), What::nothing);
  flight.settle(0, outcome(mail::Fate::delivered));
  EXPECT_EQ(what(*ledger, row_of(1)), What::delivered);
  ledger.reset();
  ledger = open();
  EXPECT_EQ(what(*ledger, row_of(1)), What::delivered);  // so the runner marks it DONE and sends nothing
  ledger->forget(row_of(1).fingerprint);
  EXPECT_EQ(ledger->stats().entries, 0U);
}

TEST_F(LedgerTest, a_late_handoff_that_dies_is_a_lost_dot_of_the_row) {
  auto ledger = open();
  deliver(*ledger, copy_of(1), mail::Fate::unknown);
  auto flight = send(*ledger, copy_of(1));
  flight.hand_over(0, row_of(1));
  const auto killed = folder_.read();
  flight = Flight();
  ledger.reset();
  folder_.write(killed);
  ledger = open();
  EXPECT_EQ(what(*ledger, copy_of(1)), What::owned);
  const auto found = ledger->peek(row_of(1));
  EXPECT_EQ(found.what, What::lost);
  EXPECT_EQ(found.unknown, 2U);  // the client's first dot counts: at most three in all
}

// Killed between the commit and the mark: the store says so at start.
TEST_F(LedgerTest, rows_are_owned_again_at_start) {
  auto ledger = open();
  deliver(*ledger, copy_of(1), mail::Fate::unknown);
  deliver(*ledger, copy_of(2));
  auto flight = claim(*ledger, copy_of(3));
  EXPECT_TRUE(ledger->own(copy_of(1)));
  EXPECT_TRUE(ledger->own(copy_of(2)));
  EXPECT_FALSE(ledger->own(copy_of(3)));
  EXPECT_TRUE(ledger->own(copy_of(4)));
  EXPECT_TRUE(ledger->own(copy_of(4)));
  EXPECT_EQ(what(*ledger, copy_of(1)), What::owned);
  EXPECT_EQ(what(*ledger, copy_of(2)), What::delivered);
  EXPECT_EQ(what(*ledger, copy_of(3)), What::in_flight);
  EXPECT_EQ(what(*ledger, copy_of(4)), What::owned);
  EXPECT_EQ(ledger->stats().owned, 2U);
}

TEST_F(LedgerTest, what_the_runner_journals_lives_a_week) {
  auto ledger = open();
  deliver(*ledger, row_of(1), mail::Fate::unknown);
  clock_.advance(168h - 1s);
  EXPECT_EQ(what(*ledger, row_of(1)), What::lost);
  clock_.advance(1s);
  EXPECT_EQ(what(*ledger, row_of(1)), What::nothing);
}

// ---- the bound (limits.ledger)

TEST_F(LedgerTest, when_full_the_oldest_2XX_goes_first) {
  auto ledger = open(10);
  for (int i = 0; i < 10; ++i) {
    deliver(*ledger, copy_of(i));
    clock_.advance(1s);
  }
  for (int i = 0; i < 10; ++i) EXPECT_EQ(what(*ledger, copy_of(i)), What::delivered) << i;
  EXPECT_EQ(ledger->stats().dropped_delivered, 0U);
  deliver(*ledger, copy_of(10));
  EXPECT_EQ(what(*ledger, copy_of(0)), What::nothing);
  for (int i = 1; i <= 10; ++i) EXPECT_EQ(what(*ledger, copy_of(i)), What::delivered) << i;
  const auto stats = ledger->stats();
  EXPECT_EQ(stats.dropped_delivered, 1U);
  EXPECT_EQ(stats.entries, 10U);
  EXPECT_EQ(stats.limit, 10U);
}

TEST_F(LedgerTest, when_full_then_lost_dots_then_owned_and_never_what_is_in_flight) {
  auto ledger = open(4);
  auto flight = send(*ledger, copy_of(0));
  claim(*ledger, copy_of(1)).own(0);
  deliver(*ledger, copy_of(2), mail::Fate::unknown);
  deliver(*ledger, copy_of(3));
  std::vector<Flight> more;
  more.push_back(send(*ledger, copy_of(4)));
  EXPECT_EQ(ledger->stats().dropped_delivered, 1U);
  more.push_back(send(*ledger, copy_of(5)));
  EXPECT_EQ(ledger->stats().dropped_lost, 1U);
  more.push_back(send(*ledger, copy_of(6)));
  EXPECT_EQ(ledger->stats().dropped_owned, 1U);
  // One above the limit: no dot without its entry.
  const std::vector<Copy> two{copy_of(7), copy_of(8)};
  EXPECT_NE(std::get_if<Ledger::NoRoom>(std::make_unique<Ledger::Claim>(ledger->claim(two)).get()), nullptr);
  EXPECT_EQ(ledger->stats().no_room, 1U);
  EXPECT_FALSE(ledger->own(copy_of(9)));
  more.pop_back();
  more.pop_back();
  // Room for one of two only: none is claimed.
  more.push_back(send(*ledger, copy_of(10)));
  EXPECT_NE(std::get_if<Ledger::NoRoom>(std::make_unique<Ledger::Claim>(ledger->claim(two)).get()), nullptr);
  EXPECT_EQ(what(*ledger, two[0]), What::nothing);
  EXPECT_EQ(ledger->stats().in_flight, 3U);
}

TEST_F(LedgerTest, what_has_expired_makes_room_by_itself) {
  auto ledger = open(10);
  for (int i = 0; i < 10; ++i) deliver(*ledger, copy_of(i));
  clock_.advance(49h);
  for (int i = 10; i < 20; ++i) deliver(*ledger, copy_of(i));
  EXPECT_EQ(ledger->stats().dropped_delivered, 0U);
  EXPECT_EQ(ledger->stats().entries, 10U);
}

// ---- clocks (DU-11)

TEST_F(LedgerTest, a_clock_that_is_set_expires_nothing) {
  auto ledger = open();
  deliver(*ledger, copy_of(1));
  for (const auto jump : {1h, -1h, 87'600h, -87'600h, 175'200h}) {
    clock_.set_wall(clock_.wall() + jump);
    EXPECT_EQ(what(*ledger, copy_of(1)), What::delivered) << jump.count();
    ledger.reset();
    clock_.set_wall(clock_.wall() + jump);
    ledger = open();
    EXPECT_EQ(what(*ledger, copy_of(1)), What::delivered) << jump.count();
  }
  clock_.set_wall(core::Wall::time_point(-1h));
  deliver(*ledger, copy_of(2));
  EXPECT_EQ(ledger->list(1).at(0).made.time_since_epoch(), 0s);
}

TEST_F(LedgerTest, ages_go_on_over_restarts_and_count_the_time_we_were_up) {
  auto ledger = open();
  deliver(*ledger, copy_of(1));
  for (int i = 0; i < 4; ++i) {
    clock_.advance(10h);
    ledger.reset();
    clock_.advance(100h);  // down: nobody could have repeated it to us
    ledger = open();
  }
  clock_.advance(8h - 1s);
  EXPECT_EQ(what(*ledger, copy_of(1)), What::delivered);
  EXPECT_EQ(ledger->list(1).at(0).age, 48h - 1s);
  clock_.advance(1s);
  EXPECT_EQ(what(*ledger, copy_of(1)), What::nothing);
}

TEST_F(LedgerTest, a_kill_loses_a_minute_of_age_at_most) {
  auto ledger = open();
  deliver(*ledger, copy_of(1));
  for (int i = 0; i < 500; ++i) {
    clock_.advance(59s);
    ledger->confirmed(deliver(*ledger, copy_of(2)));
  }
  const auto killed = folder_.read();
  const auto age = ledger->list(1).at(0).age;
  ledger.reset();
  folder_.write(killed);
  ledger = open();
  EXPECT_LE(ledger->list(1).at(0).age, age);
  EXPECT_GE(ledger->list(1).at(0).age, age - 2min);
}

// ---- joining

TEST_F(LedgerTest, who_joins_gets_the_verdict) {
  auto ledger = open();
  boost::asio::io_context context{1};
  const auto ends = [&](int number, auto end, Verdict::What expected, int code) {
    run(context, [&, number]() -> boost::asio::awaitable<void> {
      auto flight = send(*ledger, copy_of(number));
      boost::asio::post(context, [&] { end(flight); });
      const auto verdict = co_await ledger->join(flight.entry(0), core::Deadline::after(10s));
      EXPECT_TRUE(verdict) << number;
      if (!verdict) co_return;
      EXPECT_EQ(verdict->what, expected) << number;
      EXPECT_EQ(verdict->outcome.reply.code, code) << number;
    });
  };
  ends(1, [](Flight& f) { f.settle(0, outcome(mail::Fate::delivered)); }, Verdict::What::delivered, 250);
  ends(2, [](Flight& f) { f.settle(0, outcome(mail::Fate::failed, 550)); }, Verdict::What::refused, 550);
  ends(3, [](Flight& f) { f.settle(0, outcome(mail::Fate::deferred, 451)); }, Verdict::What::refused, 451);
  ends(4, [](Flight& f) { f.settle(0, outcome(mail::Fate::unknown)); }, Verdict::What::unknown, 0);
  ends(5, [](Flight& f) { f = Flight(); }, Verdict::What::unknown, 0);
  ends(6, [](Flight& f) { f.own(0); }, Verdict::What::owned, 0);
  ends(7, [](Flight& f) { f.hand_over(0, row_of(7)); }, Verdict::What::owned, 0);
  EXPECT_EQ(ledger->stats().joined, 7U);
}

TEST_F(LedgerTest, joining_what_has_ended_or_gone) {
  auto ledger = open();
  boost::asio::io_context context{1};
  run(context, [&]() -> boost::asio::awaitable<void> {
    const auto never = core::Deadline::never();
    const auto said = [&](EntryId id) -> boost::asio::awaitable<Verdict::What> {
      const auto verdict = co_await ledger->join(id, never);
      co_return verdict ? verdict->what : Verdict::What::released;
    };
    EXPECT_EQ(co_await said(deliver(*ledger, copy_of(1))), Verdict::What::delivered);
    EXPECT_EQ(co_await said(deliver(*ledger, copy_of(2), mail::Fate::unknown)), Verdict::What::unknown);
    EXPECT_EQ(co_await said(claim(*ledger, copy_of(3)).own(0)), Verdict::What::owned);
    EXPECT_EQ(co_await said(deliver(*ledger, copy_of(4), mail::Fate::failed)), Verdict::What::released);
    EXPECT_EQ(co_await said(EntryId()), Verdict::What::released);
    // An attempt that ends without its dot: peek() again, and go on.
    auto flight = claim(*ledger, copy_of(5));
    boost::asio::post(context, [&] { flight = Flight(); });
    EXPECT_EQ(co_await said(flight.entry(0)), Verdict::What::released);
    EXPECT_EQ(ledger->peek(copy_of(5)).what, What::nothing);
  });
}

TEST_F(LedgerTest, waiting_ends_at_the_deadline_and_at_the_bound) {
  auto ledger = open();
  boost::asio::io_context context{1};
  auto flight = send(*ledger, copy_of(1));
  run(context, [&]() -> boost::asio::awaitable<void> {
    EXPECT_FALSE(co_await ledger->join(flight.entry(0), core::Deadline::after(5ms)));
    std::size_t told = 0;
    for (std::size_t i = 0; i < kMaxWaiters; ++i) {
      auto waiting = ledger->join(flight.entry(0), core::Deadline::after(10s));
      boost::asio::co_spawn(context, std::move(waiting), [&](std::exception_ptr, std::optional<Verdict> verdict) {
        told += verdict && verdict->what == Verdict::What::delivered ? 1 : 0;
      });
    }
    co_await boost::asio::post(boost::asio::use_awaitable);
    EXPECT_FALSE(co_await ledger->join(flight.entry(0), core::Deadline::never()));
    flight.settle(0, outcome(mail::Fate::delivered));
    while (told < kMaxWaiters) co_await boost::asio::post(boost::asio::use_awaitable);
  });
}

TEST_F(LedgerTest, a_waiter_may_be_destroyed) {
  auto ledger = open();
  auto flight = send(*ledger, copy_of(1));
  {
    boost::asio::io_context context{1};
    boost::asio::co_spawn(context, ledger->join(flight.entry(0), core::Deadline::never()), boost::asio::detached);
    context.poll();
  }
  {
    boost::asio::io_context context{1};
    boost::asio::co_spawn(context, ledger->join(flight.entry(0), core::Deadline::never()), boost::asio::detached);
    context.poll();
    flight.settle(0, outcome(mail::Fate::delivered));  // told, and gone before it hears it
  }
}

// ---- for the operator

TEST_F(LedgerTest, lists_the_newest_first) {
  auto ledger = open(2000);
  std::vector<Flight> flights;
  for (int i = 0; i < 1500; ++i) {
    clock_.advance(1s);
    if (i % 3 == 0) deliver(*ledger, copy_of(i));
    if (i % 3 == 1) claim(*ledger, copy_of(i)).own(0);
    if (i % 3 == 2) flights.push_back(send(*ledger, copy_of(i)));
  }
  const auto claimed = claim(*ledger, copy_of(3000));
  const auto rows = ledger->list(5000);
  ASSERT_EQ(rows.size(), kMaxListed);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].age, core::Seconds(i));
    EXPECT_EQ(rows[i].state, i % 3 == 0 ? "DOT" : i % 3 == 1 ? "OWNED" : "2XX");
  }
  EXPECT_EQ(ledger->list(3).size(), 3U);
  EXPECT_EQ(ledger->list(1).at(0).trace, "abcdefghij-500");
}

// However many came after it.
TEST_F(LedgerTest, finds_by_message) {
  auto ledger = open(20000);
  for (int i = 0; i < 10000; ++i) deliver(*ledger, copy_of(i));  // each message has ten
  EXPECT_EQ(ledger->traced(std::vector<std::string>{"abcdefghij-1"}).size(), 10U);
  const auto found = ledger->traced(std::vector<std::string>{"abcdefghij", "", "abcdefghij-1", "abcdefghij-77"});
  EXPECT_EQ(found.size(), 20U);
  for (const auto& row : found) EXPECT_TRUE(row.trace == "abcdefghij-1" || row.trace == "abcdefghij-77") << row.trace;
  EXPECT_TRUE(ledger->traced(std::vector<std::string>{"zzzzzzzzzz-1"}).empty());
  EXPECT_TRUE(ledger->traced(std::vector<std::string>{"<a@b.test>", "abcdefghij-0"}).empty());
  EXPECT_TRUE(ledger->traced({}).empty());
}

TEST_F(LedgerTest, finds_by_prefix) {
  auto ledger = open(20000);
  for (int i = 0; i < 10000; ++i) deliver(*ledger, copy_of(i));
  const auto all = ledger->list(2);
  const auto whole = all.at(0).fingerprint;
  ASSERT_EQ(whole.size(), 32U);
  for (const auto length : {4U, 5U, 16U, 32U}) {
    const auto found = ledger->find(whole.substr(0, length), 10);
    ASSERT_TRUE(found);
    ASSERT_FALSE(found->empty());
    for (const auto& row : *found) EXPECT_TRUE(row.fingerprint.starts_with(whole.substr(0, length)));
    if (length == 32) EXPECT_EQ(found->size(), 1U);
  }
  std::string upper = whole + std::string(32, 'F');
  for (auto& c : upper) c = core::to_upper(c);
  EXPECT_EQ(ledger->find(upper, 10)->size(), 1U);
  EXPECT_TRUE(ledger->find("0123456789abcdef0123", 10)->empty());
  const std::vector<std::string> bad{"", "abc", "xyzw", "abcd ", std::string(65, 'a')};
  for (const auto& prefix : bad) EXPECT_FALSE(ledger->find(prefix, 10)) << prefix;
}

TEST(Trace, ids_are_kept_whole) {
  core::SeededRandom random(1);
  for (int i = 1; i < 16384; i += 7) {
    const auto id = core::make_id(random) + "-" + std::to_string(i);
    EXPECT_EQ(unpack_trace(pack_trace(id)), id);
  }
  for (const std::string_view bad : {"", "abcdefghij", "abcdefghij-", "abcdefghij-0", "abcdefghij-01",
                                     "abcdefghij-16384", "abcdefghi1-1", "abcdefghijk-1", "ABCDEFGHIJ-1"}) {
    EXPECT_EQ(unpack_trace(pack_trace(bad)), "") << bad;
  }
}

}  // namespace
}  // namespace queue::testing
