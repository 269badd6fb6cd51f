#include "queue/sqlite_reader.hpp"

#include <algorithm>
#include <unordered_map>

#include "queue/sqlite_rows.hpp"
#include "queue/sqlite_schema.hpp"

namespace queue {

Views::Views(sqlite::Connection& db, const Timeline& timeline)
    : timeline_(timeline),
      scanner_(db),
      shape_(db.prepare("SELECT to_domain, created FROM message JOIN recipient"
                        " ON row BETWEEN message.key << 16 AND (message.key << 16) | 65535 WHERE state > 0")),
      statistics_(db.prepare("SELECT count(*), sum(state = 0), sum(state > 0 AND hold > 0),"
                             " sum(state > 0 AND hold = 0 AND (lease > 0 OR attempts = 0)),"
                             " sum(state > 0 AND hold = 0 AND lease = 0 AND attempts > 0) FROM recipient")),
      totals_(db.prepare("SELECT messages, octets, (SELECT created FROM message ORDER BY key LIMIT 1) FROM state")),
      fingerprints_(db.prepare("SELECT row, fingerprint, restamped FROM recipient WHERE row > ?1 AND state > 0"
                               " AND fingerprint IS NOT NULL ORDER BY row LIMIT ?2")),
      body_(db.prepare("SELECT size, digest, body_file, octets, header_size FROM message LEFT JOIN body"
                       " ON body.message = message.key WHERE key = ?1")),
      file_(db.prepare("SELECT 1 FROM message WHERE body_file IS NOT NULL AND body_file = ?1")) {}

core::Result<Job> Views::find(const std::string& id) {
  auto job = scanner_.find(id);
  if (!job) return StoreErrc::not_found;
  return std::move(*job);
}

std::vector<Shape> Views::shape(const std::vector<core::Milliseconds>& age_bounds, std::size_t most) {
  const auto now = timeline_.now();
  std::unordered_map<std::string, std::vector<std::uint64_t>> counts;  // as many as there are domains in the queue
  shape_.reset();
  while (shape_.row()) {
    auto& ages = counts[shape_.string(0)];
    ages.resize(age_bounds.size() + 1);
    const core::Milliseconds age(now - shape_.integer(1));
    const auto bound = std::upper_bound(age_bounds.begin(), age_bounds.end(), age);
    ++ages[static_cast<std::size_t>(bound - age_bounds.begin())];
  }
  std::vector<std::pair<std::uint64_t, Shape>> shapes;
  shapes.reserve(counts.size());
  for (auto& [domain, ages] : counts) {
    std::uint64_t all = 0;
    for (const auto count : ages) all += count;
    shapes.push_back({all, {domain, std::move(ages)}});
  }
  const auto kept = std::min(most, shapes.size());
  std::partial_sort(shapes.begin(), shapes.begin() + static_cast<std::ptrdiff_t>(kept), shapes.end(),
                    [](const auto& a, const auto& b) {
                      return a.first != b.first ? a.first > b.first : a.second.domain < b.second.domain;
                    });
  std::vector<Shape> result;
  result.reserve(kept);
  for (std::size_t i = 0; i < kept; ++i) result.push_back(std::move(shapes[i].second));
  return result;
}

Statistics Views::statistics() {
  Statistics statistics;
  if (statistics_.with().row()) {
    statistics.recipients = statistics_.unsigned_integer(0);
    statistics.provisional = statistics_.unsigned_integer(1);
    statistics.held = statistics_.unsigned_integer(2);
    statistics.active = statistics_.unsigned_integer(3);
    statistics.deferred = statistics_.unsigned_integer(4);
  }
  statistics_.reset();
  if (totals_.with().row()) {
    statistics.messages = totals_.unsigned_integer(0);
    statistics.octets = totals_.unsigned_integer(1);
    statistics.oldest = totals_.integer(2);
  }
  totals_.reset();
  return statistics;
}

Fingerprints Views::fingerprints(const Page& page) {
  Fingerprints fingerprints;
  const auto most = std::clamp<std::size_t>(page.most, 1, 10'000);
  fingerprints_.with(page.after, most);
  while (fingerprints_.row()) {
    const auto row = fingerprints_.integer(0);
    const auto number = static_cast<unsigned>(row - first_row(message_of(row)));
    fingerprints.found.push_back({message_of(row), number, fingerprints_.digest(1), fingerprints_.digest(2)});
    fingerprints.after = row;
  }
  if (fingerprints.found.size() < most) fingerprints.after = 0;
  return fingerprints;
}

core::Result<Bodies::Known> Views::body(MessageKey message) {
  if (!body_.with(message).row()) return StoreErrc::not_found;
  Bodies::Known known;
  known.size = body_.unsigned_integer(0);
  known.digest = body_.digest(1);
  known.header_size = body_.unsigned_integer(4);
  known.stored.file = body_.string(2);
  if (known.stored.file.empty()) known.stored.octets = std::string(body_.blob(3));
  body_.reset();
  return known;
}

bool Views::refers_to(const std::string& body_file) {
  const bool found = file_.with(body_file).row();
  file_.reset();
  return found;
}

// --- Reader ---

Reader::Reader(std::unique_ptr<sqlite::Connection> db, const Timeline& timeline,
               std::function<void(const sqlite::Failure&)> on_failure)
    : db_(std::move(db)), on_failure_(std::move(on_failure)), views_(std::make_unique<Views>(*db_, timeline)) {}

Reader::~Reader() {
  close();
}

void Reader::start() {
  thread_ = std::thread([this] { work(); });
}

void Reader::post(std::unique_ptr<ReadOperation> operation) {
  StoreErrc refused = StoreErrc::busy;
  {
    const std::scoped_lock lock(mutex_);
    if (!closing_ && waiting_.size() < kMaxWaiting) {
      waiting_.push_back(std::move(operation));
      wake_.notify_one();
      return;
    }
    if (closing_) refused = StoreErrc::closed;
  }
  operation->fail(refused);
}

void Reader::close() {
  {
    const std::scoped_lock lock(mutex_);
    closing_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Reader::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return closing_ || !waiting_.empty(); });
    if (waiting_.empty()) break;
    auto operation = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    operation->run(*views_);
    db_->reset_statements();
    if (db_->failed()) {
      on_failure_(db_->failure());
      db_->clear();
      operation->fail(StoreErrc::unreadable);
    } else {
      operation->finish();
    }
    operation.reset();
    lock.lock();
  }
  views_.reset();
  db_.reset();
}

}  // namespace queue
