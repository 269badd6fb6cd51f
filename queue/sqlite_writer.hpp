// The thread that owns the only connection that writes (promise.md I7): it takes whatever operations are waiting into
// one transaction, commits it with one fsync, and answers them afterwards (group commit). It also makes all
// checkpoints, so that the log never grows above 64 MiB (threats DU-09, DU-10), and it is the one who seals the store.
// For the folder's own use.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "queue/completion.hpp"
#include "queue/sqlite_store.hpp"
#include "queue/sqlite_tables.hpp"

namespace queue {

class WriteOperation {
 public:
  virtual ~WriteOperation() = default;
  // In a transaction; may be called again when that was taken back.
  virtual void run(Tables& tables) = 0;
  // Exactly one of them, at the end.
  virtual void finish() = 0;
  virtual void fail(Commit commit, core::Error error) = 0;

  std::size_t weight = 0;  // octets that it adds to the log, about
  std::string put_id;      // of the message that it puts
};

// What a caller is told when the transaction has failed.
template <class T>
T failure_as(Commit commit, core::Error error) {
  if constexpr (std::is_same_v<T, Receipt>) {
    return {commit, error, 0, 0};
  } else if constexpr (std::is_same_v<T, Touched>) {
    return {{commit, error, 0, 0}, 0, 0};
  } else {
    return error;
  }
}

template <class T, class F>
class WriteCall final : public WriteOperation {
 public:
  WriteCall(F call, Completion<T> completion) : call_(std::move(call)), completion_(std::move(completion)) {}
  void run(Tables& tables) override { answer_.emplace(call_(tables)); }
  void finish() override { completion_.complete(std::move(*answer_)); }
  void fail(Commit commit, core::Error error) override {
    answer_.emplace(failure_as<T>(commit, error));
    finish();
  }

 private:
  F call_;
  Completion<T> completion_;
  std::optional<T> answer_;
};

struct WriterMeans {
  StoreSettings settings;
  Files& files;
  std::function<void(std::vector<std::string>)> remove_bodies;  // must not block
};

class Writer {
 public:
  // Limits of what is waiting, and of one transaction.
  static constexpr std::size_t kMaxWaiting = 20'000;
  static constexpr std::size_t kMaxWaitingOctets = std::size_t{64} << 20;
  static constexpr std::size_t kMaxGroup = 1000;
  static constexpr std::size_t kMaxGroupOctets = std::size_t{8} << 20;
  // The log is copied into the database when it has StoreSettings::checkpoint_pages more than after the last time; when
  // readers have kept it from beginning anew until it has so many, the writer waits for them.
  static constexpr int kRestartFrames = 8'000;
  static constexpr core::Milliseconds kTick{10'000};  // expiry, and the clock is written down when nothing else is

  // Takes the connection, whose database is prepared; `db` outlives nothing else.
  Writer(std::unique_ptr<sqlite::Connection> db, std::unique_ptr<Timeline> timeline, WriterMeans means);
  ~Writer();

  // Before start(): what an earlier process has left. False: it could not be written.
  bool start_up(const std::set<std::string>& unsure, Tables::Leftovers& leftovers);
  void start();
  // Any thread. Answers at once when it cannot be taken.
  void post(std::unique_ptr<WriteOperation> operation);
  void close();  // blocks

  const Timeline& timeline() const { return *timeline_; }
  const sqlite::Failure& failure() const { return db_->failure(); }
  std::int64_t start_number() const { return start_number_; }
  // Any thread.
  bool sealed() const { return sealed_.load(std::memory_order_acquire); }
  std::string sealed_why() const;
  void seal(const std::string& why);  // also for who has failed to write a body
  std::uint64_t messages() const { return messages_.load(std::memory_order_relaxed); }
  std::uint64_t octets() const { return octets_.load(std::memory_order_relaxed); }
  std::uint64_t free_octets() const { return free_.load(std::memory_order_relaxed); }
  std::uint64_t wal_octets() const;
  // free_octets() will be looked at anew, soon.
  void want_probe();
  // "There is no space" is told once, until there is.
  void report_full(const std::string& why);

 private:
  using Group = std::vector<std::unique_ptr<WriteOperation>>;
  enum class Idle { no, tick };

  void work();
  Group take(Idle& idle);
  void run_group(Group group);
  // Runs the operations in one transaction. Nothing: committed.
  struct Trouble {
    sqlite::Failure failure;
    bool committing = false;

    // Worth to try each operation alone: one of them is to blame, or is too large for the space that is left.
    bool divisible() const;
  };
  std::optional<Trouble> transaction(const Group& group, Idle idle);
  Trouble take_back(bool committing);
  void answer_failed(Group group, const Trouble& trouble);
  // Makes sure that what a failed COMMIT has left in the log counts for nothing.
  bool void_commit();
  void after_commit();
  void checkpoint();
  // Gives pages that nothing uses any more back to the file system, a few at a time, when there is nothing else to do.
  void shrink();
  void after_upkeep(std::string_view what);
  void probe();
  void alert(StoreAlert::Kind kind, std::string text);
  void at(std::string_view point) const {
    if (means_.settings.at_point) means_.settings.at_point(point);
  }
  void note_unsure(const Group& group);

  std::unique_ptr<sqlite::Connection> db_;
  std::unique_ptr<Timeline> timeline_;
  WriterMeans means_;
  std::unique_ptr<Tables> tables_;
  std::int64_t start_number_ = 0;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::unique_ptr<WriteOperation>> waiting_;
  std::size_t waiting_octets_ = 0;
  bool closing_ = false, probe_wanted_ = true;

  std::atomic<bool> sealed_{false};
  mutable std::mutex why_mutex_;
  std::string why_;
  bool full_told_ = false;  // under why_mutex_

  std::atomic<std::uint64_t> messages_{0}, octets_{0}, free_{0};
  std::atomic<int> wal_frames_{0};
  Time last_tick_ = 0;
  int checkpoint_at_ = 0, last_frames_ = 0;
  std::uint64_t last_commit_ = 0;  // wal_commits() that checkpoint() has seen
  core::Steady::time_point probed_{};
  std::thread thread_;
};

// The note of messages that were put by a commit of unknown outcome, whose callers were therefore told 451: they are
// forgotten at the next start (docs/queue-format.md).
std::string unsure_note(const std::string& folder);

}  // namespace queue
