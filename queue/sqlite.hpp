// SQLite behind RAII, for the folder's own use. Prepared statements with bound parameters only. Errors are sticky:
// after the first one every step of the connection says "no row" until clear(), so that straight code can look once at
// its end whether all went well. A Connection and its Statements belong to one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "core/digest.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace queue::sqlite {

// What an error means for the store (docs/queue-format.md lists which codes are which).
enum class Fault {
  none,
  full,        // no space, quota, inodes: the transaction is rolled back, nothing is broken
  busy,        // locked by another process, out of descriptors or of memory: the same later may work
  read,        // a read failed
  constraint,  // a row that must not be: our mistake, or a corrupt index
  too_new,     // a statement met a schema it does not know: another program has changed the database
  corrupt,     // not a database, or a broken one
  write,       // a write, sync, truncate or lock failed: the store must be sealed
};

struct Failure {
  Fault fault = Fault::none;
  int code = 0;            // extended result code
  bool wal_index = false;  // about the -shm file, which COMMIT writes when the log is on the disk already
  int os_error = 0;        // errno, where there was one
  std::string text;
};
// The fault of an extended result code with the errno beside it.
Fault fault_of(int extended_code, int os_error);

class Connection;

template <class T>
inline constexpr bool kOwnedTemporary =
    std::is_rvalue_reference_v<T> &&
    (std::is_same_v<std::remove_cvref_t<T>, std::string> || std::is_same_v<std::remove_cvref_t<T>, core::Digest> ||
     std::is_same_v<std::remove_cvref_t<T>, std::optional<std::string>>);

class Statement {
 public:
  Statement() = default;
  Statement(Connection& connection, sqlite3_stmt* statement);
  Statement(Statement&&) noexcept;
  Statement& operator=(Statement&&) noexcept;
  ~Statement();

  // Starts anew with these parameters, ?1 first. Texts and blobs are not copied: they must live until the statement has
  // run.
  template <class... T>
  Statement& with(T&&... values) {
    static_assert(!(kOwnedTemporary<T&&> || ...), "a temporary string would be gone when the statement runs");
    reset();
    int at = 0;
    (bind(++at, values), ...);
    return *this;
  }
  // The next row; false: there is none (any more), or an error. The statement is reset then.
  bool row();
  // For statements without rows.
  void run() {
    row();
    reset();
  }
  void reset();

  // Of the present row, 0 first. Views live until the next row.
  std::int64_t integer(int column) const;
  std::uint64_t unsigned_integer(int column) const { return static_cast<std::uint64_t>(integer(column)); }
  std::string_view text(int column) const;  // "" for NULL
  std::string string(int column) const { return std::string(text(column)); }
  std::string_view blob(int column) const;
  core::Digest digest(int column) const;  // all zero when it is not 32 octets
  bool null(int column) const;

 private:
  void bind(int at, std::int64_t value);
  void bind(int at, int value) { bind(at, static_cast<std::int64_t>(value)); }
  void bind(int at, unsigned value) { bind(at, static_cast<std::int64_t>(value)); }
  void bind(int at, std::uint64_t value) { bind(at, static_cast<std::int64_t>(value)); }
  void bind(int at, std::string_view text);
  void bind(int at, const std::string& text) { bind(at, std::string_view(text)); }
  void bind(int at, const char* text) { bind(at, std::string_view(text)); }
  void bind(int at, const core::Digest& digest);  // all zero: NULL
  template <class T>
  void bind(int at, const std::optional<T>& value) {
    if (value) {
      bind(at, *value);
    } else {
      bind_null(at);
    }
  }
  void bind_null(int at);
  void check(int code);

  Connection* connection_ = nullptr;
  sqlite3_stmt* statement_ = nullptr;
  friend class Connection;
  friend struct BlobText;
  void bind(int at, const struct BlobText& blob);
};

// Octets to be stored as a blob, not as text.
struct BlobText {
  std::string_view octets;
};

enum class Access { create, read_write, read_only };

class Connection {
 public:
  // failed() tells whether it could be opened.
  Connection(const std::string& path, Access access, const std::string& vfs);
  Connection(const Connection&) = delete;
  ~Connection();  // its statements must be gone

  // SQL text is always ours, a constant.
  Statement prepare(std::string_view sql);
  // Prepares, runs and forgets.
  void run(std::string_view sql);
  std::optional<std::int64_t> integer(std::string_view sql);
  std::string text(std::string_view sql);

  bool failed() const { return failure_.fault != Fault::none; }
  const Failure& failure() const { return failure_; }
  void clear() { failure_ = {}; }

  bool in_transaction() const;
  std::int64_t rows_changed() const;  // since the connection was opened
  // Statements that were left in the middle of their rows hold the write-ahead log; this ends them.
  void reset_statements();
  // Frames in the write-ahead log after the last commit.
  int wal_frames() const { return wal_frames_; }
  // Commits that have written to it.
  std::uint64_t wal_commits() const { return wal_commits_; }
  // passive: as far as readers allow. restart: waits for readers, so that the log begins anew. truncate: and is
  // emptied.
  enum class Checkpoint { passive, restart, truncate };
  // False: not everything could be copied; failed() says whether that is an error.
  bool checkpoint(Checkpoint how);
  // Makes what is running on another thread end with Fault::busy.
  void interrupt();

 private:
  friend class Statement;
  void fail(int code);
  sqlite3* db_ = nullptr;
  Failure failure_;
  int wal_frames_ = 0;
  std::uint64_t wal_commits_ = 0;
};

}  // namespace queue::sqlite
