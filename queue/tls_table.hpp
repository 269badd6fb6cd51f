// The table of TLS outcomes in activity.db. For activity_table.cpp only; one thread each.
#pragma once

#include <map>
#include <vector>

#include "queue/sqlite.hpp"
#include "queue/tls_counts.hpp"

namespace queue {

void prepare_tls(sqlite::Connection& db);

// The side that writes, inside the transactions of ActivityWriter.
class TlsWriter {
 public:
  explicit TlsWriter(sqlite::Connection& db);
  // Written with flush(), equal ones together.
  void add(const TlsSighting& sighting) { ++waiting_[sighting]; }
  void flush();
  void forget(const TlsReported& reported);
  // Rows of days before `day` go.
  void prune(std::int64_t day);
  // The transaction was rolled back.
  void rolled_back();

 private:
  bool bump(const TlsSighting& sighting, std::uint64_t count);
  void insert(TlsSighting sighting, std::uint64_t count);
  void run(sqlite::Statement& statement, const TlsSighting& sighting, std::uint64_t count);
  sqlite::Connection& db_;
  sqlite::Statement bump_, rows_of_, insert_, forget_, prune_;
  std::map<TlsSighting, std::uint64_t> waiting_;  // of one group
  std::int64_t rows_ = 0;                         // in the table
};

// The side that looks.
class TlsReader {
 public:
  explicit TlsReader(sqlite::Connection& db);
  // By day, domain, policy and result.
  std::vector<TlsCount> find(const TlsQuery& query);

 private:
  sqlite::Statement find_;
};

}  // namespace queue
