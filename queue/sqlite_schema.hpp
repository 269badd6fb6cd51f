// The queue's database: its tables, its version, and how an older one becomes a newer one (threats DU-07, DU-13).
// docs/queue-format.md describes the tables. For the folder's own use.
#pragma once

#include <optional>
#include <string>

#include "queue/sqlite.hpp"
#include "queue/sqlite_store.hpp"

namespace queue {

inline constexpr std::int64_t kApplicationId = 0x4f6e7764;  // "Onwd"
inline constexpr std::int64_t kSchemaVersion = 1;
inline constexpr std::int64_t kPageSize = 4096;

// A recipient's row number is made of its message's key and its own number.
inline constexpr int kNumberBits = 16;
inline constexpr std::int64_t row_of(MessageKey message, unsigned number) {
  return (message << kNumberBits) | number;
}
inline constexpr std::int64_t first_row(MessageKey message) {
  return row_of(message, 0);
}
inline constexpr std::int64_t last_row(MessageKey message) {
  return row_of(message, (1U << kNumberBits) - 1);
}
inline constexpr MessageKey message_of(std::int64_t row) {
  return row >> kNumberBits;
}
static_assert(kMaxRecipients < (1U << kNumberBits));

// A recipient that may be leased. Queries say it in the same words as the indexes, or these are not used.
inline constexpr std::string_view kReady = "state > 0 AND lease = 0 AND hold = 0";

// Sets the connection up for writing, makes the tables in an empty database, brings an older one up to date (each step
// in one transaction), and looks whether the tables that hold no bodies are whole. Nothing: it can be used.
enum class Age { may_be_new, has_been_used };  // a used one without tables is damaged
std::optional<OpenFailure> prepare_database(sqlite::Connection& db, const std::string& path, Age age);
// The tables in an empty database; for recovery, too.
void make_tables(sqlite::Connection& db);
// Settings of every connection that reads.
void set_up_reading(sqlite::Connection& db);

// What to tell the operator when the database said `failure`.
OpenFailure explain(const sqlite::Failure& failure, const std::string& path);

}  // namespace queue
