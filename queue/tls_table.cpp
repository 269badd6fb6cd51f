#include "queue/tls_table.hpp"

#include <utility>

#include "queue/sqlite_rows.hpp"

namespace queue {
namespace {

constexpr std::string_view kTable =
    R"(CREATE TABLE IF NOT EXISTS tls (day INTEGER NOT NULL, domain TEXT NOT NULL COLLATE NOCASE, policy TEXT NOT NULL,
      result TEXT NOT NULL, sending_ip TEXT NOT NULL, receiving_host TEXT NOT NULL, receiving_ip TEXT NOT NULL,
      reason TEXT NOT NULL, count INTEGER NOT NULL,
      PRIMARY KEY (day, domain, policy, result, sending_ip, receiving_host, receiving_ip, reason)) WITHOUT ROWID)";

}  // namespace

void prepare_tls(sqlite::Connection& db) {
  db.run(kTable);
}

TlsWriter::TlsWriter(sqlite::Connection& db)
    : db_(db),
      bump_(db.prepare("UPDATE tls SET count = count + ?9 WHERE day = ?1 AND domain = ?2 AND policy = ?3 AND"
                       " result = ?4 AND sending_ip = ?5 AND receiving_host = ?6 AND receiving_ip = ?7 AND"
                       " reason = ?8")),
      rows_of_(db.prepare("SELECT count(*) FROM tls WHERE day = ?1 AND domain = ?2")),
      insert_(db.prepare("INSERT INTO tls VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")),
      forget_(db.prepare("DELETE FROM tls WHERE day = ?1 AND domain = ?2")),
      prune_(db.prepare("DELETE FROM tls WHERE day < ?1")) {
  rolled_back();
}

void TlsWriter::rolled_back() {
  rows_ = db_.integer("SELECT count(*) FROM tls").value_or(0);
}

// The columns of the key, then the count: bump_ and insert_ take the same.
void TlsWriter::run(sqlite::Statement& statement, const TlsSighting& s, std::uint64_t count) {
  statement.with(s.day, cut(s.domain), s.policy, cut(s.result), cut(s.sending_ip), cut(s.receiving_host),
                 cut(s.receiving_ip), cut(s.reason), count);
  statement.run();
}

bool TlsWriter::bump(const TlsSighting& s, std::uint64_t count) {
  const auto before = db_.rows_changed();
  run(bump_, s, count);
  return db_.rows_changed() > before;
}

void TlsWriter::insert(TlsSighting s, std::uint64_t count) {
  if (s.policy.size() > kMaxTlsPolicy || bump(s, count) || rows_ >= kMaxTlsRows) return;
  rows_of_.with(s.day, cut(s.domain));
  const auto of_domain = rows_of_.row() ? rows_of_.integer(0) : 0;
  rows_of_.reset();
  if (of_domain >= kMaxTlsRowsOfDomain) {
    s.sending_ip = s.receiving_host = s.receiving_ip = s.reason = "";
    if (bump(s, count) || of_domain >= kMaxTlsRowsOfDomain + kMaxTlsShortRows) return;
  }
  run(insert_, s, count);
  ++rows_;
}

void TlsWriter::flush() {
  for (const auto& [sighting, count] : std::exchange(waiting_, {})) insert(sighting, count);
}

void TlsWriter::forget(const TlsReported& reported) {
  flush();
  const auto before = db_.rows_changed();
  forget_.with(reported.day, cut(reported.domain));
  forget_.run();
  rows_ -= db_.rows_changed() - before;
}

void TlsWriter::prune(std::int64_t day) {
  const auto before = db_.rows_changed();
  prune_.with(day);
  prune_.run();
  rows_ -= db_.rows_changed() - before;
}

TlsReader::TlsReader(sqlite::Connection& db)
    : find_(db.prepare("SELECT day, domain, policy, result, sending_ip, receiving_host, receiving_ip, reason, count"
                       " FROM tls WHERE day < ?1 AND (?2 = '' OR domain = ?2)"
                       " ORDER BY day, domain, policy, result, sending_ip, receiving_host, receiving_ip, reason")) {}

std::vector<TlsCount> TlsReader::find(const TlsQuery& query) {
  std::vector<TlsCount> out;
  find_.with(query.until, query.domain);
  while (find_.row()) {
    auto& one = out.emplace_back();
    one.what.day = find_.integer(0);
    int at = 1;
    for (auto* const text : {&one.what.domain, &one.what.policy, &one.what.result, &one.what.sending_ip,
                             &one.what.receiving_host, &one.what.receiving_ip, &one.what.reason}) {
      *text = find_.string(at++);
    }
    one.count = find_.unsigned_integer(at);
  }
  find_.reset();
  return out;
}

}  // namespace queue
