#include "queue/sqlite_schema.hpp"

#include <fmt/format.h>

#include <span>

namespace queue {
namespace {

constexpr std::string_view kVersion1[] = {
    // One row: the queue's clock (Timeline::Tick), the next numbers, and totals that would take a scan to count.
    R"(CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), start INTEGER NOT NULL,
      next_message INTEGER NOT NULL, next_lease INTEGER NOT NULL, queue_ms INTEGER NOT NULL, wall_ms INTEGER NOT NULL,
      messages INTEGER NOT NULL, octets INTEGER NOT NULL))",
    "INSERT INTO state VALUES (1, 0, 1, 1, 0, 0, 0, 0)",
    R"(CREATE TABLE message (key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, sender TEXT NOT NULL,
      srs_sender TEXT NOT NULL, envid TEXT NOT NULL, ret INTEGER NOT NULL, flags INTEGER NOT NULL,
      client_ip TEXT NOT NULL, helo TEXT NOT NULL, message_id TEXT NOT NULL, subject TEXT NOT NULL,
      size INTEGER NOT NULL, header_size INTEGER NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL,
      digest BLOB NOT NULL, body_file TEXT))",
    "CREATE UNIQUE INDEX message_file ON message (body_file) WHERE body_file IS NOT NULL",
    "CREATE TABLE body (message INTEGER PRIMARY KEY, octets BLOB NOT NULL)",
    R"(CREATE TABLE recipient (row INTEGER PRIMARY KEY, address TEXT NOT NULL, rule TEXT NOT NULL, domain TEXT NOT NULL,
      destination TEXT NOT NULL, to_domain TEXT NOT NULL, hop TEXT NOT NULL, fallback TEXT NOT NULL,
      notify INTEGER NOT NULL, orcpt_type TEXT NOT NULL, orcpt TEXT NOT NULL, fingerprint BLOB, restamped BLOB,
      state INTEGER NOT NULL, attempts INTEGER NOT NULL, unknowns INTEGER NOT NULL, next_attempt INTEGER NOT NULL,
      failing_since INTEGER NOT NULL, act_by INTEGER NOT NULL, delay_told INTEGER NOT NULL,
      reply_code INTEGER NOT NULL, reply TEXT NOT NULL, reply_from_peer INTEGER NOT NULL, last_host TEXT NOT NULL,
      last_address TEXT NOT NULL,
      last_tls TEXT NOT NULL, lease INTEGER NOT NULL, lease_until INTEGER NOT NULL, hold INTEGER NOT NULL,
      hold_reason TEXT NOT NULL, hold_rule INTEGER NOT NULL, retry INTEGER NOT NULL))",
    "CREATE INDEX recipient_due ON recipient (retry, hop, next_attempt) WHERE state > 0 AND lease = 0 AND hold = 0",
    "CREATE INDEX recipient_next ON recipient (next_attempt) WHERE state > 0 AND lease = 0 AND hold = 0",
    "CREATE INDEX recipient_leased ON recipient (lease) WHERE lease > 0",
    "CREATE INDEX recipient_held ON recipient (hold_rule) WHERE hold_rule > 0",
    R"(CREATE TABLE hold_rule (number INTEGER PRIMARY KEY, to_domain TEXT NOT NULL, sender TEXT NOT NULL,
      recipient TEXT NOT NULL, reason TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL))",
    "PRAGMA application_id = 1332639588",
    "PRAGMA user_version = 1",
};
static_assert(kApplicationId == 1332639588 && kSchemaVersion == 1);

// One step a version, from the version before: what it executes, the version stamp being the last, in one transaction.
// A kill leaves the old version or the new one (DU-13).
struct Step {
  std::int64_t to;
  std::span<const std::string_view> sql;
};
const Step kSteps[] = {{1, kVersion1}};

void bring_up_to_date(sqlite::Connection& db, std::int64_t version) {
  for (const auto& step : kSteps) {
    if (step.to <= version || db.failed()) continue;
    db.run("BEGIN IMMEDIATE");
    for (const auto sql : step.sql) db.run(sql);
    db.run("COMMIT");
  }
}

void set_up_writing(sqlite::Connection& db) {
  set_up_reading(db);
  db.run("PRAGMA journal_mode = WAL");
  db.run("PRAGMA synchronous = FULL");  // an fsync of the log at every commit
  db.run("PRAGMA journal_size_limit = 67108864");
  db.run("PRAGMA secure_delete = FAST");  // Debian's default would write zeros over every body that was delivered
  db.run("PRAGMA cache_size = -32768");
}

bool is_whole(sqlite::Connection& db) {
  for (const auto* const check : {"PRAGMA quick_check('state')", "PRAGMA quick_check('message')",
                                  "PRAGMA quick_check('recipient')", "PRAGMA quick_check('hold_rule')"}) {
    if (db.text(check) != "ok") return false;
  }
  return true;
}

}  // namespace

void set_up_reading(sqlite::Connection& db) {
  db.run("PRAGMA temp_store = MEMORY");
  db.run("PRAGMA cell_size_check = ON");
  db.run("PRAGMA mmap_size = 0");  // a read error shall be a value, not a SIGBUS
  db.run("PRAGMA cache_size = -8192");
}

OpenFailure explain(const sqlite::Failure& failure, const std::string& path) {
  if (failure.fault == sqlite::Fault::corrupt) {
    return {OpenFailure::Kind::corrupt,
            fmt::format("{}: the queue's database is damaged ({}); run `onward recover`", path, failure.text)};
  }
  return {OpenFailure::Kind::unusable, fmt::format("{}: cannot be opened: {}", path, failure.text)};
}

void make_tables(sqlite::Connection& db) {
  bring_up_to_date(db, 0);
}

std::optional<OpenFailure> prepare_database(sqlite::Connection& db, const std::string& path, Age age) {
  // Whose it is comes first: a stranger's database is not touched.
  const auto application = db.integer("PRAGMA application_id");
  const auto version = db.integer("PRAGMA user_version");
  const auto tables = db.integer("SELECT count(*) FROM sqlite_schema");
  if (db.failed()) return explain(db.failure(), path);
  const bool empty = tables == 0 && application == 0;
  if (!empty && application != kApplicationId) {
    return OpenFailure{OpenFailure::Kind::unusable, path + ": is a database, but no queue of Onward's"};
  }
  const auto made_by = version.value_or(0);
  if (!empty && made_by > kSchemaVersion) {
    return OpenFailure{OpenFailure::Kind::newer,
                       fmt::format("{}: was made by a later version of Onward (format {}, this one knows {}); install "
                                   "that version again, or empty the queue with it first",
                                   path, made_by, kSchemaVersion)};
  }
  if (empty ? age == Age::has_been_used : made_by < 1 || tables == 0) {
    return OpenFailure{OpenFailure::Kind::corrupt, path + ": has no tables of a queue; run `onward recover`"};
  }
  if (empty) {
    db.run("PRAGMA page_size = 4096");
    db.run("PRAGMA auto_vacuum = INCREMENTAL");
  }
  set_up_writing(db);
  bring_up_to_date(db, made_by);
  const bool whole = db.failed() || is_whole(db);
  if (db.failed()) return explain(db.failure(), path);
  if (!whole) {
    return OpenFailure{OpenFailure::Kind::corrupt, path + ": the queue's database is damaged; run `onward recover`"};
  }
  return std::nullopt;
}

}  // namespace queue
