// `onward recover`: reads what can still be read of a damaged queue, row by row and from both sides of every broken
// page, into a new database, and says what was lost. Nothing is thrown away: the old database and all octets that
// belong to no message any more are kept beside it.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include "core/text.hpp"
#include "queue/sqlite_rows.hpp"
#include "queue/sqlite_schema.hpp"
#include "queue/sqlite_store.hpp"

namespace queue {
namespace {

constexpr std::size_t kMaxLines = 1000;  // of what is lost; then only their number

core::Result<std::string> read_file(Files& files, const std::string& path, std::uint64_t most) {
  const auto file = files.open(path);
  if (!file) return file.error();
  const auto size = (*file)->size();
  if (!size) return size.error();
  std::string text(static_cast<std::size_t>(std::min(*size, most)), '\0');
  const auto got = (*file)->read(0, text.data(), text.size());
  if (!got) return got.error();
  text.resize(*got);
  return text;
}

void put_number(std::string& page, std::size_t at, std::uint32_t value) {
  for (int i = 3; i >= 0; --i, value >>= 8) page[at + static_cast<std::size_t>(i)] = static_cast<char>(value & 0xff);
}

// The rows of one table, by ascending row number, past whatever cannot be read.
class Rows {
 public:
  // `columns` begin with `key`, the row number.
  Rows(sqlite::Connection& db, std::string_view columns, std::string_view table, std::string_view key)
      : db_(db),
        up_(db.prepare(
            fmt::format("SELECT {} FROM {} NOT INDEXED WHERE {} > ?1 ORDER BY {} LIMIT 1", columns, table, key, key))),
        down_(db.prepare(fmt::format("SELECT {} FROM {} NOT INDEXED WHERE {} > ?1 AND {} < ?2 ORDER BY {} DESC LIMIT 1",
                                     columns, table, key, key, key))) {}

  // Calls `take` for each row; false: places were passed over.
  template <class F>
  bool each(F take) {
    bool whole = !db_.failed();
    db_.clear();
    std::int64_t at = std::numeric_limits<std::int64_t>::min();
    for (;;) {
      if (up_.with(at).row()) {
        at = up_.integer(0);
        take(up_);
        up_.reset();
        continue;
      }
      if (!db_.failed()) return whole;
      db_.clear();
      whole = false;
      const auto next = beyond(at);
      if (!next) {
        down_to(at, std::numeric_limits<std::int64_t>::max(), take);
        return false;
      }
      down_to(at, *next, take);
      at = *next - 1;
    }
  }

 private:
  // A row that can be read behind the broken place at `at`.
  std::optional<std::int64_t> beyond(std::int64_t at) {
    const std::int64_t from = std::max<std::int64_t>(at, 0);
    for (std::int64_t step = 1; step < (std::int64_t{1} << 61); step *= 2) {
      const bool found = up_.with(from + step).row();
      const auto row = found ? up_.integer(0) : 0;
      up_.reset();
      if (found) return row;
      const bool end = !db_.failed();
      db_.clear();
      if (end) return std::nullopt;
    }
    return std::nullopt;
  }
  template <class F>
  void down_to(std::int64_t low, std::int64_t high, F take) {
    while (down_.with(low, high).row()) {
      high = down_.integer(0);
      take(down_);
      down_.reset();
    }
    db_.clear();
  }

  sqlite::Connection& db_;
  sqlite::Statement up_, down_;
};

class Recoverer {
 public:
  Recoverer(std::string folder, Files& files, const core::Clock& clock)
      : folder_(std::move(folder)), files_(files), clock_(clock) {}
  Recovery run();

 private:
  std::string path(std::string_view name) const { return fmt::format("{}/{}", folder_, name); }
  bool failed(const core::Error& error, std::string_view what) {
    if (error) result_.error = fmt::format("{}: {}", path(what), error.message());
    return static_cast<bool>(error);
  }
  void lose(std::string line) {
    ++lost_;
    if (result_.lost.size() < kMaxLines) result_.lost.push_back(std::move(line));
  }

  bool undo_half_a_recovery();
  // True: nothing is wrong.
  bool is_whole();
  bool copy_with_new_first_page();
  void salvage(sqlite::Connection& from, sqlite::Connection& to);
  void copy_messages(sqlite::Connection& from, sqlite::Connection& to);
  void copy_bodies(sqlite::Connection& from, sqlite::Connection& to);
  void copy_recipients(sqlite::Connection& from, sqlite::Connection& to);
  void settle(sqlite::Connection& to);
  void check_bodies(sqlite::Connection& to);
  void keep_unreferenced_files(sqlite::Connection& to);
  bool write_file(const std::string& name, std::string_view octets);
  void save_octets(const std::string& name, std::string_view octets);
  bool exchange();

  const std::string folder_;
  Files& files_;
  const core::Clock& clock_;
  Recovery result_;
  std::size_t lost_ = 0;
  std::map<MessageKey, std::string> ids_;  // of the messages that are saved
  std::set<MessageKey> with_recipients_;
  Timeline::Tick tick_{};
  std::int64_t start_ = 0, highest_lease_ = 0;
};

bool Recoverer::undo_half_a_recovery() {
  if (!files_.look_for(path("queue.db"))) return true;
  // Killed between the two renames of exchange(): the newest damaged one is the queue.
  for (int n = 999; n >= 1; --n) {
    const auto old = fmt::format("queue.db.damaged-{}", n);
    if (files_.look_for(path(old))) continue;
    if (failed(files_.rename(path(old), path("queue.db")), old)) return false;
    if (!files_.look_for(path(old + "-wal")) &&
        failed(files_.rename(path(old + "-wal"), path("queue.db-wal")), old + "-wal")) {
      return false;
    }
    return !failed(files_.sync_folder(folder_), ".");
  }
  result_.error = path("queue.db") + ": is missing; there is nothing to recover";
  return false;
}

bool Recoverer::is_whole() {
  sqlite::Connection db(path("queue.db"), sqlite::Access::read_write, "");
  if (db.failed()) return false;
  const auto failure = prepare_database(db, path("queue.db"), Age::has_been_used);
  if (failure && failure->kind != OpenFailure::Kind::corrupt) {
    result_.error = failure->text;
    return false;
  }
  if (failure) return false;
  return db.text("PRAGMA integrity_check") == "ok" && db.integer("SELECT count(*) FROM state") == 1;
}

// A database whose first page is gone: the page of an empty queue has the same tables in the same places.
bool Recoverer::copy_with_new_first_page() {
  const auto fresh = path("queue.db.fresh"), copy = path("queue.db.copy");
  for (const auto* const suffix : {"", "-wal", "-shm"}) {
    best_effort(files_.remove(fresh + suffix));
    best_effort(files_.remove(copy + suffix));
  }
  {
    if (const auto made = files_.create(fresh); !made) return !failed(made.error(), "queue.db.fresh");
    sqlite::Connection db(fresh, sqlite::Access::read_write, "");
    if (prepare_database(db, fresh, Age::may_be_new)) return false;
    db.checkpoint(sqlite::Connection::Checkpoint::truncate);
  }
  auto page = read_file(files_, fresh, kPageSize);
  for (const auto* const suffix : {"", "-wal", "-shm"}) best_effort(files_.remove(fresh + suffix));
  auto old = read_file(files_, path("queue.db"), std::uint64_t{1} << 40);
  if (!page || !old || page->size() != kPageSize || old->size() < 2 * kPageSize) return false;
  put_number(*page, 28, static_cast<std::uint32_t>(old->size() / kPageSize));
  put_number(*page, 32, 0);  // no free pages: they are not read here
  put_number(*page, 36, 0);
  page->replace(92, 4, *page, 24, 4);  // the size above is valid
  old->replace(0, kPageSize, *page);
  if (!write_file("queue.db.copy", *old)) return false;
  // What has not come from the log into the database yet counts too.
  const auto log = read_file(files_, path("queue.db-wal"), std::uint64_t{1} << 32);
  return !log || write_file("queue.db.copy-wal", *log);
}

bool Recoverer::write_file(const std::string& name, std::string_view octets) {
  const auto file = files_.create(path(name));
  if (!file) return !failed(file.error(), name);
  return !failed((*file)->write(0, octets), name);
}

void Recoverer::save_octets(const std::string& name, std::string_view octets) {
  if (failed(files_.make_folder(path("lost")), "lost")) return;
  const auto file = files_.create(path("lost/" + name));
  if (file && !(*file)->write(0, octets)) best_effort((*file)->sync());
}

void Recoverer::copy_messages(sqlite::Connection& from, sqlite::Connection& to) {
  auto insert = to.prepare(
      "INSERT INTO message VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,"
      " ?15, ?16, ?17)");
  Rows rows(from,
            "key, id, sender, srs_sender, envid, ret, flags, client_ip, helo, message_id, subject, size,"
            " header_size, created, expires, digest, body_file",
            "message", "key");
  const bool whole = rows.each([&](const sqlite::Statement& row) {
    const auto file = row.null(16) ? std::nullopt : std::optional<std::string>(row.string(16));
    insert.with(row.integer(0), row.text(1), row.text(2), row.text(3), row.text(4), row.integer(5), row.integer(6),
                row.text(7), row.text(8), row.text(9), row.text(10), row.integer(11), row.integer(12), row.integer(13),
                row.integer(14), sqlite::BlobText{row.blob(15)}, file);
    insert.run();
    if (to.failed() && to.failure().fault == sqlite::Fault::constraint) {
      to.clear();
      return lose(fmt::format("a second record of message {}", row.text(1)));
    }
    ids_[row.integer(0)] = row.string(1);
    tick_.queue = std::max(tick_.queue, row.integer(13));
  });
  if (!whole) lose("messages: part of the table cannot be read");
}

void Recoverer::copy_bodies(sqlite::Connection& from, sqlite::Connection& to) {
  auto insert = to.prepare("INSERT OR IGNORE INTO body VALUES (?1, ?2)");
  Rows rows(from, "message, octets", "body", "message");
  const bool whole = rows.each([&](const sqlite::Statement& row) {
    const auto key = row.integer(0);
    const auto octets = std::string(row.blob(1));
    if (from.failed()) return;  // the row is there, its octets are not
    if (!ids_.contains(key)) {
      const auto name = fmt::format("message-{}.eml", key);
      save_octets(name, octets);
      return lose(fmt::format("message {}: sender and recipients are lost, its octets are in lost/{}", key, name));
    }
    insert.with(key, sqlite::BlobText{octets});
    insert.run();
  });
  if (!whole) lose("bodies: part of the table cannot be read");
}

void Recoverer::copy_recipients(sqlite::Connection& from, sqlite::Connection& to) {
  auto insert = to.prepare(
      "INSERT OR IGNORE INTO recipient VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,"
      " ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30,"
      " ?31, ?32)");
  Rows rows(from, "*", "recipient", "row");
  const bool whole = rows.each([&](const sqlite::Statement& r) {
    const auto key = message_of(r.integer(0));
    if (!ids_.contains(key)) {
      return lose(
          fmt::format("recipient {} (to {}) of message {}: the message's record is lost", r.text(1), r.text(4), key));
    }
    const auto fingerprint = r.digest(11), restamped = r.digest(12);
    insert.with(r.integer(0), r.text(1), r.text(2), r.text(3), r.text(4), r.text(5), r.text(6), r.text(7), r.integer(8),
                r.text(9), r.text(10), fingerprint, restamped, r.integer(13), r.integer(14), r.integer(15),
                r.integer(16), r.integer(17), r.integer(18), r.integer(19), r.integer(20), r.text(21), r.integer(22),
                r.text(23), r.text(24), r.text(25), r.integer(26), r.integer(27), r.integer(28), r.text(29),
                r.integer(30), r.integer(31));
    insert.run();
    with_recipients_.insert(key);
    highest_lease_ = std::max(highest_lease_, r.integer(26));
  });
  if (!whole) lose("recipients: part of the table cannot be read");
}

void Recoverer::salvage(sqlite::Connection& from, sqlite::Connection& to) {
  from.clear();
  to.run("BEGIN IMMEDIATE");
  {
    auto state = from.prepare("SELECT start, queue_ms, wall_ms, next_lease FROM state");
    if (state.row()) {
      start_ = state.integer(0);
      tick_ = {state.integer(1), state.integer(2)};
      highest_lease_ = state.integer(3);
    } else {
      lose("the queue's clock: it goes on from the youngest message");
    }
    from.clear();
  }
  copy_messages(from, to);
  copy_bodies(from, to);
  copy_recipients(from, to);
  auto insert = to.prepare("INSERT OR IGNORE INTO hold_rule VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
  Rows rules(from, kHoldRuleColumns, "hold_rule", "number");
  const bool whole = rules.each([&](const sqlite::Statement& r) {
    insert.with(r.integer(0), r.text(1), r.text(2), r.text(3), r.text(4), r.integer(5), r.integer(6));
    insert.run();
  });
  if (!whole) lose("hold rules: some may be lost");
  settle(to);
  check_bodies(to);
  to.reset_statements();
  to.run("COMMIT");
}

// Messages without recipients go, numbers and totals are made right.
void Recoverer::settle(sqlite::Connection& to) {
  for (const auto& [key, id] : ids_) {
    if (with_recipients_.contains(key)) continue;
    auto select = to.prepare("SELECT octets FROM body WHERE message = ?1");
    if (select.with(key).row()) save_octets(id + ".eml", select.blob(0));
    select.reset();
    lose(fmt::format("message {}: its recipients are lost; its octets, if they were saved, are in lost/", id));
    for (const auto* const sql : {"DELETE FROM body WHERE message = ?1", "DELETE FROM message WHERE key = ?1"}) {
      auto remove = to.prepare(sql);
      remove.with(key);
      remove.run();
    }
  }
  if (tick_.wall == 0) {
    tick_.wall = std::chrono::duration_cast<core::Milliseconds>(clock_.wall().time_since_epoch()).count();
  }
  // Files of a later start than the state knows must not be taken for new ones.
  if (const auto names = files_.list(path("bodies"))) {
    for (const auto& name : *names) {
      const auto start = core::parse_number(std::string_view(name).substr(0, name.find('-')));
      if (start && *start < (1ULL << 40)) start_ = std::max(start_, static_cast<std::int64_t>(*start));
    }
  }
  const auto next = ids_.empty() ? 1 : ids_.rbegin()->first + 1;
  auto update = to.prepare(
      "UPDATE state SET start = ?1, next_message = ?2, next_lease = ?3, queue_ms = ?4, wall_ms = ?5,"
      " messages = (SELECT count(*) FROM message),"
      " octets = (SELECT coalesce(sum(size), 0) FROM message)");
  update.with(start_, next, highest_lease_ + 1, tick_.queue, tick_.wall);
  update.run();
}

void Recoverer::check_bodies(sqlite::Connection& to) {
  struct Bad {
    MessageKey key;
    std::string id;
  };
  std::vector<Bad> bad;
  auto select = to.prepare(
      "SELECT key, id, size, digest, body_file, octets FROM message LEFT JOIN body"
      " ON body.message = message.key ORDER BY key");
  while (select.row()) {
    std::string octets;
    if (select.null(4)) {
      octets = select.blob(5);
    } else if (auto text = read_file(files_, path("bodies/" + select.string(4)), std::uint64_t{1} << 32)) {
      octets = std::move(*text);
    }
    const bool right = octets.size() == select.unsigned_integer(2) && core::sha256(octets) == select.digest(3);
    if (!right) bad.push_back({select.integer(0), select.string(1)});
  }
  auto hold = to.prepare(
      "UPDATE recipient SET hold = 3, hold_reason = 'the stored message is damaged', hold_rule = 0"
      " WHERE row BETWEEN ?1 AND ?2");
  auto missing = to.prepare(
      "INSERT OR IGNORE INTO body SELECT key, x'' FROM message WHERE key = ?1"
      " AND body_file IS NULL");
  for (const auto& [key, id] : bad) {
    hold.with(first_row(key), last_row(key));
    hold.run();
    missing.with(key);
    missing.run();
    ++result_.quarantined;
    lose(fmt::format("message {}: its octets are damaged or lost; it is held", id));
  }
  result_.messages = static_cast<std::uint64_t>(to.integer("SELECT count(*) FROM message").value_or(0));
  result_.recipients = static_cast<std::uint64_t>(to.integer("SELECT count(*) FROM recipient").value_or(0));
}

// Files that no saved message refers to would be taken for garbage at the next start.
void Recoverer::keep_unreferenced_files(sqlite::Connection& to) {
  const auto names = files_.list(path("bodies"));
  if (!names) return;
  auto select = to.prepare("SELECT 1 FROM message WHERE body_file IS NOT NULL AND body_file = ?1");
  for (const auto& name : *names) {
    const bool known = select.with(name).row();
    select.reset();
    if (known || to.failed()) continue;
    if (failed(files_.make_folder(path("lost")), "lost")) return;
    if (!files_.rename(path("bodies/" + name), path("lost/" + name))) {
      lose(fmt::format("the file bodies/{} belongs to no message that was saved: it is in lost/", name));
    }
  }
}

bool Recoverer::exchange() {
  int n = 1;
  while (!files_.look_for(path(fmt::format("queue.db.damaged-{}", n)))) ++n;
  const auto old = fmt::format("queue.db.damaged-{}", n);
  if (failed(files_.sync_folder(folder_), ".")) return false;
  if (failed(files_.rename(path("queue.db"), path(old)), old)) return false;
  // The old log must be out of the way for good before the new database takes the name it belongs to.
  if (!files_.look_for(path("queue.db-wal")) && failed(files_.rename(path("queue.db-wal"), path(old + "-wal")), old)) {
    return false;
  }
  best_effort(files_.remove(path("queue.db-shm")));
  if (failed(files_.sync_folder(folder_), ".")) return false;
  if (failed(files_.rename(path("queue.db.recovered"), path("queue.db")), "queue.db")) return false;
  return !failed(files_.sync_folder(folder_), ".");
}

Recovery Recoverer::run() {
  if (failed(files_.check_folder(folder_), ".")) return result_;
  const auto lock = files_.lock(path("queue.lock"));
  if (!lock) {
    result_.error = folder_ + ": another process has this queue; stop it first";
    return result_;
  }
  if (!undo_half_a_recovery()) return result_;
  if (is_whole() || !result_.error.empty()) return result_;
  result_.needed = true;
  const auto fresh = path("queue.db.recovered");
  for (const auto* const suffix : {"", "-wal", "-shm"}) best_effort(files_.remove(fresh + suffix));
  if (const auto made = files_.create(fresh); !made) {
    static_cast<void>(failed(made.error(), "queue.db.recovered"));
    return result_;
  }
  {
    sqlite::Connection to(fresh, sqlite::Access::read_write, "");
    if (const auto failure = prepare_database(to, fresh, Age::may_be_new)) {
      result_.error = failure->text;
      return result_;
    }
    auto from = std::make_unique<sqlite::Connection>(path("queue.db"), sqlite::Access::read_write, "");
    // Whether there are tables at all shows when one asks for them.
    if (from->failed() || !from->integer("SELECT 1 FROM sqlite_schema WHERE name = 'message'")) {
      from.reset();
      if (!copy_with_new_first_page()) {
        lose("the database cannot be read at all");
        from = nullptr;
      } else {
        from = std::make_unique<sqlite::Connection>(path("queue.db.copy"), sqlite::Access::read_write, "");
      }
    }
    if (from) salvage(*from, to);
    from.reset();
    for (const auto* const suffix : {"", "-wal", "-shm"}) best_effort(files_.remove(path("queue.db.copy") + suffix));
    keep_unreferenced_files(to);
    to.checkpoint(sqlite::Connection::Checkpoint::truncate);
    if (to.failed() && result_.error.empty()) result_.error = fresh + ": " + to.failure().text;
  }
  for (const auto* const suffix : {"-wal", "-shm"}) best_effort(files_.remove(fresh + suffix));
  if (!result_.error.empty()) return result_;
  if (!exchange()) return result_;
  if (lost_ > result_.lost.size()) result_.lost.push_back(fmt::format("and {} more", lost_ - result_.lost.size()));
  return result_;
}

}  // namespace

Recovery recover_store(const std::string& folder, Files& files, const core::Clock& clock) {
  return Recoverer(folder, files, clock).run();
}

}  // namespace queue
