// Opening a queue, and what is said when it cannot be (threats DU-04, DU-07, DU-08, DU-19), damage found later, and
// what must stay bounded (DU-10).
#include <fmt/format.h>
#include <sys/resource.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <thread>

#include "queue/sqlite.hpp"
#include "support.hpp"

namespace queue {
namespace {

using namespace testing;
using FailureKind = OpenFailure::Kind;

// Writes over the file.
void scribble(const std::string& path, std::uint64_t offset, const std::string& octets) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(offset));
  file << octets;
  ASSERT_TRUE(file.good());
}

std::string slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void run_sql(const std::string& path, std::string_view sql) {
  sqlite::Connection db(path, sqlite::Access::read_write, "");
  db.run(sql);
  ASSERT_FALSE(db.failed()) << db.failure().text;
}

TEST(StoreOpen, FilesAreForTheOwnerOnly) {
  Place place;
  place.open();
  ASSERT_TRUE(place.put("a", octets(100'000)).ok());
  for (const auto& entry : std::filesystem::recursive_directory_iterator(place.folder.path())) {
    const auto mode = entry.status().permissions();
    EXPECT_EQ(mode & (std::filesystem::perms::group_all | std::filesystem::perms::others_all),
              std::filesystem::perms::none)
        << entry.path();
  }
}

TEST(StoreOpen, ASecondProcessIsRefused) {  // DU-08
  Place place;
  place.open();
  const auto failure = place.refuse();
  EXPECT_EQ(failure.kind, FailureKind::locked);
  EXPECT_NE(failure.text.find("another process"), std::string::npos);
  place.reopen();
}

TEST(StoreOpen, AFolderThatWillNotDo) {  // DU-07
  Place place;
  ::chmod(place.folder.path().c_str(), 0770);
  EXPECT_EQ(place.refuse().kind, FailureKind::unusable);
  EXPECT_NE(place.refuse().text.find("writable by nobody else"), std::string::npos);
  ::chmod(place.folder.path().c_str(), 0700);
  place.open();
  place.close();
  place.settings.folder = place.folder.file("missing");
  EXPECT_EQ(place.refuse().kind, FailureKind::unusable);
  std::ofstream(place.folder.file("file")) << "x";
  place.settings.folder = place.folder.file("file");
  EXPECT_EQ(place.refuse().kind, FailureKind::unusable);
  place.settings.folder = "/proc";
  EXPECT_EQ(place.refuse().kind, FailureKind::unusable);
}

TEST(StoreOpen, ADatabaseOfALaterVersion) {  // DU-07
  Place place;
  place.open();
  place.close();
  run_sql(place.folder.file("queue.db"), "PRAGMA user_version = 99");
  const auto before = slurp(place.folder.file("queue.db"));
  const auto failure = place.refuse();
  EXPECT_EQ(failure.kind, FailureKind::newer);
  EXPECT_NE(failure.text.find("later version"), std::string::npos);
  EXPECT_EQ(failure.text.find('\n'), std::string::npos);
  EXPECT_EQ(slurp(place.folder.file("queue.db")), before) << "it is not touched";
}

TEST(StoreOpen, SomebodyElsesDatabase) {
  Place place;
  {
    std::ofstream(place.folder.file("queue.db")).close();
    run_sql(place.folder.file("queue.db"), "CREATE TABLE t (a)");
  }
  const auto failure = place.refuse();
  EXPECT_EQ(failure.kind, FailureKind::unusable);
  EXPECT_NE(failure.text.find("no queue of Onward"), std::string::npos);
}

TEST(StoreOpen, AMissingDatabaseIsNotAnEmptyQueue) {  // DU-07
  Place place;
  place.open();
  ASSERT_TRUE(place.put("a", octets(100'000)).ok());
  place.close();
  std::filesystem::remove(place.folder.file("queue.db"));
  const auto failure = place.refuse();
  EXPECT_EQ(failure.kind, FailureKind::unusable);
  EXPECT_NE(failure.text.find("is missing"), std::string::npos);
  EXPECT_EQ(place.body_files().size(), 1U);
  std::filesystem::remove_all(place.folder.file("bodies"));
  place.open();
}

TEST(StoreOpen, ADamagedDatabaseIsRefusedAndNamesTheWayOut) {  // DU-04
  const std::string junk(600, '\x5a');
  for (const auto* const where : {"header", "schema", "tables", "cut", "garbage", "empty"}) {
    SCOPED_TRACE(where);
    Place place;
    place.open();
    for (int i = 0; i < 40; ++i) ASSERT_TRUE(place.put(fmt::format("m{}", i), octets(3'000)).ok());
    place.close();
    const auto path = place.folder.file("queue.db");
    const auto size = std::filesystem::file_size(path);
    if (where == std::string_view("header")) scribble(path, 0, junk.substr(0, 16));
    if (where == std::string_view("schema")) scribble(path, 100, junk);
    if (where == std::string_view("tables")) {
      // Every page that is one of the tables' trees; bodies have digests of their own.
      for (std::uint64_t page = 1; page < size / 4096; ++page) scribble(path, page * 4096, junk.substr(0, 64));
    }
    if (where == std::string_view("cut")) std::filesystem::resize_file(path, 3 * 4096);
    if (where == std::string_view("garbage")) std::ofstream(path, std::ios::binary) << std::string(20'000, 'x');
    if (where == std::string_view("empty")) std::filesystem::resize_file(path, 0);
    const auto failure = place.refuse();
    if (where == std::string_view("empty")) {
      EXPECT_NE(failure.text.find("recover"), std::string::npos) << failure.text;
      continue;
    }
    EXPECT_EQ(failure.kind, FailureKind::corrupt);
    EXPECT_NE(failure.text.find("onward recover"), std::string::npos) << failure.text;
    EXPECT_EQ(failure.text.find('\n'), std::string::npos);
  }
}

// Somewhere in the file that holds `text`.
void flip(const std::string& path, const std::string& text) {
  const auto content = slurp(path);
  const auto at = content.find(text);
  ASSERT_NE(at, std::string::npos);
  scribble(path, at, std::string(1, static_cast<char>(content[at] ^ 1)));
}

TEST(StoreDamage, AFlippedBitInABodyIsNeverSent) {  // DU-04
  for (const std::size_t size : {5'000U, 300'000U}) {
    Place place;
    Alerts alerts;
    place.settings.on_alert = alerts.sink();
    place.open();
    const auto text = octets(size, 9);
    ASSERT_TRUE(place.put("a", text).ok());
    ASSERT_TRUE(place.put("b", octets(10)).ok());
    place.close();
    const auto file = size > kInlineBody ? place.folder.file("bodies/1-1-a") : place.folder.file("queue.db");
    flip(file, text.substr(size - 100, 50));
    place.open();
    EXPECT_EQ(place.read(1).error(), StoreErrc::damaged);
    EXPECT_EQ(alerts.count(StoreAlert::Kind::damaged), 1U);
    // It is held, and everything else goes on.
    const auto work = place.lease().work;
    ASSERT_EQ(work.size(), 1U);
    EXPECT_EQ(work[0].job.envelope.id, "b");
    const auto held = place.list({.queue = "hold"});
    ASSERT_EQ(held.size(), 1U);
    EXPECT_EQ(held[0].recipients[0].hold, Hold::quarantined);
    EXPECT_NE(held[0].recipients[0].hold_reason, "");
  }
}

TEST(StoreDamage, AMissingOrCutBodyFile) {
  for (const bool missing : {true, false}) {
    Place place;
    place.open();
    ASSERT_TRUE(place.put("a", octets(300'000)).ok());
    const auto file = place.folder.file("bodies/1-1-a");
    if (missing) {
      std::filesystem::remove(file);
    } else {
      std::filesystem::resize_file(file, 299'999);
    }
    EXPECT_EQ(place.read(1).error(), StoreErrc::damaged);
    EXPECT_EQ(place.list({.queue = "hold"}).size(), 1U);
  }
}

TEST(StoreDamage, DamageWhileItIsReadIsFoundBeforeTheLastOctets) {
  Place place;
  place.open();
  const auto text = octets(1'000'000, 4);
  ASSERT_TRUE(place.put("a", text).ok());
  std::string got;
  core::Error error;
  run([&]() -> Awaitable<void> {
    auto body = co_await place.store().open_body(1);
    EXPECT_TRUE(body);
    if (!body) co_return;
    for (;;) {
      const auto slice = co_await (*body)->next();
      if (!slice) {
        error = slice.error();
        co_return;
      }
      if (slice->empty()) co_return;
      if (got.empty()) scribble(place.folder.file("bodies/1-1-a"), 500'000, "damage");
      got += *slice;
    }
  });
  EXPECT_EQ(error, StoreErrc::damaged);
  EXPECT_LT(got.size(), text.size());
  EXPECT_EQ(place.list({.queue = "hold"}).size(), 1U);
}

TEST(StoreOpen, GarbageOfAnEarlierStartIsRemovedAndNothingElse) {  // DU-19
  Place place;
  Alerts alerts;
  place.open();
  ASSERT_TRUE(place.put("kept", octets(100'000)).ok());
  place.close();
  const auto make = [&](const std::string& name) { std::ofstream(place.folder.file("bodies/" + name)) << "x"; };
  make("1-77-lost");
  make("notes.txt");       // nobody's
  make("2-1-now");         // of the start that is coming: cannot be told from a message that is just being put
  make("999-1-restored");  // from the future: a backup of the database was put back
  place.settings.on_alert = alerts.sink();
  place.open();
  run([&]() -> Awaitable<void> {
    const bool gone =
        co_await eventually([&] { return !std::filesystem::exists(place.folder.file("bodies/1-77-lost")); });
    EXPECT_TRUE(gone);
  });
  auto left = place.body_files();
  std::sort(left.begin(), left.end());
  EXPECT_EQ(left, (std::vector<std::string>{"1-1-kept", "2-1-now", "999-1-restored", "notes.txt"}));
  EXPECT_EQ(alerts.count(StoreAlert::Kind::leftovers), 1U);
  EXPECT_TRUE(place.read(1));
}

TEST(StoreOpen, ManyGarbageFilesAreRemovedInSteps) {
  Place place;
  place.open();
  place.close();
  for (int i = 0; i < 1000; ++i) std::ofstream(place.folder.file(fmt::format("bodies/1-{}-x", i))) << "x";
  place.open();
  EXPECT_TRUE(place.bodies_are_gone());
}

TEST(StoreOpen, ATornNoteOfUnsureMessagesNamesNoOthers) {
  Place place;
  place.open();
  for (const auto* id : {"m1", "m12", "m2"}) ASSERT_TRUE(place.put(id, octets(10)).ok());
  place.close();
  std::ofstream(place.folder.file("queue.unsure")) << "m2\nunknown\n../x\nm1";  // of "m12\n" the end is missing
  place.open();
  const auto jobs = place.list();
  ASSERT_EQ(jobs.size(), 2U);
  EXPECT_EQ(jobs[0].envelope.id, "m1");
  EXPECT_EQ(jobs[1].envelope.id, "m12");
  EXPECT_FALSE(std::filesystem::exists(place.folder.file("queue.unsure")));
}

TEST(StoreOpen, ACopyTakenUnderLoadIsAWholeQueue) {  // DU-14
  Place place;
  auto& store = place.open();
  TemporaryFolder copy(TemporaryFolder::On::memory);
  std::size_t answered = 0;
  run([&]() -> Awaitable<void> {
    for (int i = 0; i < 60; ++i) {
      const std::size_t size = i % 3 == 0 ? 70'000 : 3'000;
      SlicedSource source(octets(size, static_cast<unsigned>(i)), 50'000);
      auto m = message(store, fmt::format("m{}", i), size);
      const auto receipt = co_await store.put(std::move(m), source);
      EXPECT_TRUE(receipt.ok());
      if (i != 40) continue;
      answered = 41;
      // Bodies behind the database: what it names is there, unless it has been delivered meanwhile.
      sqlite::Connection db(place.folder.file("queue.db"), sqlite::Access::read_write, "");
      const auto path = copy.file("queue.db");
      auto vacuum = db.prepare("VACUUM INTO ?1");
      vacuum.with(path);
      vacuum.run();
      EXPECT_FALSE(db.failed()) << db.failure().text;
      std::filesystem::copy(place.folder.file("bodies"), copy.file("bodies"));
    }
  });
  place.close();
  Place restored;
  restored.settings.folder = copy.path();
  restored.open();
  const auto jobs = restored.list();
  EXPECT_EQ(jobs.size(), answered);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    EXPECT_EQ(restored.read(jobs[i].key).value(), octets(jobs[i].envelope.size, static_cast<unsigned>(i)));
  }
}

// The system's own VFS and its errno, by a limit on the size of files.
TEST(StoreOpen, AFileThatMayNotGrowIsAFullDisk) {  // DU-06
  Place place;
  place.open();
  ASSERT_TRUE(place.put("a", octets(10'000)).ok());
  auto* const old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small{200'000, old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  core::Error error;
  for (int i = 0; i < 30 && !error; ++i) error = place.put(fmt::format("m{}", i), octets(60'000)).error;
  const auto body = place.put("body", octets(300'000)).error;
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(error, StoreErrc::full);
  EXPECT_EQ(body, StoreErrc::full);
  EXPECT_FALSE(place.store().health().sealed);
  const auto before = place.list().size();
  EXPECT_TRUE(place.put("body", octets(300'000)).ok());
  place.reopen();
  EXPECT_EQ(place.list().size(), before + 1);
}

TEST(StoreOpen, EveryKillPointIsPassed) {  // threats.md B9, K16-K21 and K24-K26
  Place place;
  std::mutex mutex;
  std::vector<std::string> passed;
  place.settings.checkpoint_pages = 1;
  place.settings.at_point = [&](std::string_view point) {
    const std::scoped_lock lock(mutex);
    if (std::find(passed.begin(), passed.end(), point) == passed.end()) passed.emplace_back(point);
  };
  place.open();
  ASSERT_TRUE(place.put("a", octets(100'000)).ok());
  EXPECT_TRUE(place.settle(place.lease().work.at(0), Done{}).ok());
  place.close();
  auto expected = std::vector<std::string>(std::begin(kStorePoints), std::end(kStorePoints));
  std::sort(expected.begin(), expected.end());
  std::sort(passed.begin(), passed.end());
  EXPECT_EQ(passed, expected);
}

TEST(StoreOpen, TheLogStaysSmall) {  // DU-10
  Place place;
  auto& store = place.open();
  std::uintmax_t largest = 0;
  std::atomic<bool> ended{false};
  // Somebody lists all the time meanwhile.
  run([&]() -> Awaitable<void> {
    auto lists = [&]() -> Awaitable<void> {
      while (!ended) {
        const auto listed = co_await store.list({}, {0, 1000});
        EXPECT_TRUE(listed);
      }
      ended = false;
    };
    asio::co_spawn(shard(), lists, asio::detached);
    std::size_t running = 0;
    for (int i = 0; i < 2000; ++i) {
      auto put = [&, i]() -> Awaitable<void> {
        SlicedSource source(octets(60'000), 60'000);
        auto m = message(store, fmt::format("m{}", i), 60'000);
        const auto receipt = co_await store.put(std::move(m), source);
        EXPECT_TRUE(receipt.ok());
        --running;
      };
      ++running;
      asio::co_spawn(shard(), put, asio::detached);
      if (running >= 100) {
        const bool some = co_await eventually([&] { return running < 50; });
        EXPECT_TRUE(some);
        largest = std::max(largest, std::filesystem::file_size(place.folder.file("queue.db-wal")));
      }
    }
    const bool all = co_await eventually([&] { return running == 0; });
    EXPECT_TRUE(all);
    ended = true;
    const bool last = co_await eventually([&] { return !ended; });
    EXPECT_TRUE(last);
  });
  EXPECT_GT(std::filesystem::file_size(place.folder.file("queue.db")), 50U << 20);
  EXPECT_LE(largest, 64U << 20);
  EXPECT_LE(store.health().wal_octets, 64U << 20);
}

TEST(StoreOpen, TheDatabaseGivesSpaceBack) {
  constexpr std::int64_t kMost = 20 << 20;  // octets, of the 42 million that were in it
  Place place;
  auto& store = place.open();
  run([&]() -> Awaitable<void> {
    for (int i = 0; i < 700; ++i) {
      SlicedSource source(octets(60'000), 60'000);
      auto m = message(store, fmt::format("m{}", i), 60'000);
      const auto receipt = co_await store.put(std::move(m), source);
      EXPECT_TRUE(receipt.ok());
    }
    Page page{0, 1000};
    const auto removed = co_await store.remove({}, page);
    EXPECT_EQ(removed.recipients, 700U);
    // In small steps while nobody waits; what is not done when the queue is closed is done after the next commit.
    sqlite::Connection db(place.folder.file("queue.db"), sqlite::Access::read_only, "");
    const bool given =
        co_await eventually([&] { return db.integer("PRAGMA page_count").value_or(kMost) * 4096 < kMost; });
    EXPECT_TRUE(given) << db.integer("PRAGMA page_count").value_or(0) << " pages";
  });
  place.close();
  EXPECT_LT(std::filesystem::file_size(place.folder.file("queue.db")), kMost);
}

// Holds the writer before its next transaction.
class Brake {
 public:
  std::function<void(std::string_view)> at_point() {
    return [this](std::string_view point) {
      if (point != "queue.before_commit") return;
      std::unique_lock lock(mutex_);
      released_.wait(lock, [&] { return !on_; });
    };
  }
  void set(bool on) {
    const std::scoped_lock lock(mutex_);
    on_ = on;
    released_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable released_;
  bool on_ = false;
};

TEST(StoreOpen, WhatWaitsForTheWriterIsBounded) {
  Place place;
  Brake brake;
  place.settings.at_point = brake.at_point();
  auto& store = place.open();
  brake.set(true);
  std::size_t done = 0, refused = 0;
  run([&]() -> Awaitable<void> {
    // 64 MiB of bodies; each has a little beside its octets.
    constexpr std::size_t kBody = 60'000, kPuts = (std::size_t{64} << 20) / kBody + 20;
    for (std::size_t i = 0; i < kPuts; ++i) {
      auto put = [&, i]() -> Awaitable<void> {
        SlicedSource source(std::string(kBody, 'x'), kBody);
        auto m = message(store, fmt::format("m{}", i), kBody);
        const auto receipt = co_await store.put(std::move(m), source);
        done += receipt.ok() ? 1 : 0;
        refused += receipt.error == StoreErrc::busy ? 1 : 0;
      };
      asio::co_spawn(shard(), put, asio::detached);
    }
    const bool some = co_await eventually([&] { return refused > 0; });
    EXPECT_TRUE(some);
    EXPECT_EQ(done, 0U);
    brake.set(false);
    const bool all = co_await eventually([&] { return done + refused == kPuts; });
    EXPECT_TRUE(all);
    EXPECT_LT(refused, kPuts / 10);
  });
  // And so many operations that weigh nothing.
  brake.set(true);
  done = refused = 0;
  run([&]() -> Awaitable<void> {
    constexpr std::size_t kMost = 20'000, kCalls = kMost + 2'000;
    for (std::size_t i = 0; i < kCalls; ++i) {
      auto call = [&]() -> Awaitable<void> {
        const auto ends = co_await store.check(1, 999'999);
        ++(ends.error() == StoreErrc::busy ? refused : done);
      };
      asio::co_spawn(shard(), call, asio::detached);
    }
    const bool some = co_await eventually([&] { return refused >= 1'000; });
    EXPECT_TRUE(some);
    brake.set(false);
    const bool all = co_await eventually([&] { return done + refused == kCalls; });
    EXPECT_TRUE(all);
    EXPECT_GE(done, kMost);
  });
}

TEST(StoreOpen, ManyThreadsAtOnce) {  // DU-09: run with TSan in scripts/ci-full
  Place place;
  place.settings.checkpoint_pages = 50;
  auto& store = place.open();
  constexpr int kThreads = 4, kEach = 60;
  std::vector<std::unique_ptr<asio::io_context>> contexts;
  std::vector<std::thread> threads;
  std::atomic<int> delivered{0};
  for (int t = 0; t < kThreads; ++t) contexts.push_back(std::make_unique<asio::io_context>(1));
  for (int t = 0; t < kThreads; ++t) {
    auto job = [&, t]() -> Awaitable<void> {
      for (int i = 0; i < kEach; ++i) {
        const std::size_t size = i % 10 == 0 ? 90'000 : 2'000;
        SlicedSource source(octets(size), 30'000);
        auto m = message(store, fmt::format("t{}-{}", t, i), size, fmt::format("u@d{}.example", i % 7));
        const auto receipt = co_await store.put(std::move(m), source);
        EXPECT_TRUE(receipt.ok());
        const auto leased = co_await store.lease_due({.most = 1, .lease_for = 10min});
        EXPECT_TRUE(leased);
        if (!leased) continue;
        for (const auto& work : leased->work) {
          auto body = co_await store.open_body(work.job.key);
          EXPECT_TRUE(body);
          if (!body) continue;
          const auto text = co_await read_all(**body);
          EXPECT_EQ(text.value(), octets(work.job.envelope.size));
          Changes changes{{{work.job.key, 0, work.lease, Done{}}}, {}};
          const auto done = co_await store.commit(std::move(changes));
          EXPECT_TRUE(done.ok());
          ++delivered;
        }
        const auto listed = co_await store.list({}, {0, 10});
        EXPECT_TRUE(listed);
        static_cast<void>(store.room(1));
        static_cast<void>(store.health());
      }
    };
    asio::co_spawn(*contexts[static_cast<std::size_t>(t)], job, asio::detached);
  }
  for (auto& context : contexts) threads.emplace_back([&context] { context->run(); });
  for (auto& thread : threads) thread.join();
  const auto left = place.list().size();
  EXPECT_EQ(static_cast<std::size_t>(delivered) + left, static_cast<std::size_t>(kThreads * kEach));
  place.close();
  run_sql(place.folder.file("queue.db"), "PRAGMA integrity_check");
}

}  // namespace
}  // namespace queue
