#include "queue/activity_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/text.hpp"
#include "queue/sqlite_rows.hpp"

namespace queue {
namespace {

constexpr std::string_view kColumns =
    "number, time, id, session, message_id, client_ip, helo, mail_from, rcpt_to, destination, subject, size, status,"
    " spf, dkim, dmarc, arc, dnsbl, reply, upstream_host, upstream_address, upstream_tls, upstream_reply, error";

constexpr std::string_view kTables[] = {
    R"(CREATE TABLE activity (number INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, id TEXT NOT NULL,
      session TEXT NOT NULL, message_id TEXT NOT NULL, client_ip TEXT NOT NULL, helo TEXT NOT NULL,
      mail_from TEXT NOT NULL COLLATE NOCASE,
      rcpt_to TEXT NOT NULL COLLATE NOCASE, destination TEXT NOT NULL, subject TEXT NOT NULL, size INTEGER NOT NULL,
      status TEXT NOT NULL, spf TEXT NOT NULL, dkim TEXT NOT NULL, dmarc TEXT NOT NULL, arc TEXT NOT NULL,
      dnsbl TEXT NOT NULL, reply TEXT NOT NULL, upstream_host TEXT NOT NULL, upstream_address TEXT NOT NULL,
      upstream_tls TEXT NOT NULL, upstream_reply TEXT NOT NULL, error TEXT NOT NULL))",
    "CREATE INDEX activity_id ON activity (id)",
    "CREATE INDEX activity_session ON activity (session)",
    "CREATE INDEX activity_message_id ON activity (message_id)",
    "CREATE INDEX activity_rcpt_to ON activity (rcpt_to)",
    "CREATE INDEX activity_mail_from ON activity (mail_from)",
    "CREATE INDEX activity_status ON activity (status)",
    "CREATE INDEX activity_time ON activity (time)",
    "PRAGMA application_id = 1332639553",
    "PRAGMA user_version = 1",
};
static_assert(kActivityApplicationId == 1332639553 && kActivityVersion == 1);

// A row for each kind of message of a day; `day` is of Unix days.
constexpr std::string_view kSightings =
    R"(CREATE TABLE IF NOT EXISTS dmarc (day INTEGER NOT NULL, policy_domain TEXT NOT NULL COLLATE NOCASE,
      author TEXT NOT NULL COLLATE NOCASE, client_ip TEXT NOT NULL, disposition TEXT NOT NULL, dkim TEXT NOT NULL,
      spf TEXT NOT NULL, reason TEXT NOT NULL, envelope_from TEXT NOT NULL, spf_domain TEXT NOT NULL,
      spf_result TEXT NOT NULL, signatures TEXT NOT NULL, record TEXT NOT NULL, first INTEGER NOT NULL,
      last INTEGER NOT NULL, count INTEGER NOT NULL,
      PRIMARY KEY (day, policy_domain, author, client_ip, disposition, dkim, spf, reason, envelope_from, spf_domain,
      spf_result, signatures, record)) WITHOUT ROWID)";

// What the rows are found by, with the value as ?1 (and ?2 for the time).
constexpr std::string_view kConditions[] = {
    "?1 IS ?1",
    "number IN (SELECT number FROM activity WHERE id = ?1 UNION SELECT number FROM activity WHERE session = ?1)",
    "message_id = ?1",
    "rcpt_to = ?1",
    "mail_from = ?1",
    "status = ?1",
    "time >= ?1 AND time < ?2",
};

constexpr int kPruneStep = 500;
constexpr int kFew = 20'000;  // rows of an index are counted up to here; going through so many is quick
constexpr std::size_t kMaxLookedAt = 500'000;  // rows a query looks at; what it has found by then is the answer
// Rows are in the order of time but for the times when somebody has set the clock back: a query for a time goes on so
// far beyond it.
constexpr std::int64_t kSlack = kDay;

Activity read_row(const sqlite::Statement& row) {
  Activity a;
  a.number = row.integer(0);
  a.time = row.integer(1);
  int at = 2;
  for (auto* const text : {&a.id, &a.session, &a.message_id, &a.client_ip, &a.helo, &a.mail_from, &a.rcpt_to,
                           &a.destination, &a.subject}) {
    *text = row.string(at++);
  }
  a.size = row.unsigned_integer(at++);
  for (auto* const text : {&a.status, &a.spf, &a.dkim, &a.dmarc, &a.arc, &a.dnsbl, &a.reply, &a.upstream_host,
                           &a.upstream_address, &a.upstream_tls, &a.upstream_reply, &a.error}) {
    *text = row.string(at++);
  }
  return a;
}

bool is(std::string_view wanted, std::string_view value) {
  return wanted.empty() || wanted == value;
}

// Columns as in kColumns.
bool matches(const ActivityQuery& query, const sqlite::Statement& row) {
  const auto time = row.integer(1);
  if (query.since != 0 && time < query.since) return false;
  if (query.until != 0 && time >= query.until) return false;
  if (!query.id.empty() && query.id != row.text(2) && query.id != row.text(3)) return false;
  return is(query.message_id, row.text(4)) &&
         (query.mail_from.empty() || core::iequals(query.mail_from, row.text(7))) &&
         (query.rcpt_to.empty() || core::iequals(query.rcpt_to, row.text(8))) && is(query.status, row.text(12));
}

}  // namespace

std::string prepare_activity(sqlite::Connection& db) {
  const auto application = db.integer("PRAGMA application_id");
  const auto version = db.integer("PRAGMA user_version");
  const auto tables = db.integer("SELECT count(*) FROM sqlite_schema");
  if (db.failed()) return db.failure().text;
  const bool empty = tables == 0 && application == 0;
  if (!empty && application != kActivityApplicationId) return "is a database, but no activity log of Onward's";
  if (!empty && version > kActivityVersion) return "was made by a later version of Onward";
  db.run("PRAGMA temp_store = MEMORY");
  db.run("PRAGMA mmap_size = 0");
  db.run("PRAGMA journal_mode = WAL");
  db.run("PRAGMA synchronous = NORMAL");  // synced at checkpoints only: a power cut may cost the last rows
  db.run("PRAGMA journal_size_limit = 67108864");
  db.run("PRAGMA secure_delete = FAST");
  db.run("PRAGMA cache_size = -32768");
  if (empty) {
    db.run("BEGIN IMMEDIATE");
    for (const auto sql : kTables) db.run(sql);
    db.run("COMMIT");
  }
  db.run(kSightings);
  prepare_tls(db);
  return db.failed() ? db.failure().text : std::string();
}

// --- ActivityWriter ---

ActivityWriter::ActivityWriter(sqlite::Connection& db)
    : db_(db),
      insert_(db.prepare("INSERT INTO activity VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,"
                         " ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)")),
      prune_(db.prepare("DELETE FROM activity WHERE number IN"
                        " (SELECT number FROM activity WHERE time < ?1 ORDER BY time LIMIT ?2)")),
      insert_sighting_(db.prepare("INSERT INTO dmarc VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,"
                                  " ?14, ?14, 1) ON CONFLICT DO UPDATE SET count = count + 1, last = max(last, ?14)")),
      prune_sightings_(db.prepare("DELETE FROM dmarc WHERE day < ?1")),
      tls_(db) {}

bool ActivityWriter::end_transaction() {
  if (!db_.failed()) db_.run("COMMIT");
  if (!db_.failed()) return true;
  db_.clear();
  db_.reset_statements();
  if (db_.in_transaction()) db_.run("ROLLBACK");
  db_.clear();
  tls_.rolled_back();
  return false;
}

void ActivityWriter::insert(const Activity& a) {
  insert_.with(a.time, cut(a.id), cut(a.session), cut(a.message_id), cut(a.client_ip), cut(a.helo), cut(a.mail_from),
               cut(a.rcpt_to), cut(a.destination), cut(a.subject), a.size, cut(a.status), cut(a.spf), cut(a.dkim),
               cut(a.dmarc), cut(a.arc), cut(a.dnsbl), cut(a.reply), cut(a.upstream_host), cut(a.upstream_address),
               cut(a.upstream_tls), cut(a.upstream_reply), cut(a.error));
  insert_.run();
}

void ActivityWriter::insert(const DmarcSighting& s) {
  insert_sighting_.with(s.time / kDay, cut(s.policy_domain), cut(s.author), cut(s.client_ip), cut(s.disposition),
                        cut(s.dkim), cut(s.spf), cut(s.reason), cut(s.envelope_from), cut(s.spf_domain),
                        cut(s.spf_result), cut(s.signatures), cut(s.record), s.time);
  insert_sighting_.run();
}

bool ActivityWriter::write(const std::vector<ActivityRow>& rows) {
  db_.run("BEGIN IMMEDIATE");
  for (const auto& row : rows) std::visit([this](const auto& one) { insert(one); }, row);
  tls_.flush();
  return end_transaction();
}

bool ActivityWriter::prune(std::int64_t time, std::int64_t tls_day) {
  const auto before = db_.rows_changed();
  db_.run("BEGIN IMMEDIATE");
  prune_.with(time, kPruneStep);
  prune_.run();
  prune_sightings_.with(time / kDay);
  prune_sightings_.run();
  tls_.prune(tls_day);
  return end_transaction() && db_.rows_changed() - before >= kPruneStep;
}

// --- ActivityReader ---

ActivityReader::ActivityReader(sqlite::Connection& db) : tls_(db) {
  for (std::size_t i = 0; i < kWays; ++i) {
    const auto condition = kConditions[i];
    // Of a time all rows are taken in its own order; of the others those behind a number, in theirs.
    const bool by_time = static_cast<Way>(i) == Way::time;
    const std::string_view order = by_time ? "time" : "number";
    const std::string_view behind = by_time ? "number > ?3" : "number > ?2";
    ways_[i].newest = db.prepare(
        fmt::format("SELECT {} FROM activity WHERE {} AND {} ORDER BY {} DESC", kColumns, condition, behind, order));
    ways_[i].oldest = db.prepare(
        fmt::format("SELECT {} FROM activity WHERE {} AND {} ORDER BY {}", kColumns, condition, behind, order));
    ways_[i].count = db.prepare(
        fmt::format("SELECT count(*) FROM (SELECT 1 FROM activity WHERE {} AND {} LIMIT {})", condition, behind, kFew));
  }
}

void ActivityReader::start(sqlite::Statement& statement, Way way, const ActivityQuery& query) {
  switch (way) {
    case Way::all:
      statement.with(0, query.after);
      return;
    case Way::id:
      statement.with(query.id, query.after);
      return;
    case Way::message_id:
      statement.with(query.message_id, query.after);
      return;
    case Way::rcpt_to:
      statement.with(query.rcpt_to, query.after);
      return;
    case Way::mail_from:
      statement.with(query.mail_from, query.after);
      return;
    case Way::status:
      statement.with(query.status, query.after);
      return;
    case Way::time:
      statement.with(query.since, query.until == 0 ? INT64_MAX : query.until, query.after);
      return;
  }
}

// The index with the fewest rows, of those that the query has a value for.
ActivityReader::Way ActivityReader::choose(const ActivityQuery& query) {
  std::vector<Way> possible;
  if (!query.id.empty()) possible.push_back(Way::id);
  if (!query.message_id.empty()) possible.push_back(Way::message_id);
  if (!query.rcpt_to.empty()) possible.push_back(Way::rcpt_to);
  if (!query.mail_from.empty()) possible.push_back(Way::mail_from);
  if (!query.status.empty()) possible.push_back(Way::status);
  // Rows of a time come in the order of time: of use only where no order of numbers is asked for.
  if ((query.since != 0 || query.until != 0) && query.after < 0) possible.push_back(Way::time);
  if (possible.empty()) return Way::all;
  if (possible.size() == 1) return possible.front();
  auto best = possible.front();
  std::int64_t fewest = kFew + 1;
  for (const auto way : possible) {
    auto& count = ways_[static_cast<std::size_t>(way)].count;
    start(count, way, query);
    const auto rows = count.row() ? count.integer(0) : 0;
    count.reset();
    if (rows < fewest) {
      fewest = rows;
      best = way;
    }
  }
  return best;
}

std::vector<Activity> ActivityReader::find(const ActivityQuery& query) {
  const bool follow = query.after >= 0;
  const auto most = std::clamp<std::size_t>(query.most, 1, 10'000);
  const auto way = choose(query);
  auto& statements = ways_[static_cast<std::size_t>(way)];
  auto& statement = follow ? statements.oldest : statements.newest;
  start(statement, way, query);
  std::vector<Activity> found;
  for (std::size_t looked_at = 0; found.size() < most && looked_at < kMaxLookedAt && statement.row(); ++looked_at) {
    if (!follow && query.since != 0 && statement.integer(1) < query.since - kSlack) break;
    if (matches(query, statement)) found.push_back(read_row(statement));
  }
  statement.reset();
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.number < b.number; });
  return found;
}

}  // namespace queue
