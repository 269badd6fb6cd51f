#include "queue/runner.hpp"

#include <fmt/format.h>

#include <set>

#include "disk.hpp"
#include "support.hpp"

namespace queue {
namespace {

using namespace testing;
using mail::Fate;

mail::Outcome outcome(Fate fate, mail::Scope scope = mail::Scope::recipient) {
  mail::Outcome o;
  o.fate = fate;
  o.scope = scope;
  const int code = fate == Fate::delivered ? 250 : fate == Fate::failed ? 550 : 451;
  o.reply = mail::Reply(code, {static_cast<std::uint16_t>(code / 100), 0, 0}, "said so");
  return o;
}

// A store in a folder and a runner on the tests' shard, whose attempts do what the test says.
class RunnerTest : public ::testing::Test {
 protected:
  RunnerTest() {
    place.open();
    attempt = [this](std::shared_ptr<const Work> work, DotCheck) -> Awaitable<std::vector<mail::Outcome>> {
      co_return std::vector<mail::Outcome>(work->job.recipients.size(), answer(work->hop));
    };
    settings.commit_again = 20ms;
  }
  ~RunnerTest() override {
    if (runner) EXPECT_EQ(drain(), 0U);
    runner.reset();
    place.close();
  }

  void start() {
    Attempt outer = [this](std::shared_ptr<const Work> work, DotCheck check,
                           core::Deadline) -> Awaitable<std::vector<mail::Outcome>> {
      ++running;
      most_running = std::max(most_running, running);
      order.push_back(work->job.envelope.id);
      auto outcomes = co_await attempt(std::move(work), std::move(check));
      --running;
      co_return outcomes;
    };
    MakeReport make = [this](Report report) -> Awaitable<core::Result<std::optional<Composed>>> {
      reports.push_back(report);
      if (report_error) co_return report_error;
      Composed composed;
      const auto id = fmt::format("dsn-{}", ++report_number);
      composed.octets = "To: bob\r\n\r\n" + id;
      composed.message =
          message(place.store(), id, composed.octets.size(), report.work->job.envelope.sender.to_string());
      composed.message.envelope.sender = {};
      co_return std::optional<Composed>(std::move(composed));
    };
    auto on_event = [this](const Event& event) {
      events.push_back({event.what, event.recipient, event.why, event.dup_possible, event.unreported});
    };
    runner = std::make_unique<Runner>(
        RunnerMeans{shard().get_executor(), place.store(), random, std::move(outer), std::move(make), on_event},
        settings);
    runner->start();
  }

  mail::Outcome answer(const std::string& hop) const {
    const auto found = answers.find(hop);
    return found == answers.end() ? outcome(Fate::delivered) : found->second;
  }

  // Runs the shard until it is so.
  void until(std::function<bool()> condition) {
    bool reached = false;
    run([&]() -> Awaitable<void> { reached = co_await eventually(condition); });
    ASSERT_TRUE(reached);
  }
  void until_empty() {
    bool empty = false;
    run([&]() -> Awaitable<void> {
      const auto end = core::Deadline::after(20s);
      while (!empty && !end.passed()) {
        const auto statistics = co_await place.store().statistics();
        empty = statistics && statistics->messages == 0;
      }
    });
    ASSERT_TRUE(empty);
  }
  // Lets the clock pass and the runner look.
  void pass(core::Milliseconds by) {
    place.clock.advance(by);
    runner->wake();
  }
  std::size_t drain(core::Milliseconds limit = 5s) { return wait_for(runner->drain(core::Deadline::after(limit))); }
  std::size_t count(Event::What what) const {
    return static_cast<std::size_t>(
        std::count_if(events.begin(), events.end(), [&](const Seen& seen) { return seen.what == what; }));
  }
  std::size_t messages() { return place.statistics().messages; }

  struct Seen {
    Event::What what;
    Recipient recipient;
    Report::Why why;
    bool dup_possible, unreported;
  };
  Place place;
  core::SeededRandom random{5};
  RunnerSettings settings;
  std::function<Awaitable<std::vector<mail::Outcome>>(std::shared_ptr<const Work>, DotCheck)> attempt;
  std::map<std::string, mail::Outcome> answers;
  std::vector<std::string> order;
  std::vector<Seen> events;
  std::vector<Report> reports;
  core::Error report_error;
  int report_number = 0;
  unsigned running = 0, most_running = 0;
  std::unique_ptr<Runner> runner;
};

TEST_F(RunnerTest, DeliversWhatIsThereAndWhatComes) {
  ASSERT_TRUE(place.put("a", octets(10)).ok());
  start();
  until([&] { return count(Event::What::delivered) == 1; });
  ASSERT_TRUE(place.put("b", octets(10)).ok());
  runner->wake("inbox.example");
  until([&] { return count(Event::What::delivered) == 2; });
  EXPECT_EQ(messages(), 0U);
  EXPECT_TRUE(reports.empty());
  EXPECT_EQ(runner->status().delivered, 2U);
}

TEST_F(RunnerTest, PutsOffAndTriesAgainWhenItsTimeComes) {
  answers["inbox.example"] = outcome(Fate::deferred);
  ASSERT_TRUE(place.put("a", octets(10)).ok());
  start();
  until([&] { return count(Event::What::deferred) == 1; });
  auto job = place.list().at(0);
  EXPECT_EQ(job.recipients[0].attempts, 1U);
  EXPECT_EQ(job.recipients[0].lease, 0U);
  EXPECT_EQ(job.recipients[0].last_reply.code, 451);
  EXPECT_GE(job.recipients[0].next_attempt, place.store().now() + 60'000);
  pass(59s);
  ASSERT_TRUE(place.put("b", octets(10), "u@other.example").ok());
  runner->wake();
  until([&] { return count(Event::What::delivered) == 1; });
  EXPECT_EQ(order, (std::vector<std::string>{"a", "b"})) << "its time has not come";
  answers.clear();
  pass(8s);
  until([&] { return count(Event::What::delivered) == 2; });
  EXPECT_EQ(messages(), 0U);
}

TEST_F(RunnerTest, FailsWithAReportInTheSameCommit) {
  answers["inbox.example"] = outcome(Fate::failed);
  ASSERT_TRUE(place.put("a", octets(10)).ok());
  start();
  until([&] { return count(Event::What::failed) == 1 && count(Event::What::delivered) == 1; });
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].kind, Report::Kind::failed);
  EXPECT_EQ(reports[0].about.at(0).why, Report::Why::refused);
  EXPECT_EQ(reports[0].about[0].recipient.last_reply.code, 550);
  EXPECT_EQ(order, (std::vector<std::string>{"a", "dsn-1"})) << "the report goes out by itself";
  EXPECT_EQ(messages(), 0U);
}

TEST_F(RunnerTest, OneReportTellsOfAllThatFailed) {
  auto m = message(place.store(), "a", 10);
  m.recipients.push_back(recipient("v@inbox.example"));
  m.recipients.push_back(recipient("w@inbox.example"));
  m.recipients[1].notify.given = m.recipients[1].notify.never = true;
  ASSERT_TRUE(place.put(std::move(m), octets(10)).ok());
  answers["inbox.example"] = outcome(Fate::failed);
  start();
  until([&] { return count(Event::What::failed) == 3; });
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].about.size(), 2U);
  EXPECT_EQ(std::count_if(events.begin(), events.end(), [](const Seen& s) { return s.unreported; }), 1);
}

TEST_F(RunnerTest, ADoubleBounceIsCountedAndNobodyIsTold) {  // LP-07
  auto m = message(place.store(), "dsn-x", 10);
  m.envelope.sender = {};
  ASSERT_TRUE(place.put(std::move(m), octets(10)).ok());
  answers["inbox.example"] = outcome(Fate::failed);
  start();
  until([&] { return count(Event::What::failed) == 1; });
  EXPECT_TRUE(reports.empty());
  EXPECT_TRUE(events[0].unreported);
  EXPECT_EQ(runner->status().double_bounces, 1U);
  EXPECT_EQ(messages(), 0U);
}

TEST_F(RunnerTest, SuccessIsReportedToWhoAskedForIt) {  // interface.md §6.24
  auto m = message(place.store(), "a", 10);
  m.recipients[0].notify.given = m.recipients[0].notify.success = true;
  ASSERT_TRUE(place.put(std::move(m), octets(10)).ok());
  start();
  until([&] { return count(Event::What::delivered) == 2; });
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].kind, Report::Kind::relayed);
}

TEST_F(RunnerTest, ThreeDotsWithoutAnswerThenTheSenderHears) {  // promise.md C.3.7, DU-17
  answers["inbox.example"] = outcome(Fate::unknown, mail::Scope::host);
  ASSERT_TRUE(place.put("a", octets(10)).ok());
  start();
  for (unsigned i = 1; i < kMaxUnknowns; ++i) {
    until([&] { return count(Event::What::deferred) == i; });
    EXPECT_EQ(place.list().at(0).recipients[0].unknowns, i);
    EXPECT_EQ(place.list().at(0).recipients[0].state, State::owned_dot);
    EXPECT_TRUE(events.back().dup_possible);
    pass(10min);
  }
  until([&] { return count(Event::What::failed) == 1; });
  EXPECT_EQ(std::count(order.begin(), order.end(), "a"), static_cast<std::ptrdiff_t>(kMaxUnknowns));
  EXPECT_EQ(reports.at(0).about.at(0).why, Report::Why::maybe_delivered);
}

TEST_F(RunnerTest, ItExpiresWithAReport) {
  answers["inbox.example"] = outcome(Fate::deferred);
  auto m = message(place.store(), "a", 10);
  m.envelope.expires = place.store().now() + 600'000;
  ASSERT_TRUE(place.put(std::move(m), octets(10)).ok());
  start();
  until([&] { return count(Event::What::deferred) == 1; });
  pass(2min);
  until([&] { return count(Event::What::deferred) == 2; });
  pass(8min);
  until([&] { return count(Event::What::failed) == 1; });
  EXPECT_EQ(reports.at(0).about.at(0).why, Report::Why::expired);
}

TEST_F(RunnerTest, FallsBackAtOnceAfterAPolicyRefusal) {
  auto refusal = outcome(Fate::failed);
  refusal.reply.enhanced = {5, 7, 1};
  answers["inbox.example"] = refusal;
  auto m = message(place.store(), "a", 10);
  m.recipients[0].fallback = {{{"u", "second.example"}, "second.example"}};
  ASSERT_TRUE(place.put(std::move(m), octets(10)).ok());
  start();
  until([&] { return count(Event::What::delivered) == 1; });
  EXPECT_EQ(count(Event::What::fallback), 1U);
  EXPECT_EQ(events.back().recipient.destination.domain, "second.example");
  EXPECT_TRUE(reports.empty());
}

TEST_F(RunnerTest, ADelayIsReportedOnce) {
  settings.schedule.delay_notice = 1h;
  answers["inbox.example"] = outcome(Fate::deferred);
  ASSERT_TRUE(place.put("a", octets(10)).ok());
  start();
  until([&] { return count(Event::What::deferred) == 1; });
  pass(61min);
  until([&] { return count(Event::What::delay_told) == 1; });
  EXPECT_EQ(reports.at(0).kind, Report::Kind::delayed);
  EXPECT_TRUE(place.list().at(0).recipients[0].delay_told);
  pass(2h);
  until([&] { return count(Event::What::deferred) == 3; });
  EXPECT_EQ(reports.size(), 1U);
}

// --- concurrency ---

// An attempt that waits until the test lets it go.
class Gated {
 public:
  Awaitable<void> wait() {
    ++waiting;
    const auto wanted = ++tickets_;
    const bool passed = co_await eventually([this, wanted] { return open_ >= wanted; });
    EXPECT_TRUE(passed);
    --waiting;
  }
  void let(unsigned how_many) { open_ += how_many; }
  void open() { open_ = 1'000'000; }
  unsigned waiting = 0;

 private:
  unsigned tickets_ = 0, open_ = 0;
};

TEST_F(RunnerTest, AHopHasNoMoreAttemptsThanItsWindow) {  // RS-12
  Gated gate;
  attempt = [&](std::shared_ptr<const Work> work, DotCheck) -> Awaitable<std::vector<mail::Outcome>> {
    co_await gate.wait();
    co_return std::vector<mail::Outcome>(work->job.recipients.size(), outcome(Fate::delivered));
  };
  settings.window.most = 7;
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(place.put(fmt::format("m{}", i), octets(10)).ok());
  start();
  until([&] { return gate.waiting == settings.window.initial; });
  EXPECT_EQ(runner->status().hops.at(0).in_flight, settings.window.initial);
  for (int i = 0; i < 30; ++i) {
    const auto before = count(Event::What::delivered);
    gate.let(1);
    until([&] { return count(Event::What::delivered) == before + 1 && gate.waiting >= settings.window.initial; });
  }
  EXPECT_GT(most_running, settings.window.initial) << "it grows";
  EXPECT_LE(most_running, settings.window.most);
  gate.open();
  until_empty();
  EXPECT_LE(most_running, settings.window.most);
}

TEST_F(RunnerTest, HopsTakeTurnsWhenThereIsLittleRoom) {
  settings.in_flight = 2;
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(place.put(fmt::format("big{}", i), octets(10), "u@big.example").ok());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(place.put(fmt::format("small{}", i), octets(10), fmt::format("u@small{}.example", i)).ok());
  }
  start();
  until_empty();
  EXPECT_LE(most_running, 2U);
  // The small ones did not wait until the big one was through.
  for (int i = 0; i < 3; ++i) {
    const auto at = std::find(order.begin(), order.end(), fmt::format("small{}", i)) - order.begin();
    EXPECT_LT(at, 15) << i;
  }
}

TEST_F(RunnerTest, MemoryIsBoundedByTheAttemptsUnderWay) {
  Gated gate;
  attempt = [&](std::shared_ptr<const Work> work, DotCheck) -> Awaitable<std::vector<mail::Outcome>> {
    co_await gate.wait();
    co_return std::vector<mail::Outcome>(work->job.recipients.size(), outcome(Fate::delivered));
  };
  settings.in_flight = 10;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(place.put(fmt::format("m{}", i), octets(10), fmt::format("u@d{}.example", i)).ok());
  }
  start();
  until([&] { return gate.waiting == 10; });
  std::size_t leased = 0;
  for (const auto& job : place.list()) leased += job.recipients[0].lease != 0 ? 1 : 0;
  EXPECT_EQ(leased, 10U) << "what is leased is what is tried";
  gate.open();
  until_empty();
}

TEST_F(RunnerTest, ADeadHopCostsOneProbeAtATime) {
  answers["dead.example"] = outcome(Fate::deferred, mail::Scope::destination);
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(place.put(fmt::format("d{}", i), octets(10), "u@dead.example").ok());
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(place.put(fmt::format("m{}", i), octets(10), fmt::format("u@d{}.example", i)).ok());
  }
  start();
  until([&] { return count(Event::What::delivered) == 10; });
  // All that had never been tried are put off with what the hop said to the first ones, so that their clocks run.
  until([&] { return count(Event::What::deferred) == 40; });
  const auto asked = std::count_if(order.begin(), order.end(), [](const auto& id) { return id.starts_with('d'); });
  EXPECT_LE(asked, 10);
  const auto status = runner->status();
  ASSERT_EQ(status.hops.size(), 1U);
  EXPECT_TRUE(status.hops[0].dead);
  EXPECT_NE(status.hops[0].why, "");
  // Its pause is over: one asks, and as it answers again, the others follow.
  answers.clear();
  pass(10min);
  until_empty();
}

TEST_F(RunnerTest, AProbeThatFailsKeepsTheOthersWaiting) {
  answers["dead.example"] = outcome(Fate::deferred, mail::Scope::host);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(place.put(fmt::format("d{}", i), octets(10), "u@dead.example").ok());
  start();
  until([&] { return count(Event::What::deferred) == 20; });
  const auto asked = order.size();
  pass(10min);
  until([&] { return order.size() == asked + 1; });
  until([&] { return runner->status().in_flight == 0; });
  EXPECT_EQ(order.size(), asked + 1);
  runner->forgive();
  until([&] { return order.size() == asked + 2; });
}

TEST_F(RunnerTest, RecipientsOfADeadHopExpireAndFallBackAllTheSame) {
  answers["dead.example"] = outcome(Fate::deferred, mail::Scope::destination);
  settings.window.first_pause = 24h * 10;
  settings.window.longest_pause = 24h * 10;
  settings.schedule.fallback_after = 2h;
  for (int i = 0; i < 8; ++i) {
    auto m = message(place.store(), fmt::format("d{}", i), 10, "u@dead.example");
    if (i < 2) m.recipients[0].fallback = {{{"u", "second.example"}, "second.example"}};
    if (i >= 6) m.envelope.expires = place.store().now() + 3'600'000;
    ASSERT_TRUE(place.put(std::move(m), octets(10)).ok());
  }
  start();
  until([&] { return count(Event::What::deferred) == 8; });
  const auto asked = order.size();
  pass(61min);
  until([&] { return count(Event::What::failed) == 2; });
  EXPECT_EQ(reports.at(0).about.at(0).why, Report::Why::expired);
  pass(1h);
  until([&] { return count(Event::What::fallback) == 2; });
  until([&] { return count(Event::What::delivered) == 4; });  // two reports, two fallbacks
  EXPECT_EQ(std::count_if(order.begin() + static_cast<std::ptrdiff_t>(asked), order.end(),
                          [](const auto& id) { return id.starts_with("d") && id >= "d2" && id < "ds"; }),
            0)
      << "the dead hop itself was not asked again";
}

// --- leases, dots, drain ---

TEST_F(RunnerTest, ADotNeedsALeaseOfMoreThanElevenMinutes) {  // promise.md C.6
  settings.lease = 15min;
  std::vector<bool> allowed;
  Epoch lease = 0;
  attempt = [&](std::shared_ptr<const Work> work, DotCheck check) -> Awaitable<std::vector<mail::Outcome>> {
    lease = work->lease;
    allowed.push_back(co_await check());
    place.clock.advance(5min);  // 10 are left: it is extended
    allowed.push_back(co_await check());
    const auto until = co_await place.store().check(work->job.key, work->lease);
    EXPECT_EQ(until.value(), place.store().now() + core::Milliseconds(15min).count());
    // An operator has removed the message meanwhile.
    const auto removed = co_await place.store().remove({.id = "a"}, {});
    EXPECT_EQ(removed.recipients, 1U);
    allowed.push_back(co_await check());
    co_return std::vector<mail::Outcome>{outcome(Fate::deferred)};
  };
  ASSERT_TRUE(place.put("a", octets(10)).ok());
  start();
  until([&] { return count(Event::What::lease_lost) == 1; });
  EXPECT_EQ(allowed, (std::vector<bool>{true, true, false}));
}

TEST_F(RunnerTest, ALeaseDoesNotEndUnderItsAttempt) {
  Gated gate;
  Epoch lease = 0;
  attempt = [&](std::shared_ptr<const Work> work, DotCheck) -> Awaitable<std::vector<mail::Outcome>> {
    lease = work->lease;
    co_await gate.wait();
    co_return std::vector<mail::Outcome>{outcome(Fate::delivered)};
  };
  ASSERT_TRUE(place.put("a", octets(10)).ok());
  start();
  until([&] { return gate.waiting == 1; });
  for (int i = 0; i < 6; ++i) {  // two hours
    pass(20min);
    run([&]() -> Awaitable<void> {
      core::Result<Time> ends = Time(0);
      const auto limit = core::Deadline::after(10s);
      do {
        ends = co_await place.store().check(1, lease);
      } while (ends && *ends - place.store().now() < 1'200'000 && !limit.passed());
      EXPECT_TRUE(ends);
      EXPECT_GE(ends ? *ends - place.store().now() : 0, 1'200'000);
    });
  }
  gate.open();
  until([&] { return count(Event::What::delivered) == 1; });
  EXPECT_EQ(order.size(), 1U);
}

TEST_F(RunnerTest, WhatWasDeliveredOnAFullDiskIsNotDeliveredAgain) {  // DU-06
  place.close();
  Disk disk(place.folder.path());
  place.files = &disk.files();
  place.settings.vfs = disk.vfs();
  place.open();
  std::atomic<bool> full{false};
  disk.set_fault([&](const DiskOperation& o, std::size_t) { return full && o.by_sqlite ? ENOSPC : 0; });
  attempt = [&](std::shared_ptr<const Work>, DotCheck) -> Awaitable<std::vector<mail::Outcome>> {
    full = order.size() == 1;
    co_return std::vector<mail::Outcome>{outcome(Fate::delivered)};
  };
  ASSERT_TRUE(place.put("a", octets(10)).ok());
  start();
  until([&] { return runner->status().unsettled == 1; });
  for (int i = 0; i < 5; ++i) pass(1h);
  EXPECT_EQ(messages(), 1U);
  full = false;
  until([&] { return count(Event::What::delivered) == 1; });
  EXPECT_EQ(messages(), 0U);
  EXPECT_EQ(order.size(), 1U);
  EXPECT_EQ(drain(), 0U);
  runner.reset();
  place.close();
}

TEST_F(RunnerTest, ASealedStoreIsAskedForNothingMoreAndNoDotGoesOut) {  // DU-05
  place.close();
  Disk disk(place.folder.path());
  place.files = &disk.files();
  place.settings.vfs = disk.vfs();
  place.open();
  std::atomic<bool> broken{false};
  disk.set_fault([&](const DiskOperation& o, std::size_t) {
    return broken && o.by_sqlite && o.kind == DiskOperation::Kind::sync ? EIO : 0;
  });
  bool dot = true;
  attempt = [&](std::shared_ptr<const Work>, DotCheck check) -> Awaitable<std::vector<mail::Outcome>> {
    broken = true;
    SlicedSource source(octets(10), 10);
    auto m = message(place.store(), "breaks", 10);
    const auto receipt = co_await place.store().put(std::move(m), source);
    EXPECT_EQ(receipt.commit, Commit::unknown);
    dot = co_await check();
    co_return std::vector<mail::Outcome>{outcome(Fate::deferred)};
  };
  ASSERT_TRUE(place.put("a", octets(10)).ok());
  start();
  until([&] { return order.size() == 1 && runner->status().in_flight == 0; });
  EXPECT_FALSE(dot);
  pass(1h);
  EXPECT_EQ(drain(), 0U);
  EXPECT_EQ(order.size(), 1U);
  EXPECT_TRUE(events.empty()) << "nothing has become true";
  runner.reset();
  broken = false;
  place.reopen();
  EXPECT_EQ(place.list().at(0).envelope.id, "a");
  place.close();
}

TEST_F(RunnerTest, WhatSomebodyHasRemovedDoesNotKeepTheOthersFromBeingSettled) {
  attempt = [&](std::shared_ptr<const Work> work, DotCheck) -> Awaitable<std::vector<mail::Outcome>> {
    if (work->job.recipients.size() < 3) co_return std::vector<mail::Outcome>{outcome(Fate::delivered)};
    const auto removed = co_await place.store().remove({.recipient = "gone@example.org"}, {});
    EXPECT_EQ(removed.recipients, 1U);
    std::vector<mail::Outcome> outcomes{outcome(Fate::failed), outcome(Fate::failed), outcome(Fate::delivered)};
    co_return outcomes;
  };
  auto m = message(place.store(), "a", 10);
  m.recipients.assign(3, m.recipients[0]);
  m.recipients[1].address.mailbox.local = "gone";
  ASSERT_TRUE(place.put(std::move(m), octets(10)).ok());
  start();
  until([&] { return count(Event::What::delivered) == 2; });
  EXPECT_EQ(count(Event::What::failed), 1U);
  EXPECT_EQ(count(Event::What::lease_lost), 1U);
  EXPECT_EQ(reports.back().about.size(), 1U);
  EXPECT_EQ(messages(), 0U);
}

TEST_F(RunnerTest, HeldWhileItIsTriedItStaysHeldAfterwards) {
  Gated gate;
  attempt = [&](std::shared_ptr<const Work>, DotCheck) -> Awaitable<std::vector<mail::Outcome>> {
    co_await gate.wait();
    co_return std::vector<mail::Outcome>{outcome(Fate::deferred)};
  };
  ASSERT_TRUE(place.put("a", octets(10)).ok());
  start();
  until([&] { return gate.waiting == 1; });
  EXPECT_EQ(wait_for(place.store().hold({}, "stop", {})).recipients, 1U);
  gate.open();
  until([&] { return count(Event::What::deferred) == 1; });
  pass(1h);
  EXPECT_EQ(drain(), 0U);
  EXPECT_EQ(order.size(), 1U);
}

TEST_F(RunnerTest, AMissingOrThrownOutcomeIsADeferral) {
  attempt = [&](std::shared_ptr<const Work> work, DotCheck) -> Awaitable<std::vector<mail::Outcome>> {
    if (work->job.envelope.id == "throws") throw std::runtime_error("a bug");
    co_return std::vector<mail::Outcome>();
  };
  ASSERT_TRUE(place.put("throws", octets(10)).ok());
  ASSERT_TRUE(place.put("silent", octets(10)).ok());
  start();
  until([&] { return count(Event::What::deferred) == 2; });
  EXPECT_EQ(messages(), 2U);
}

TEST_F(RunnerTest, AReportThatCannotBeMadeKeepsTheRecipient) {  // promise.md I2
  report_error = StoreErrc::unreadable;
  answers["inbox.example"] = outcome(Fate::failed);
  ASSERT_TRUE(place.put("a", octets(10)).ok());
  start();
  until([&] { return reports.size() >= 3; });
  EXPECT_EQ(messages(), 1U);
  EXPECT_EQ(order.size(), 1U) << "the destination is not asked again meanwhile";
  report_error = {};
  until([&] { return count(Event::What::failed) == 1; });
}

TEST_F(RunnerTest, DrainWaitsForAttemptsAndStartsNoNewOnes) {  // DU-15
  Gated gate;
  attempt = [&](std::shared_ptr<const Work>, DotCheck) -> Awaitable<std::vector<mail::Outcome>> {
    co_await gate.wait();
    co_return std::vector<mail::Outcome>{outcome(Fate::delivered)};
  };
  settings.window.initial = 1;
  ASSERT_TRUE(place.put("a", octets(10)).ok());
  ASSERT_TRUE(place.put("b", octets(10)).ok());
  start();
  until([&] { return gate.waiting == 1; });
  EXPECT_EQ(drain(50ms), 1U) << "one is still under way";
  EXPECT_EQ(runner->status().in_flight, 1U);
  gate.open();
  EXPECT_EQ(drain(), 0U);
  EXPECT_EQ(order.size(), 1U);
  EXPECT_EQ(messages(), 1U);
  EXPECT_EQ(place.list().at(0).recipients[0].lease, 0U);
}

TEST_F(RunnerTest, TakesCareOfALivingAttempt) {  // promise.md C.3.6
  auto m = message(place.store(), "a", 10);
  m.recipients.assign(3, m.recipients[0]);
  for (auto& r : m.recipients) {
    r.state = State::owned_dot;
    r.lease = 1;
  }
  m.lease_for = 30min;
  const auto put = place.put(m, octets(10));
  ASSERT_TRUE(put.ok());
  const auto pieces = work_of(m, put, place.store().now());
  ASSERT_EQ(pieces.size(), 1U);
  EXPECT_EQ(pieces[0].job.recipients.size(), 3U);
  EXPECT_EQ(pieces[0].until, wait_for(place.store().find("a"))->recipients[0].lease_until);
  start();
  Gated gate;
  runner->adopt(pieces[0], [&]() -> Awaitable<std::vector<mail::Outcome>> {
    co_await gate.wait();
    // The third one never said anything.
    co_return std::vector<mail::Outcome>{outcome(Fate::delivered), outcome(Fate::deferred)};
  });
  until([&] { return gate.waiting == 1; });
  EXPECT_EQ(runner->status().adopted, 1U);
  EXPECT_TRUE(order.empty()) << "nobody else tries it";
  gate.open();
  until([&] { return events.size() == 3; });
  EXPECT_EQ(count(Event::What::delivered), 1U);
  const auto job = place.list().at(0);
  ASSERT_EQ(job.recipients.size(), 2U);
  EXPECT_EQ(job.recipients[0].state, State::owned);
  EXPECT_EQ(job.recipients[0].unknowns, 0U);
  EXPECT_EQ(job.recipients[1].state, State::owned_dot);
  EXPECT_EQ(job.recipients[1].unknowns, 1U);
}

TEST_F(RunnerTest, SeveralHopsOfOneHandoffShareALease) {
  auto m = message(place.store(), "a", 10);
  m.recipients.push_back(recipient("v@other.example"));
  m.recipients.push_back(recipient("w@third.example"));  // put off already: nobody's living attempt
  for (unsigned i = 0; i < 2; ++i) {
    m.recipients[i].state = State::owned_dot;
    m.recipients[i].lease = 1;
  }
  m.recipients[2].attempts = 1;
  m.recipients[2].next_attempt = place.store().now() + 60'000;
  m.lease_for = 30min;
  const auto put = place.put(m, octets(10));
  ASSERT_TRUE(put.ok());
  start();
  Gated first, second;
  const auto pieces = work_of(m, put, place.store().now());
  ASSERT_EQ(pieces.size(), 2U);
  runner->adopt(pieces[0], [&]() -> Awaitable<std::vector<mail::Outcome>> {
    co_await first.wait();
    co_return std::vector<mail::Outcome>{outcome(Fate::delivered)};
  });
  runner->adopt(pieces[1], [&]() -> Awaitable<std::vector<mail::Outcome>> {
    co_await second.wait();
    co_return std::vector<mail::Outcome>{outcome(Fate::deferred)};
  });
  until([&] { return first.waiting == 1 && second.waiting == 1; });
  EXPECT_EQ(runner->status().adopted, 2U);
  second.open();
  until([&] { return count(Event::What::deferred) == 1; });
  EXPECT_EQ(runner->status().adopted, 1U);
  first.open();
  until([&] { return count(Event::What::delivered) == 1; });
  EXPECT_TRUE(order.empty());
  EXPECT_EQ(place.list().at(0).recipients.size(), 2U);
  pass(10min);
  until_empty();
}

TEST_F(RunnerTest, FailsByHandWithAReport) {
  answers["inbox.example"] = outcome(Fate::deferred);
  ASSERT_TRUE(place.put("a", octets(10)).ok());
  ASSERT_TRUE(place.put("b", octets(10), "u@other.example").ok());
  start();
  until([&] { return count(Event::What::deferred) == 1 && count(Event::What::delivered) == 1; });
  const auto touched = wait_for(runner->fail({.id = "a"}, {}));
  EXPECT_TRUE(touched.receipt.ok());
  EXPECT_EQ(touched.recipients, 1U);
  EXPECT_EQ(reports.at(0).about.at(0).why, Report::Why::by_operator);
  EXPECT_EQ(wait_for(runner->fail({.id = "a"}, {})).recipients, 0U);
  // A report that cannot be made leaves the message as it was.
  ASSERT_TRUE(place.put("c", octets(10)).ok());
  EXPECT_EQ(wait_for(place.store().hold({.id = "c"}, "x", {})).recipients, 1U);
  report_error = StoreErrc::unreadable;
  EXPECT_EQ(wait_for(runner->fail({.id = "c"}, {})).receipt.error, StoreErrc::unreadable);
  EXPECT_EQ(wait_for(place.store().find("c"))->recipients[0].lease, 0U);
}

TEST_F(RunnerTest, AClockThatIsSetStartsNoStampede) {  // DU-11
  answers["inbox.example"] = outcome(Fate::deferred);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(place.put(fmt::format("m{}", i), octets(10)).ok());
  start();
  until([&] { return count(Event::What::deferred) == 10; });
  for (const core::Milliseconds jump : {core::Milliseconds(24h * 3652), -core::Milliseconds(24h * 7304)}) {
    place.clock.jump(jump);
    runner->wake();
    ASSERT_TRUE(place.put(fmt::format("probe{}", jump.count()), octets(10), "u@probe.example").ok());
    runner->wake("probe.example");
    const auto delivered = count(Event::What::delivered);
    until([&] { return count(Event::What::delivered) == delivered + 1; });
  }
  EXPECT_EQ(count(Event::What::deferred), 10U);
  EXPECT_EQ(count(Event::What::failed), 0U);
  EXPECT_EQ(messages(), 10U);
}

}  // namespace
}  // namespace queue
