#include "queue/activity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <variant>

#include "queue/activity_table.hpp"
#include "queue/completion.hpp"
#include "queue/files.hpp"
#include "queue/store.hpp"

namespace queue {
namespace {

constexpr std::size_t kMaxGroup = 1000;            // rows in a transaction
constexpr std::size_t kMaxQuestions = 100;         // waiting
constexpr core::Milliseconds kPruneEvery{60'000};  // of real time
constexpr int kCheckpointFrames = 8000;  // 32 MiB: the same pages are written again and again by so many indexes

template <class Query, class Row>
struct Asked {
  using Found = core::Result<std::vector<Row>>;
  Query query;
  Completion<Found> completion;
};
using LogQuestion = Asked<ActivityQuery, Activity>;
using TlsQuestion = Asked<TlsQuery, TlsCount>;
using Question = std::variant<LogQuestion, TlsQuestion>;

}  // namespace

// Rows and questions wait in one line, so that a question sees what was recorded before it: the writer hands it over to
// the reader when it has come to it.
struct ActivityLog::Impl {
  Impl(Settings s, const core::Clock& c, std::unique_ptr<sqlite::Connection> w, std::unique_ptr<sqlite::Connection> r)
      : settings(std::move(s)),
        timeline(c, {}),
        keep(settings.keep.count()),
        writing(std::move(w)),
        reading(std::move(r)) {}

  bool record(ActivityRow row);
  void ask(Question question);
  void write();
  void read();
  template <class Query, class Row>
  void answer_one(ActivityReader& table, Asked<Query, Row>& question);
  void write_group(ActivityWriter& table, const std::vector<ActivityRow>& group);
  void hand_over(std::vector<std::unique_ptr<Question>> questions);
  void close();

  const Settings settings;
  const Timeline timeline;  // a clock that is set while we run does not wipe the log
  std::atomic<std::int64_t> keep;
  std::unique_ptr<sqlite::Connection> writing, reading;

  std::mutex mutex;
  std::condition_variable wake_writer, wake_reader;
  std::deque<std::variant<ActivityRow, std::unique_ptr<Question>>> line;
  std::size_t rows = 0, questions = 0;  // in the line; questions also in `asked`
  std::deque<std::unique_ptr<Question>> asked;
  bool closing = false, written = false;
  std::atomic<std::uint64_t> dropped{0}, recorded{0};
  std::thread writer, reader;
};

bool ActivityLog::Impl::record(ActivityRow row) {
  {
    const std::scoped_lock lock(mutex);
    if (closing || rows >= settings.buffer) {
      dropped.fetch_add(1, std::memory_order_relaxed);
      return false;
    }
    ++rows;
    line.emplace_back(std::move(row));
  }
  wake_writer.notify_one();
  return true;
}

void ActivityLog::Impl::ask(Question question) {
  auto refused = StoreErrc::busy;
  {
    const std::scoped_lock lock(mutex);
    if (closing) {
      refused = StoreErrc::closed;
    } else if (questions < kMaxQuestions) {
      ++questions;
      line.emplace_back(std::make_unique<Question>(std::move(question)));
      wake_writer.notify_one();
      return;
    }
  }
  std::visit([refused](auto& one) { one.completion.complete(refused); }, question);
}

void ActivityLog::Impl::write_group(ActivityWriter& table, const std::vector<ActivityRow>& group) {
  if (group.empty()) return;
  if (table.write(group)) {
    recorded.fetch_add(group.size(), std::memory_order_relaxed);
  } else {
    dropped.fetch_add(group.size(), std::memory_order_relaxed);  // a full disk, most likely: mail is not to wait for it
  }
}

void ActivityLog::Impl::hand_over(std::vector<std::unique_ptr<Question>> taken) {
  if (taken.empty()) return;
  const std::scoped_lock lock(mutex);
  for (auto& question : taken) asked.push_back(std::move(question));
  wake_reader.notify_one();
}

void ActivityLog::Impl::write() {
  std::optional<ActivityWriter> table(std::in_place, *writing);
  auto next_prune = core::Steady::now();
  bool more_to_prune = false;
  std::uint64_t checkpointed = 0;
  for (;;) {
    std::vector<ActivityRow> group;
    std::vector<std::unique_ptr<Question>> taken;
    {
      std::unique_lock lock(mutex);
      const auto something = [&] { return closing || !line.empty(); };
      if (!more_to_prune) wake_writer.wait_until(lock, next_prune, something);
      while (!line.empty() && group.size() < kMaxGroup) {
        if (auto* const row = std::get_if<ActivityRow>(&line.front())) {
          if (!taken.empty()) break;  // what comes behind a question waits for the next group
          group.push_back(std::move(*row));
          --rows;
        } else {
          taken.push_back(std::move(std::get<std::unique_ptr<Question>>(line.front())));
        }
        line.pop_front();
      }
      if (closing && line.empty() && group.empty() && taken.empty()) break;
    }
    write_group(*table, group);
    hand_over(std::move(taken));
    if (more_to_prune || core::Steady::now() >= next_prune) {
      more_to_prune = table->prune(timeline.now() - keep, timeline.now() / kDay - kTlsDaysKept + 1);
      next_prune = core::Steady::now() + kPruneEvery;
    }
    if (writing->wal_frames() >= kCheckpointFrames && checkpointed != writing->wal_commits()) {
      writing->checkpoint(sqlite::Connection::Checkpoint::passive);
      writing->clear();
      checkpointed = writing->wal_commits();
    }
  }
  writing->checkpoint(sqlite::Connection::Checkpoint::truncate);
  table.reset();
  writing.reset();
  const std::scoped_lock lock(mutex);
  written = true;
  wake_reader.notify_one();
}

template <class Query, class Row>
void ActivityLog::Impl::answer_one(ActivityReader& table, Asked<Query, Row>& question) {
  typename Asked<Query, Row>::Found found = table.find(question.query);
  if (reading->failed()) found = StoreErrc::unreadable;
  reading->clear();
  question.completion.complete(std::move(found));
}

void ActivityLog::Impl::read() {
  std::optional<ActivityReader> table(std::in_place, *reading);
  std::unique_lock lock(mutex);
  for (;;) {
    wake_reader.wait(lock, [&] { return written || !asked.empty(); });
    if (asked.empty()) break;
    auto question = std::move(asked.front());
    asked.pop_front();
    --questions;
    lock.unlock();
    std::visit([&](auto& one) { answer_one(*table, one); }, *question);
    lock.lock();
  }
  table.reset();
  reading.reset();
}

void ActivityLog::Impl::close() {
  {
    const std::scoped_lock lock(mutex);
    closing = true;
  }
  wake_writer.notify_one();
  if (writer.joinable()) writer.join();
  if (reader.joinable()) reader.join();
}

// --- ActivityLog ---

ActivityLog::ActivityLog(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {
  impl_->writer = std::thread([impl = impl_.get()] { impl->write(); });
  impl_->reader = std::thread([impl = impl_.get()] { impl->read(); });
}

ActivityLog::~ActivityLog() {
  close();
}

core::Explained<std::unique_ptr<ActivityLog>> ActivityLog::open(Settings settings, const core::Clock& clock) {
  auto& files = posix_files();
  const auto path = settings.path;
  for (const bool again : {false, true}) {
    if (files.look_for(path)) {
      if (const auto made = files.create(path); !made) {
        return core::Problem{fmt::format("{}: {}", path, made.error().message())};
      }
    }
    auto writing = std::make_unique<sqlite::Connection>(path, sqlite::Access::read_write, "");
    const auto problem = writing->failed() ? writing->failure().text : prepare_activity(*writing);
    if (problem.empty()) {
      auto reading = std::make_unique<sqlite::Connection>(path, sqlite::Access::read_only, "");
      if (reading->failed()) return core::Problem{fmt::format("{}: {}", path, reading->failure().text)};
      return std::unique_ptr<ActivityLog>(
          new ActivityLog(std::make_unique<Impl>(std::move(settings), clock, std::move(writing), std::move(reading))));
    }
    if (again || writing->failure().fault != sqlite::Fault::corrupt) {
      return core::Problem{fmt::format("{}: {}", path, problem)};
    }
    writing.reset();
    for (const auto* const suffix : {"-wal", "-shm"}) best_effort(files.remove(path + suffix));
    if (const auto error = files.rename(path, path + ".damaged")) {
      return core::Problem{fmt::format("{}: {}", path, error.message())};
    }
  }
  return core::Problem{path + ": cannot be opened"};
}

bool ActivityLog::record(Activity row) {
  return impl_->record(std::move(row));
}

bool ActivityLog::record(DmarcSighting sighting) {
  return impl_->record(std::move(sighting));
}

bool ActivityLog::record(TlsSighting sighting) {
  return impl_->record(std::move(sighting));
}

bool ActivityLog::record(TlsReported reported) {
  return impl_->record(std::move(reported));
}

boost::asio::awaitable<LogQuestion::Found> ActivityLog::query(ActivityQuery query) {
  auto start = [impl = impl_.get(), query = std::move(query)](Completion<LogQuestion::Found> completion) mutable {
    impl->ask(LogQuestion{std::move(query), std::move(completion)});
  };
  return answer<LogQuestion::Found>(std::move(start));
}

boost::asio::awaitable<TlsQuestion::Found> ActivityLog::query(TlsQuery query) {
  auto start = [impl = impl_.get(), query = std::move(query)](Completion<TlsQuestion::Found> completion) mutable {
    impl->ask(TlsQuestion{std::move(query), std::move(completion)});
  };
  return answer<TlsQuestion::Found>(std::move(start));
}

void ActivityLog::set_keep(core::Milliseconds keep) {
  impl_->keep = keep.count();
}

std::uint64_t ActivityLog::dropped() const {
  return impl_->dropped.load(std::memory_order_relaxed);
}

std::uint64_t ActivityLog::recorded() const {
  return impl_->recorded.load(std::memory_order_relaxed);
}

void ActivityLog::close() {
  impl_->close();
}

}  // namespace queue
