// Power cuts (threats DU-03, DU-04, DU-12, DU-13, DU-19): a run of the store is recorded write by write, and for every
// moment of it folders are made as a cut might have left them. In each, the store must open and hold everything that
// was answered "committed", and nothing half.
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "disk.hpp"
#include "support.hpp"

namespace queue {
namespace {

using namespace testing;

// What must be in the store from a moment of the log on.
struct Expected {
  std::string body;
  std::vector<unsigned> recipients;  // numbers
  friend bool operator==(const Expected&, const Expected&) = default;
};
using Contents = std::map<std::string, Expected>;  // by id
// From `asked` on the contents may be these, from `answered` on they must be (until the next change).
struct Moment {
  std::size_t asked = 0, answered = 0;
  Contents contents;
};

class Recording {
 public:
  Recording() : disk(place.folder.path()) {
    place.settings.vfs = disk.vfs();
    place.settings.checkpoint_pages = 20;
    place.settings.body_threads = 1;
    place.files = &disk.files();
    moments.push_back({0, 0, {}});
  }
  ~Recording() { place.close(); }  // before its disk goes

  // Notes what `act` makes of the contents.
  void change(std::function<void()> act, std::function<void(Contents&)> effect) {
    const auto asked = disk.size();
    act();
    auto contents = moments.back().contents;
    effect(contents);
    moments.push_back({asked, disk.size(), std::move(contents)});
  }

  void put(const std::string& id, std::size_t size, unsigned recipients = 1) {
    const auto text = octets(size, static_cast<unsigned>(moments.size()));
    change(
        [&] {
          auto m = message(store(), id, size);
          m.recipients.assign(recipients, m.recipients[0]);
          ASSERT_TRUE(place.put(std::move(m), text).ok());
        },
        [&](Contents& contents) {
          contents[id].body = text;
          for (unsigned i = 0; i < recipients; ++i) contents[id].recipients.push_back(i);
        });
  }

  // Provisional mail is never among the contents: a restart forgets it.
  Receipt put_provisional(const std::string& id, std::size_t size) {
    auto m = message(store(), id, size);
    m.recipients[0].state = State::provisional;
    m.recipients[0].lease = 1;
    m.recipients.push_back(m.recipients[0]);
    m.lease_for = 15min;
    Receipt receipt;
    change([&] { receipt = place.put(std::move(m), octets(size)); }, [](Contents&) {});
    EXPECT_TRUE(receipt.ok());
    return receipt;
  }

  void remove(const Work& work, Failed::Told told, const std::string& report = "") {
    Changes changes;
    for (const auto& r : work.job.recipients) {
      Change done{work.job.key, r.number, work.lease, Done{}};
      if (told != Failed::Told::nobody || !report.empty()) done.what = Failed{told};
      changes.changes.push_back(done);
    }
    const std::string text = "To: bob\r\n\r\n" + report;
    if (!report.empty()) {
      Composed composed{message(store(), report, text.size(), "bob@sender.example"), text};
      composed.message.envelope.sender = {};
      changes.reports.push_back(std::move(composed));
    }
    change([&] { EXPECT_TRUE(place.commit(changes).ok()); },
           [&](Contents& contents) {
             contents.erase(work.job.envelope.id);
             if (!report.empty()) contents[report] = {text, {0}};
           });
  }

  Store& store() { return place.store(); }

  Place place;
  Disk disk;
  std::vector<Moment> moments;
};

std::optional<Contents> contents_of(Place& place) {
  Contents contents;
  for (const auto& job : place.list()) {
    auto& expected = contents[job.envelope.id];
    const auto body = place.read(job.key);
    if (!body) return std::nullopt;
    expected.body = *body;
    for (const auto& r : job.recipients) expected.recipients.push_back(r.number);
  }
  return contents;
}

// Everything the store does, in one run.
void work(Recording& run) {
  auto& place = run.place;
  run.place.open();
  run.put("small", 2'000);
  run.put("large", 100'000);
  run.put("several", 9'000, 3);
  for (int i = 0; i < 3; ++i) run.put(fmt::format("filler-{}", i), 20'000);  // and a checkpoint
  auto leased = place.lease().work;
  ASSERT_EQ(leased.size(), 6U);
  const auto work_of = [&](const std::string& id) -> const Work& {
    return *std::find_if(leased.begin(), leased.end(), [&](const Work& w) { return w.job.envelope.id == id; });
  };
  run.remove(work_of("large"), Failed::Told::nobody);  // delivered: its file goes after the commit
  run.remove(work_of("small"), Failed::Told::report, "dsn-1");
  // One of three delivered, one put off, one failed with its report.
  {
    const auto& several = work_of("several");
    Update again{several.job.recipients[1]};
    again.recipient.attempts = 1;
    again.recipient.next_attempt = place.store().now() + 60'000;
    Composed dsn{message(place.store(), "dsn-2", 5, "bob@sender.example"), "dsn-2"};
    Changes changes{{{several.job.key, 0, several.lease, Done{}},
                     {several.job.key, 1, several.lease, again},
                     {several.job.key, 2, several.lease, Failed{}}},
                    {dsn}};
    run.change([&] { EXPECT_TRUE(place.commit(changes).ok()); },
               [&](Contents& contents) {
                 contents["several"].recipients = {1};
                 contents["dsn-2"] = {"dsn-2", {0}};
               });
  }
  // Fan-out: provisional first, then owned in part.
  const auto dropped = run.put_provisional("prov-dropped", 70'000);
  EXPECT_TRUE(wait_for(place.store().drop_provisional(dropped.key, dropped.lease)).ok());
  static_cast<void>(run.put_provisional("prov-left", 80'000));
  const auto owned = run.put_provisional("prov-owned", 90'000);
  Update own{recipient()};
  own.recipient.act_by = place.store().now() + 1'000'000;
  Changes settle{{{owned.key, 0, owned.lease, Done{}}, {owned.key, 1, owned.lease, own}}, {}};
  run.change([&] { EXPECT_TRUE(place.commit(settle).ok()); },
             [&](Contents& contents) { contents["prov-owned"] = {octets(90'000), {1}}; });
  for (int i = 0; i < 3; ++i) run.remove(work_of(fmt::format("filler-{}", i)), Failed::Told::nobody);
  run.put("last", 66'000);
  run.change([&] { place.close(); }, [](Contents&) {});
  // A second start, with its garbage collection and a new log.
  run.place.open();
  run.put("second-start", 5'000);
  run.change([&] { place.close(); }, [](Contents&) {});
}

struct Tally {
  std::size_t folders = 0, opened = 0;
};

// Makes the folder, opens it, and looks.
void check(const Recording& run, const std::vector<DiskOperation>& log, std::size_t count, Survivors survivors,
           core::Random& random, Tally& tally) {
  SCOPED_TRACE(fmt::format("after {} of {} operations, survivors {}", count, log.size(), static_cast<int>(survivors)));
  Place place;
  replay(log, count, survivors, random, place.folder.path());
  ++tally.folders;
  auto opened = open_store(place.settings, posix_files(), place.clock);
  // Before the first start has ended, there was nothing to lose, but it must be said clearly.
  const bool begun = run.moments[1].asked < count;
  auto* const store = std::get_if<std::unique_ptr<Store>>(&opened);
  if (store == nullptr) {
    FAIL() << std::get<OpenFailure>(opened).text << (begun ? "" : " (first start)");
  }
  ++tally.opened;
  place.adopt(std::move(*store));
  const auto contents = contents_of(place);
  ASSERT_TRUE(contents) << "a body cannot be read";
  // What was answered last before the cut, and what had been asked by then.
  std::size_t last = 0;
  for (std::size_t i = 0; i < run.moments.size(); ++i) {
    if (run.moments[i].answered <= count) last = i;
  }
  bool right = false;
  for (std::size_t i = last; i < run.moments.size() && (i == last || run.moments[i].asked < count); ++i) {
    right = right || *contents == run.moments[i].contents;
  }
  if (!right) {
    std::string text = "found:";
    for (const auto& [id, e] : *contents)
      text += fmt::format(" {}({} octets, {})", id, e.body.size(), e.recipients.size());
    text += "\nexpected:";
    for (const auto& [id, e] : run.moments[last].contents) {
      text += fmt::format(" {}({} octets, {})", id, e.body.size(), e.recipients.size());
    }
    FAIL() << text;
  }
  // The queue goes on.
  EXPECT_TRUE(place.put("after", octets(100)).ok());
  const auto leased = place.lease().work;
  EXPECT_FALSE(leased.empty());
}

TEST(PowerCut, EveryMomentOfARunLeavesAWholeQueue) {
  Recording run;
  work(run);
  if (HasFatalFailure()) return;
  const auto log = run.disk.log();
  core::SeededRandom random(20240607);
  Tally tally;
  constexpr Survivors kKinds[] = {Survivors::all, Survivors::none, Survivors::all_but_one, Survivors::some,
                                  Survivors::torn};
  // ONWARD_FULL: all of them at every moment (scripts/ci-full). Else all of them where most is at stake, right before a
  // sync, and one in turn elsewhere.
  const bool full = std::getenv("ONWARD_FULL") != nullptr;
  for (std::size_t count = 0; count <= log.size(); ++count) {
    const bool before_sync = count < log.size() && (log[count].kind == DiskOperation::Kind::sync ||
                                                    log[count].kind == DiskOperation::Kind::sync_folder);
    for (std::size_t i = 0; i < std::size(kKinds); ++i) {
      if (full || before_sync || i == count % std::size(kKinds)) check(run, log, count, kKinds[i], random, tally);
    }
    if (HasFatalFailure() || HasNonfatalFailure()) return;
  }
  std::printf("%zu operations, %zu folders\n", log.size(), tally.folders);
  EXPECT_GT(log.size(), 150U);
  // Checkpoints are among it, or their moments have not been tried.
  EXPECT_GE(std::count_if(log.begin(), log.end(),
                          [](const auto& o) { return o.kind == DiskOperation::Kind::sync && o.path == "queue.db"; }),
            10);
  EXPECT_EQ(tally.folders, tally.opened);
}

// After an fsync that failed, programs still see in the page cache what never came to the disk. Whatever is answered
// after the restart must be safe all the same.
TEST(PowerCut, AfterAFailedSyncTheLogIsNotTrusted) {  // DU-05
  for (const auto* const file : {"queue.db-wal", "queue.db"}) {
    SCOPED_TRACE(file);
    bool armed = true;
    Recording run;
    run.place.settings.checkpoint_pages = file == std::string_view("queue.db") ? 1 : 1000;
    run.place.open();
    run.put("a", 2'000);
    run.disk.set_fault([&](const DiskOperation& o, std::size_t) {
      return o.kind == DiskOperation::Kind::sync && o.path == file && std::exchange(armed, false) ? EIO : 0;
    });
    const auto unsure = run.place.put("b", octets(9'000));
    run.place.close();
    run.place.open();
    if (unsure.ok()) {  // it was the checkpoint that failed
      run.moments.back().contents["b"] = {octets(9'000), {0}};
    }
    run.put("c", 3'000);
    run.put("d", 80'000);
    const auto log = run.disk.log();
    EXPECT_EQ(
        std::count_if(log.begin(), log.end(), [](const auto& o) { return o.kind == DiskOperation::Kind::failed_sync; }),
        1);
    core::SeededRandom random(3);
    Tally tally;
    for (int turn = 0; turn < 10; ++turn) {
      check(run, log, log.size(), turn == 0 ? Survivors::none : Survivors::some, random, tally);
    }
  }
}

// The oracle itself: a store that does not sync must be found out.
TEST(PowerCut, TheReplayFindsWhatWasNotSynced) {
  Recording run;
  run.place.open();
  run.put("a", 2'000);
  run.put("b", 100'000);
  auto log = run.disk.log();
  for (const auto* const lie : {"sqlite", "bodies", "names"}) {
    auto without = log;
    std::erase_if(without, [&](const DiskOperation& o) {
      using Kind = DiskOperation::Kind;
      if (lie == std::string_view("sqlite")) return o.kind == Kind::sync && o.by_sqlite;
      if (lie == std::string_view("bodies")) return o.kind == Kind::sync && !o.by_sqlite;
      return o.kind == Kind::sync_folder && o.path == "bodies";
    });
    core::SeededRandom random(1);
    Place place;
    replay(without, without.size(), Survivors::none, random, place.folder.path());
    auto opened = open_store(place.settings, posix_files(), place.clock);
    bool found_out = true;
    if (auto* const store = std::get_if<std::unique_ptr<Store>>(&opened)) {
      place.adopt(std::move(*store));
      const auto contents = contents_of(place);
      found_out = !contents || *contents != run.moments.back().contents;
    }
    EXPECT_TRUE(found_out) << lie;
  }
}

}  // namespace
}  // namespace queue
