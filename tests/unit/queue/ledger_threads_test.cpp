// One ledger for several shards (also run under TSan): never two dots at once for one copy, every waiter is told, on
// its own thread, and the file says what the tables say.
#include <algorithm>
#include <atomic>
#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <thread>

#include "core/random.hpp"
#include "queue/ledger_support.hpp"

namespace queue::testing {
namespace {

constexpr std::uint32_t kFew = 3;
constexpr int kShards = 4, kSessions = 8, kCopies = 12, kRounds = 150;

struct Shared {
  Ledger& ledger;
  std::array<std::atomic<int>, kCopies> dots{};  // out right now
  std::atomic<int> joined{0}, sent{0}, repeated{0};
};

// A client that gives the same few messages again and again, on one shard.
boost::asio::awaitable<void> session(Shared& shared, std::uint64_t seed) {
  core::SeededRandom random(seed);
  const auto thread = std::this_thread::get_id();
  for (int round = 0; round < kRounds; ++round) {
    const int number = static_cast<int>(random.below(kCopies));
    const auto copy = copy_of(number);
    auto claimed = shared.ledger.claim({&copy, 1});
    if (const auto* conflict = std::get_if<Ledger::Conflict>(&claimed)) {
      const auto finding = conflict->finding;
      if (finding.what == What::in_flight) {
        const auto verdict = co_await shared.ledger.join(finding.entry, core::Deadline::after(20s));
        EXPECT_TRUE(verdict);
        EXPECT_EQ(std::this_thread::get_id(), thread);
        ++shared.joined;
      } else if (finding.what == What::delivered || finding.what == What::owned) {
        ++shared.repeated;
        if (random.below(2) == 0) shared.ledger.confirmed(finding.entry);
        if (random.below(4) == 0) shared.ledger.acknowledged(finding.entry);
      } else {
        shared.ledger.forget(copy.fingerprint);
      }
      continue;
    }
    auto flight = std::move(std::get<Flight>(claimed));
    flight.journal_dot();
    EXPECT_EQ(shared.dots[static_cast<std::size_t>(number)].fetch_add(1), 0) << "two dots at once";
    ++shared.sent;
    for (auto turns = random.below(4); turns > 0; --turns) co_await boost::asio::post(boost::asio::use_awaitable);
    shared.dots[static_cast<std::size_t>(number)].fetch_sub(1);
    switch (random.below(5)) {
      case 0:
        flight.settle(0, outcome(mail::Fate::failed, 550));
        break;
      case 1:
        flight.settle(0, outcome(mail::Fate::unknown));
        break;
      case 2:
        flight.own(0);
        break;
      default:
        flight.settle(0, outcome(mail::Fate::delivered));
    }
  }
}

TEST(LedgerThreads, one_dot_at_a_time_and_every_waiter_is_told) {
  const Folder folder;
  const core::SystemClock clock;
  std::vector<What> known;
  {
    const auto ledger = open(folder.file(), clock, 1000);
    Shared shared{*ledger};
    std::vector<std::thread> threads;
    std::atomic<bool> stop{false};
    for (int shard = 0; shard < kShards; ++shard) {
      threads.emplace_back([&shared, shard] {
        boost::asio::io_context context{1};
        for (int i = 0; i < kSessions; ++i) {
          boost::asio::co_spawn(context, session(shared, static_cast<std::uint64_t>(100 * shard + i)),
                                boost::asio::detached);
        }
        context.run_for(60s);
      });
    }
    std::thread operator_thread([&] {
      while (!stop) {
        static_cast<void>(ledger->list(100));
        static_cast<void>(ledger->find("0000", 10));
        static_cast<void>(ledger->stats());
        static_cast<void>(ledger->file_error());
      }
    });
    for (auto& thread : threads) thread.join();
    stop = true;
    operator_thread.join();
    EXPECT_GT(shared.joined, 0);
    EXPECT_GT(shared.sent, 0);
    EXPECT_GT(shared.repeated, 0);
    EXPECT_EQ(ledger->stats().in_flight, 0U);
    for (int i = 0; i < kCopies; ++i) known.push_back(ledger->peek(copy_of(i)).what);
  }
  const auto ledger = open(folder.file(), clock, 1000);
  for (int i = 0; i < kCopies; ++i) EXPECT_EQ(ledger->peek(copy_of(i)).what, known[static_cast<std::size_t>(i)]) << i;
}

// Few slots for many threads: a slot's last record is that of its last change, whoever wrote it. Only the end of each
// round is looked at, so there are many.
TEST(LedgerThreads, slots_change_hands) {
  constexpr int kEnough = 150, kTurns = 40;
  const core::SystemClock clock;
  for (int round = 0; round < kEnough; ++round) {
    const Folder folder;
    std::vector<int> there;
    {
      const auto ledger = open(folder.file(), clock, kFew);
      std::vector<std::thread> threads;
      for (int t = 0; t < kShards; ++t) {
        threads.emplace_back([&ledger, t] {
          for (int i = 0; i < kTurns; ++i) {
            const auto copy = copy_of(kTurns * t + i);
            auto claimed = ledger->claim({&copy, 1});
            auto* flight = std::get_if<Flight>(&claimed);
            if (flight == nullptr) continue;
            flight->journal_dot();
            flight->settle(0, outcome(mail::Fate::delivered));
            if (i % 3 != 2) ledger->confirmed(flight->entry(0));
          }
        });
      }
      for (auto& thread : threads) thread.join();
      for (int number = 0; number < kTurns * kShards; ++number) {
        if (ledger->peek(copy_of(number)).what == What::delivered) there.push_back(number);
      }
    }
    const auto ledger = open(folder.file(), clock, kFew);
    for (const int number : there) ASSERT_EQ(ledger->peek(copy_of(number)).what, What::delivered) << number;
    ASSERT_EQ(ledger->stats().entries, there.size()) << round;
  }
}

}  // namespace
}  // namespace queue::testing
