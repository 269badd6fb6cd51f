// The activity log's table: how rows get in, go out with age, and are found. For activity.cpp only; one thread each.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "queue/activity.hpp"
#include "queue/sqlite.hpp"
#include "queue/tls_table.hpp"

namespace queue {

inline constexpr std::int64_t kActivityApplicationId = 0x4f6e7741;  // "OnwA"
inline constexpr std::int64_t kActivityVersion = 1;
inline constexpr std::int64_t kDay = std::int64_t{24} * 3'600'000;  // in milliseconds

using ActivityRow = std::variant<Activity, DmarcSighting, TlsSighting, TlsReported>;

// Makes the tables where there are none. "": fine. Otherwise why not; db.failed() when SQLite says it.
std::string prepare_activity(sqlite::Connection& db);

// The side that writes.
class ActivityWriter {
 public:
  explicit ActivityWriter(sqlite::Connection& db);
  // In one transaction; false: none of them is in.
  bool write(const std::vector<ActivityRow>& rows);
  // Removes some of the rows older than `time`, and all of TLS of days before `tls_day`; true: there are more.
  bool prune(std::int64_t time, std::int64_t tls_day);

 private:
  bool end_transaction();
  void insert(const Activity& row);
  void insert(const DmarcSighting& sighting);
  void insert(const TlsSighting& sighting) { tls_.add(sighting); }
  void insert(const TlsReported& reported) { tls_.forget(reported); }
  sqlite::Connection& db_;
  sqlite::Statement insert_, prune_, insert_sighting_, prune_sightings_;
  TlsWriter tls_;
};

// The side that looks.
class ActivityReader {
 public:
  explicit ActivityReader(sqlite::Connection& db);
  std::vector<Activity> find(const ActivityQuery& query);
  std::vector<TlsCount> find(const TlsQuery& query) { return tls_.find(query); }

 private:
  // By which index the rows are gone through.
  enum class Way { all, id, message_id, rcpt_to, mail_from, status, time };
  static constexpr std::size_t kWays = 7;
  struct Statements {
    sqlite::Statement newest, oldest, count;  // from either end; how many there are, up to a limit
  };
  Way choose(const ActivityQuery& query);
  void start(sqlite::Statement& statement, Way way, const ActivityQuery& query);

  std::array<Statements, kWays> ways_;
  TlsReader tls_;
};

}  // namespace queue
