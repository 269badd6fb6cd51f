// What the store does when the disk fails it (threats DU-05, DU-06, promise.md C.6), operation by operation.
#include <fmt/format.h>
#include <sqlite3.h>

#include <cerrno>

#include "disk.hpp"
#include "queue/sqlite.hpp"
#include "support.hpp"

namespace queue {
namespace {

using namespace testing;
using Kind = DiskOperation::Kind;

class FaultyPlace : public Place {
 public:
  FaultyPlace() : disk(folder.path()) {
    files = &disk.files();
    settings.vfs = disk.vfs();
    settings.on_alert = alerts.sink();
  }
  ~FaultyPlace() { close(); }

  // The operations that `which` means fail with `code` from now on, or the first `times` of them.
  void fail(std::function<bool(const DiskOperation&)> which, int code, int times = 1'000'000) {
    auto left = std::make_shared<int>(times);
    disk.set_fault([which = std::move(which), code, left](const DiskOperation& operation, std::size_t) {
      return which(operation) && (*left)-- > 0 ? code : 0;
    });
  }
  void heal() { disk.set_fault({}); }

  Alerts alerts;
  Disk disk;
};

bool is_log_sync(const DiskOperation& o) {
  return o.by_sqlite && o.kind == Kind::sync && o.path == "queue.db-wal";
}
bool is_log_write(const DiskOperation& o) {
  return o.by_sqlite && o.kind == Kind::write && o.path == "queue.db-wal";
}
bool is_body(const DiskOperation& o, Kind kind) {
  return !o.by_sqlite && o.kind == kind && o.path.starts_with("bodies");
}

void expect_sealed(FaultyPlace& place) {
  auto& store = place.store();
  EXPECT_TRUE(store.health().sealed);
  EXPECT_NE(store.health().reason, "");
  EXPECT_EQ(store.room(1), Room::sealed);
  EXPECT_EQ(place.alerts.count(StoreAlert::Kind::sealed), 1U);
  const auto later = place.put("later", octets(10));
  EXPECT_EQ(later.commit, Commit::not_committed);
  EXPECT_EQ(later.error, StoreErrc::sealed);
  EXPECT_EQ(wait_for(store.lease_due({.lease_for = 1min})).error(), StoreErrc::sealed);
  EXPECT_EQ(wait_for(store.commit({})).error, StoreErrc::sealed);
  EXPECT_EQ(wait_for(store.hold({}, "x", {})).receipt.error, StoreErrc::sealed);
  // Looking is still possible.
  EXPECT_TRUE(wait_for(store.statistics()));
}

TEST(StoreFaults, AFailedSyncSealsUntilTheRestart) {  // DU-05
  for (const bool always : {false, true}) {
    for (const int code : {EIO, ENOSPC}) {  // a sync that failed has failed, for whatever reason
      FaultyPlace place;
      place.open();
      ASSERT_TRUE(place.put("before", octets(10)).ok());
      place.fail(is_log_sync, code, always ? 1'000'000 : 1);
      const auto receipt = place.put("unsure", octets(10));
      EXPECT_EQ(receipt.commit, Commit::unknown);
      EXPECT_EQ(receipt.error, StoreErrc::sealed);
      const auto before = place.disk.size();
      expect_sealed(place);
      const auto log = place.disk.log();
      EXPECT_EQ(std::count_if(log.begin() + static_cast<std::ptrdiff_t>(before), log.end(), is_log_write), 0);
      place.heal();
      // The caller has been told "unknown" and has answered 451: the sender comes again, so that the row must not stay.
      place.reopen();
      const auto jobs = place.list();
      ASSERT_EQ(jobs.size(), 1U);
      EXPECT_EQ(jobs[0].envelope.id, "before");
      EXPECT_FALSE(place.store().health().sealed);
      EXPECT_TRUE(place.put("unsure", octets(10)).ok());
    }
  }
}

TEST(StoreFaults, AnUnsureDsnStaysBecauseItsRecipientHasLeft) {
  FaultyPlace place;
  place.open();
  ASSERT_TRUE(place.put("a", octets(10)).ok());
  const auto work = place.lease().work.at(0);
  place.fail(is_log_sync, EIO);
  Composed dsn{message(place.store(), "dsn", 3), "dsn"};
  EXPECT_EQ(place.commit({{{work.job.key, 0, work.lease, Failed{}}}, {dsn}}).commit, Commit::unknown);
  place.heal();
  place.reopen();
  const auto jobs = place.list();
  ASSERT_EQ(jobs.size(), 1U) << "either the recipient or its report";
}

TEST(StoreFaults, AFailedWriteOfTheLogSeals) {
  FaultyPlace place;
  place.open();
  place.fail(is_log_write, EIO, 1);
  EXPECT_EQ(place.put("a", octets(10)).commit, Commit::unknown);
  expect_sealed(place);
  place.heal();
  place.reopen();
  EXPECT_TRUE(place.list().empty());
}

TEST(StoreFaults, NoSpaceIsNoDisasterAndGoesAwayByItself) {  // DU-06
  for (const int code : {ENOSPC, EDQUOT}) {
    FaultyPlace place;
    place.open();
    ASSERT_TRUE(place.put("before", octets(1000)).ok());
    place.fail(is_log_write, code);
    for (int i = 0; i < 3; ++i) {
      const auto receipt = place.put("a", octets(1000));
      EXPECT_EQ(receipt.commit, Commit::not_committed);
      EXPECT_EQ(receipt.error, StoreErrc::full);
    }
    EXPECT_FALSE(place.store().health().sealed);
    EXPECT_EQ(place.alerts.count(StoreAlert::Kind::full), 1U) << "told once";
    EXPECT_EQ(place.list().size(), 1U);
    EXPECT_EQ(wait_for(place.store().lease_due({.lease_for = 1min})).error(), StoreErrc::full);
    place.heal();
    EXPECT_TRUE(place.put("a", octets(1000)).ok());
    EXPECT_EQ(place.alerts.count(StoreAlert::Kind::full_over), 1U);
    EXPECT_EQ(place.lease().work.size(), 2U);
    place.reopen();
    EXPECT_EQ(place.list().size(), 2U);
    EXPECT_EQ(place.statistics().messages, 2U);
    EXPECT_EQ(place.statistics().octets, 2000U);
  }
}

TEST(StoreFaults, InAFullDiskTheSmallOnesOfAGroupStillGetIn) {
  FaultyPlace place;
  auto& store = place.open();
  // A quota of writes: the log may grow up to here.
  place.fail([](const DiskOperation& o) { return is_log_write(o) && o.offset > 100'000; }, ENOSPC);
  run([&]() -> Awaitable<void> {
    std::size_t committed = 0, full = 0, ended = 0;
    for (int i = 0; i < 20; ++i) {
      auto put = [&, i]() -> Awaitable<void> {
        const std::size_t size = i % 5 == 0 ? 60'000 : 500;
        SlicedSource source(octets(size), 10'000);
        auto m = message(store, fmt::format("m{}", i), size);
        const auto receipt = co_await store.put(std::move(m), source);
        committed += receipt.ok() ? 1 : 0;
        full += receipt.error == StoreErrc::full ? 1 : 0;
        ++ended;
      };
      asio::co_spawn(shard(), put, asio::detached);
    }
    const bool all = co_await eventually([&] { return ended == 20; });
    EXPECT_TRUE(all);
    EXPECT_EQ(committed + full, 20U);
    EXPECT_GT(full, 0U);
    EXPECT_GT(committed, 0U);
  });
  const auto committed = place.statistics().messages;
  EXPECT_FALSE(store.health().sealed);
  place.heal();
  place.reopen();
  EXPECT_EQ(place.statistics().messages, committed);
  EXPECT_EQ(place.list().size(), committed);
}

TEST(StoreFaults, WritingABodyFile) {
  struct Case {
    Kind kind;
    int code;
    StoreErrc error;
    bool sealed;
  };
  const Case cases[] = {
      {Kind::create, ENOSPC, StoreErrc::full, false},  // no inodes
      {Kind::create, EDQUOT, StoreErrc::full, false}, {Kind::create, EMFILE, StoreErrc::busy, false},
      {Kind::create, EROFS, StoreErrc::sealed, true}, {Kind::write, ENOSPC, StoreErrc::full, false},
      {Kind::write, EFBIG, StoreErrc::full, false},   {Kind::write, EIO, StoreErrc::sealed, true},
      {Kind::sync, EIO, StoreErrc::sealed, true},     {Kind::sync_folder, EIO, StoreErrc::sealed, true},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(fmt::format("kind {} errno {}", static_cast<int>(c.kind), c.code));
    FaultyPlace place;
    place.open();
    place.fail([&](const DiskOperation& o) { return is_body(o, c.kind); }, c.code);
    const auto receipt = place.put("a", octets(700'000));
    EXPECT_EQ(receipt.commit, Commit::not_committed);
    EXPECT_EQ(receipt.error, c.error);
    EXPECT_EQ(place.store().health().sealed, c.sealed);
    place.heal();
    place.reopen();
    EXPECT_TRUE(place.bodies_are_gone());
    EXPECT_TRUE(place.list().empty());
    EXPECT_TRUE(place.put("a", octets(700'000)).ok());
  }
}

TEST(StoreFaults, AFailedCheckpointSealsAndLosesNothing) {
  for (const auto kind : {Kind::sync, Kind::write}) {
    FaultyPlace place;
    place.settings.checkpoint_pages = 1;
    place.open();
    ASSERT_TRUE(place.put("before", octets(10)).ok());
    // The checkpoint after the first put may still be under way: what counts is the one after the next commit.
    bool armed = false;
    place.fail(
        [&](const DiskOperation& o) {
          armed = armed || is_log_write(o);
          return armed && o.by_sqlite && o.path == "queue.db" && o.kind == kind;
        },
        EIO);
    EXPECT_TRUE(place.put("a", octets(10)).ok());  // committed to the log
    run([&]() -> Awaitable<void> {
      const bool sealed = co_await eventually([&] { return place.store().health().sealed; });
      EXPECT_TRUE(sealed);
    });
    expect_sealed(place);
    place.heal();
    place.reopen();
    EXPECT_EQ(place.list().size(), 2U);
    EXPECT_EQ(place.read(place.list()[1].key).value(), octets(10));
  }
}

TEST(StoreFaults, ACheckpointWithoutSpaceWaits) {
  FaultyPlace place;
  place.settings.checkpoint_pages = 1;
  place.open();
  place.fail([&](const DiskOperation& o) { return o.by_sqlite && o.path == "queue.db" && o.kind == Kind::write; },
             ENOSPC);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(place.put(fmt::format("m{}", i), octets(5'000)).ok());
  EXPECT_FALSE(place.store().health().sealed);
  EXPECT_GE(place.alerts.count(StoreAlert::Kind::full), 1U);
  place.heal();
  EXPECT_TRUE(place.put("last", octets(10)).ok());
  place.reopen();
  EXPECT_EQ(place.list().size(), 6U);
}

// A fault at every single operation in turn: once, and from then on. Whatever was answered "committed" is there after
// the restart, nothing is there that was answered "not committed", and "unknown" may be either.
void fault_loop(int code, bool always) {
  for (std::size_t nth = 0;; ++nth) {
    SCOPED_TRACE(fmt::format("errno {} at operation {}", code, nth));
    FaultyPlace place;
    place.settings.checkpoint_pages = 15;
    place.settings.body_threads = 1;
    place.open();
    std::atomic<bool> hit{false};
    place.disk.set_fault([&](const DiskOperation&, std::size_t index) {
      const bool now = always ? index >= nth : index == nth;
      hit = hit || now;
      return now ? code : 0;
    });
    std::map<std::string, Commit> puts;
    for (int i = 0; i < 4; ++i) {
      const auto id = fmt::format("m{}", i);
      puts[id] = place.put(id, octets(i % 2 == 0 ? 3'000 : 70'000)).commit;
    }
    std::string left;
    const auto leased = wait_for(place.store().lease_due({.lease_for = 10min}));
    Commit done = Commit::not_committed;
    if (leased && !leased->work.empty()) {
      left = leased->work[0].job.envelope.id;
      done = place.settle(leased->work[0], Done{}).commit;
    }
    const bool used = hit;
    place.heal();
    place.reopen();
    std::map<std::string, bool> found;
    for (const auto& job : place.list()) {
      found[job.envelope.id] = true;
      EXPECT_TRUE(place.read(job.key)) << job.envelope.id;
    }
    for (const auto& [id, commit] : puts) {
      if (id == left && done != Commit::not_committed) {
        if (done == Commit::committed) EXPECT_FALSE(found[id]) << id;
        continue;
      }
      if (commit == Commit::committed) EXPECT_TRUE(found[id]) << id;
      if (commit == Commit::not_committed) EXPECT_FALSE(found[id]) << id;
    }
    ASSERT_FALSE(::testing::Test::HasFailure());
    if (!used) break;
    ASSERT_LT(nth, 1000U);
  }
}

TEST(StoreFaults, EioAtEveryOperationOnce) {
  fault_loop(EIO, false);
}
TEST(StoreFaults, EioFromEveryOperationOn) {
  fault_loop(EIO, true);
}
TEST(StoreFaults, NoSpaceAtEveryOperationOnce) {
  fault_loop(ENOSPC, false);
}
TEST(StoreFaults, NoSpaceFromEveryOperationOn) {
  fault_loop(ENOSPC, true);
}

TEST(StoreFaults, WhatSqlitesCodesMean) {
  using sqlite::Fault;
  using sqlite::fault_of;
  EXPECT_EQ(fault_of(SQLITE_FULL, ENOSPC), Fault::full);
  EXPECT_EQ(fault_of(SQLITE_IOERR_WRITE, EDQUOT), Fault::full);
  EXPECT_EQ(fault_of(SQLITE_IOERR_WRITE, EIO), Fault::write);
  EXPECT_EQ(fault_of(SQLITE_IOERR_FSYNC, EIO), Fault::write);
  EXPECT_EQ(fault_of(SQLITE_IOERR_FSYNC, ENOSPC), Fault::write);
  EXPECT_EQ(fault_of(SQLITE_IOERR_DIR_FSYNC, EIO), Fault::write);
  EXPECT_EQ(fault_of(SQLITE_IOERR_TRUNCATE, EIO), Fault::write);
  EXPECT_EQ(fault_of(SQLITE_IOERR_SHMSIZE, ENOSPC), Fault::full);
  EXPECT_EQ(fault_of(SQLITE_IOERR_SHMMAP, ENOMEM), Fault::busy);
  EXPECT_EQ(fault_of(SQLITE_IOERR_SHMMAP, EIO), Fault::write);
  EXPECT_EQ(fault_of(SQLITE_IOERR_READ, EIO), Fault::read);
  EXPECT_EQ(fault_of(SQLITE_IOERR_SHORT_READ, 0), Fault::read);
  EXPECT_EQ(fault_of(SQLITE_IOERR_NOMEM, 0), Fault::busy);
  EXPECT_EQ(fault_of(SQLITE_CANTOPEN, EMFILE), Fault::busy);
  EXPECT_EQ(fault_of(SQLITE_CANTOPEN, ENOSPC), Fault::full);
  EXPECT_EQ(fault_of(SQLITE_CANTOPEN, EACCES), Fault::write);
  EXPECT_EQ(fault_of(SQLITE_BUSY, 0), Fault::busy);
  EXPECT_EQ(fault_of(SQLITE_BUSY_RECOVERY, 0), Fault::busy);
  EXPECT_EQ(fault_of(SQLITE_NOMEM, 0), Fault::busy);
  EXPECT_EQ(fault_of(SQLITE_READONLY_DBMOVED, 0), Fault::write);
  EXPECT_EQ(fault_of(SQLITE_CORRUPT_INDEX, 0), Fault::corrupt);
  EXPECT_EQ(fault_of(SQLITE_NOTADB, 0), Fault::corrupt);
  EXPECT_EQ(fault_of(SQLITE_CONSTRAINT_UNIQUE, 0), Fault::constraint);
  EXPECT_EQ(fault_of(SQLITE_ERROR, 0), Fault::write);
  EXPECT_EQ(fault_of(SQLITE_OK, EIO), Fault::none);
}

}  // namespace
}  // namespace queue
