#include "queue/sqlite_writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "queue/sqlite_schema.hpp"

namespace queue {
namespace {

StoreErrc error_of(sqlite::Fault fault) {
  switch (fault) {
    case sqlite::Fault::full:
      return StoreErrc::full;
    case sqlite::Fault::none:
    case sqlite::Fault::busy:
      return StoreErrc::busy;
    case sqlite::Fault::read:
      return StoreErrc::unreadable;
    case sqlite::Fault::constraint:
      return StoreErrc::malformed;
    case sqlite::Fault::too_new:
    case sqlite::Fault::corrupt:
    case sqlite::Fault::write:
      break;
  }
  return StoreErrc::sealed;
}

// Faults after which nothing may be written any more.
bool is_fatal(sqlite::Fault fault) {
  return fault == sqlite::Fault::write || fault == sqlite::Fault::corrupt || fault == sqlite::Fault::too_new;
}

}  // namespace

std::string unsure_note(const std::string& folder) {
  return folder + "/queue.unsure";
}

Writer::Writer(std::unique_ptr<sqlite::Connection> db, std::unique_ptr<Timeline> timeline, WriterMeans means)
    : db_(std::move(db)), timeline_(std::move(timeline)), means_(std::move(means)) {
  tables_ = std::make_unique<Tables>(*db_, *timeline_);
  checkpoint_at_ = means_.settings.checkpoint_pages;
}

Writer::~Writer() {
  close();
}

bool Writer::start_up(const std::set<std::string>& unsure, Tables::Leftovers& leftovers) {
  tables_->begin();
  db_->run("BEGIN IMMEDIATE");
  leftovers = tables_->start_up(unsure);
  tables_->write_down();
  db_->reset_statements();
  db_->run("COMMIT");
  if (db_->failed()) return false;
  start_number_ = tables_->start();
  last_tick_ = timeline_->now();
  auto effects = tables_->committed();
  if (!effects.ended_files.empty()) means_.remove_bodies(std::move(effects.ended_files));
  messages_ = tables_->messages();
  octets_ = tables_->octets();
  probe();
  return true;
}

void Writer::start() {
  thread_ = std::thread([this] { work(); });
}

void Writer::post(std::unique_ptr<WriteOperation> operation) {
  auto refused = StoreErrc::closed;
  {
    const std::scoped_lock lock(mutex_);
    const bool room = waiting_.size() < kMaxWaiting && waiting_octets_ + operation->weight <= kMaxWaitingOctets;
    if (room && !closing_) {
      waiting_octets_ += operation->weight;
      waiting_.push_back(std::move(operation));
      wake_.notify_one();
      return;
    }
    if (!closing_) refused = StoreErrc::busy;
  }
  operation->fail(Commit::not_committed, refused);
}

void Writer::close() {
  {
    const std::scoped_lock lock(mutex_);
    closing_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

std::string Writer::sealed_why() const {
  const std::scoped_lock lock(why_mutex_);
  return why_;
}

void Writer::alert(StoreAlert::Kind kind, std::string text) {
  if (means_.settings.on_alert) means_.settings.on_alert({kind, std::move(text)});
}

void Writer::seal(const std::string& why) {
  {
    const std::scoped_lock lock(why_mutex_);
    if (sealed_) return;
    why_ = why;
    sealed_.store(true, std::memory_order_release);
  }
  alert(StoreAlert::Kind::sealed, why);
}

void Writer::report_full(const std::string& why) {
  {
    const std::scoped_lock lock(why_mutex_);
    if (std::exchange(full_told_, true)) return;
  }
  alert(StoreAlert::Kind::full, why);
}

std::uint64_t Writer::wal_octets() const {
  return static_cast<std::uint64_t>(wal_frames_.load(std::memory_order_relaxed)) * (kPageSize + 24);
}

void Writer::want_probe() {
  const std::scoped_lock lock(mutex_);
  if (!std::exchange(probe_wanted_, true)) wake_.notify_one();
}

void Writer::probe() {
  {
    const std::scoped_lock lock(mutex_);
    probe_wanted_ = false;
  }
  probed_ = core::Steady::now();
  if (const auto free = means_.files.free_octets(means_.settings.folder)) free_ = *free;
}

Writer::Group Writer::take(Idle& idle) {
  Group group;
  std::size_t octets = 0;
  std::unique_lock lock(mutex_);
  idle = Idle::no;
  const auto something = [&] { return !waiting_.empty() || closing_ || probe_wanted_; };
  // An empty queue has no clock worth keeping and nothing that could expire: the thread sleeps.
  if (messages_ == 0 || sealed_) {
    wake_.wait(lock, something);
  } else if (!wake_.wait_for(lock, kTick, something)) {
    idle = Idle::tick;
  }
  while (!waiting_.empty() && group.size() < kMaxGroup) {
    const auto weight = waiting_.front()->weight;
    if (!group.empty() && octets + weight > kMaxGroupOctets) break;
    octets += weight;
    waiting_octets_ -= weight;
    group.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  return group;
}

void Writer::work() {
  for (;;) {
    Idle idle = Idle::no;
    auto group = take(idle);
    if (!group.empty()) {
      run_group(std::move(group));
    } else if (idle == Idle::tick && !sealed_) {
      if (const auto trouble = transaction(group, idle)) {
        answer_failed({}, *trouble);
      } else {
        after_commit();
      }
    }
    bool wanted = false, ended = false;
    {
      const std::scoped_lock lock(mutex_);
      wanted = probe_wanted_;
      ended = closing_ && waiting_.empty();
    }
    if (wanted || core::Steady::now() - probed_ >= std::chrono::seconds(1)) probe();
    if (!sealed_) checkpoint();
    if (!sealed_) shrink();
    if (ended) break;
  }
  if (!sealed_) {
    // The clock's last word; then the log is emptied, so that the next start has nothing to read in it.
    if (messages_ > 0 && !transaction({}, Idle::tick)) after_commit();
    db_->checkpoint(sqlite::Connection::Checkpoint::truncate);
    wal_frames_ = db_->wal_frames();
  }
  // Prepared statements and connection go here, so that the files are free when close() comes back.
  tables_.reset();
  db_.reset();
}

bool Writer::Trouble::divisible() const {
  if (committing) return failure.fault == sqlite::Fault::full && !failure.wal_index;
  return failure.fault == sqlite::Fault::full || failure.fault == sqlite::Fault::constraint ||
         failure.fault == sqlite::Fault::read;
}

Writer::Trouble Writer::take_back(bool committing) {
  Trouble found{db_->failure(), committing};
  db_->clear();
  db_->reset_statements();
  // Some errors have rolled back already.
  if (db_->in_transaction()) db_->run("ROLLBACK");
  if (db_->failed() || db_->in_transaction()) found.failure.fault = sqlite::Fault::write;
  db_->clear();
  tables_->taken_back();
  return found;
}

std::optional<Writer::Trouble> Writer::transaction(const Group& group, Idle idle) {
  tables_->begin();
  db_->run("BEGIN IMMEDIATE");
  if (db_->failed()) return take_back(false);
  const auto before = db_->rows_changed();
  const auto now = timeline_->now();
  if (now - last_tick_ >= kTick.count()) tables_->expire();
  for (const auto& operation : group) {
    operation->run(*tables_);
    if (db_->failed()) return take_back(false);
  }
  const bool wrote = db_->rows_changed() != before;
  if (wrote || idle == Idle::tick) tables_->write_down();
  db_->reset_statements();
  if (db_->failed()) return take_back(false);
  if (wrote) at("queue.in_commit");
  db_->run("COMMIT");
  if (db_->failed()) return take_back(true);
  last_tick_ = now;
  if (wrote) at("queue.after_commit");
  return std::nullopt;
}

void Writer::after_commit() {
  auto effects = tables_->committed();
  messages_ = tables_->messages();
  octets_ = tables_->octets();
  wal_frames_ = db_->wal_frames();
  if (effects.leased) at("queue.leased");
  if (effects.ended) at("queue.ended");
  if (!effects.ended_files.empty()) means_.remove_bodies(std::move(effects.ended_files));
  bool over = false;
  {
    const std::scoped_lock lock(why_mutex_);
    over = std::exchange(full_told_, false);
  }
  if (over) alert(StoreAlert::Kind::full_over, "the queue can be written again");
}

void Writer::run_group(Group group) {
  if (sealed_) {
    for (auto& operation : group) operation->fail(Commit::not_committed, StoreErrc::sealed);
    return;
  }
  at("queue.before_commit");
  auto trouble = transaction(group, Idle::no);
  if (!trouble) {
    after_commit();
    for (auto& operation : group) operation->finish();
    return;
  }
  if (group.size() == 1 || !trouble->divisible()) return answer_failed(std::move(group), *trouble);
  for (auto& operation : group) {
    Group alone;
    alone.push_back(std::move(operation));
    run_group(std::move(alone));
  }
}

bool Writer::void_commit() {
  // The next commit is written over what the failed one has left: then a restart cannot find it.
  const auto trouble = transaction({}, Idle::tick);
  if (trouble) return false;
  after_commit();
  return true;
}

void Writer::answer_failed(Group group, const Trouble& trouble) {
  const auto& failure = trouble.failure;
  auto commit = Commit::not_committed;
  bool fatal = is_fatal(failure.fault);
  if (trouble.committing) {
    // Of COMMIT only a lack of space is harmless: the log's last frame, which makes it a commit, was not written.
    const bool clean = !failure.wal_index && (failure.fault == sqlite::Fault::full);
    if (!clean && !(failure.wal_index && !fatal && void_commit())) {
      commit = Commit::unknown;
      fatal = true;
    }
  }
  if (fatal) {
    seal(fmt::format("the queue is sealed until a restart: {}", failure.text));
    if (commit == Commit::unknown) note_unsure(group);
  } else if (failure.fault == sqlite::Fault::full) {
    report_full("the queue cannot be written: " + failure.text);
  } else if (failure.fault == sqlite::Fault::read) {
    alert(StoreAlert::Kind::unreadable, "reading the queue's database failed: " + failure.text);
  }
  const core::Error error = fatal ? core::Error(StoreErrc::sealed) : core::Error(error_of(failure.fault));
  for (auto& operation : group) operation->fail(commit, error);
}

void Writer::note_unsure(const Group& group) {
  std::string ids;
  for (const auto& operation : group) {
    if (!operation->put_id.empty()) ids += operation->put_id + "\n";
  }
  if (ids.empty()) return;
  // As well as it can be done on a disk that has just failed; without it a message may be delivered twice.
  const auto file = means_.files.create(unsure_note(means_.settings.folder));
  if (!file) return;
  if ((*file)->write(0, ids)) return;
  if ((*file)->sync()) return;
  best_effort(means_.files.sync_folder(means_.settings.folder));
}

void Writer::checkpoint() {
  if (std::exchange(last_commit_, db_->wal_commits()) == db_->wal_commits()) return;
  const int frames = db_->wal_frames();
  if (frames <= last_frames_) checkpoint_at_ = means_.settings.checkpoint_pages;  // the log has begun anew
  last_frames_ = frames;
  if (frames < checkpoint_at_) return;
  at("queue.checkpoint");
  using Checkpoint = sqlite::Connection::Checkpoint;
  db_->checkpoint(frames >= kRestartFrames ? Checkpoint::restart : Checkpoint::passive);
  checkpoint_at_ = frames + means_.settings.checkpoint_pages;
  after_upkeep("the log cannot be copied into the database");
}

void Writer::shrink() {
  constexpr std::int64_t kWorthIt = 4096;  // pages: 16 MiB
  {
    const std::scoped_lock lock(mutex_);
    if (!waiting_.empty() || closing_) return;
  }
  const auto spare = db_->integer("PRAGMA freelist_count").value_or(0);
  const auto all = db_->integer("PRAGMA page_count").value_or(0);
  if (spare > kWorthIt && (messages_ == 0 || spare > all / 2)) {
    db_->run("PRAGMA incremental_vacuum(1024)");
    const std::scoped_lock lock(mutex_);
    probe_wanted_ = true;  // and so it is looked at again at once
  }
  after_upkeep("spare pages cannot be given back");
}

void Writer::after_upkeep(std::string_view what) {
  if (!db_->failed()) return;
  const auto failure = db_->failure();
  db_->clear();
  if (failure.fault == sqlite::Fault::full) {
    report_full(fmt::format("the queue: {}: {}", what, failure.text));
  } else if (failure.fault != sqlite::Fault::busy) {
    seal(fmt::format("the queue is sealed until a restart: {}: {}", what, failure.text));
  }
}

}  // namespace queue
