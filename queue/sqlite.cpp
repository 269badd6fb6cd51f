#include "queue/sqlite.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <utility>

namespace queue::sqlite {
namespace {

constexpr int kBusyMilliseconds = 5000;

bool is_space_error(int os_error) {
  return os_error == ENOSPC || os_error == EDQUOT || os_error == EFBIG;
}
bool is_scarcity(int os_error) {
  return os_error == EMFILE || os_error == ENFILE || os_error == ENOMEM || os_error == EAGAIN || os_error == EINTR;
}

// The sub-codes of SQLITE_IOERR.
Fault io_fault(int code, int os_error) {
  switch (code) {
    case SQLITE_IOERR_READ:
    case SQLITE_IOERR_SHORT_READ:
    case SQLITE_IOERR_FSTAT:
    case SQLITE_IOERR_ACCESS:
    case SQLITE_IOERR_CORRUPTFS:
      return code == SQLITE_IOERR_CORRUPTFS ? Fault::corrupt : Fault::read;
    case SQLITE_IOERR_NOMEM:
      return Fault::busy;
    // A sync that failed for lack of space has failed all the same: what it was to make durable may be gone.
    case SQLITE_IOERR_FSYNC:
    case SQLITE_IOERR_DIR_FSYNC:
      return Fault::write;
    // SQLite itself knows ENOSPC only; a quota is the same to us. Nothing was synced yet, so nothing is in doubt. The
    // wal-index (-shm) is a file too, and its loss costs nothing.
    case SQLITE_IOERR_WRITE:
    case SQLITE_IOERR_SHMSIZE:
    case SQLITE_IOERR_SHMMAP:
    case SQLITE_IOERR_SHMOPEN:
      if (is_space_error(os_error)) return Fault::full;
      return code != SQLITE_IOERR_WRITE && is_scarcity(os_error) ? Fault::busy : Fault::write;
    default:
      return Fault::write;
  }
}

}  // namespace

Fault fault_of(int extended_code, int os_error) {
  switch (extended_code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
      return Fault::none;
    case SQLITE_FULL:
      return Fault::full;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
    case SQLITE_INTERRUPT:
    case SQLITE_NOMEM:
      return Fault::busy;
    case SQLITE_CANTOPEN:
      if (is_space_error(os_error)) return Fault::full;
      return is_scarcity(os_error) ? Fault::busy : Fault::write;
    case SQLITE_CONSTRAINT:
    case SQLITE_TOOBIG:
      return Fault::constraint;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Fault::corrupt;
    case SQLITE_SCHEMA:
      return Fault::too_new;
    case SQLITE_IOERR:
      return io_fault(extended_code, os_error);
    default:  // READONLY, PERM, AUTH, MISUSE, ERROR, ...: nothing of it may happen, so nothing goes on after it
      return Fault::write;
  }
}

// --- Statement ---

Statement::Statement(Connection& connection, sqlite3_stmt* statement)
    : connection_(&connection), statement_(statement) {}

Statement::Statement(Statement&& other) noexcept
    : connection_(other.connection_), statement_(std::exchange(other.statement_, nullptr)) {}

Statement& Statement::operator=(Statement&& other) noexcept {
  std::swap(connection_, other.connection_);
  std::swap(statement_, other.statement_);
  return *this;
}

Statement::~Statement() {
  sqlite3_finalize(statement_);
}

void Statement::check(int code) {
  if (code != SQLITE_OK) connection_->fail(code);
}

void Statement::reset() {
  if (statement_ != nullptr) sqlite3_reset(statement_);  // repeats the step's error, which is known
}

bool Statement::row() {
  if (statement_ == nullptr || connection_->failed()) {
    reset();
    return false;
  }
  errno = 0;  // SQLite does not say why a COMMIT could not write
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) connection_->fail(code);
  reset();
  return false;
}

void Statement::bind(int at, std::int64_t value) {
  if (statement_ != nullptr) check(sqlite3_bind_int64(statement_, at, value));
}

void Statement::bind(int at, std::string_view text) {
  if (statement_ == nullptr) return;
  // A null pointer would bind NULL.
  const char* data = text.data() == nullptr ? "" : text.data();
  check(sqlite3_bind_text64(statement_, at, data, text.size(), SQLITE_STATIC, SQLITE_UTF8));
}

void Statement::bind(int at, const BlobText& blob) {
  if (statement_ == nullptr) return;
  const char* data = blob.octets.data() == nullptr ? "" : blob.octets.data();
  check(sqlite3_bind_blob64(statement_, at, data, blob.octets.size(), SQLITE_STATIC));
}

void Statement::bind(int at, const core::Digest& digest) {
  if (std::all_of(digest.begin(), digest.end(), [](std::uint8_t octet) { return octet == 0; })) return bind_null(at);
  bind(at, BlobText{core::as_text(digest)});
}

void Statement::bind_null(int at) {
  if (statement_ != nullptr) check(sqlite3_bind_null(statement_, at));
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

std::string_view Statement::text(int column) const {
  const auto* data = sqlite3_column_text(statement_, column);
  if (data == nullptr) return {};
  return {reinterpret_cast<const char*>(data), static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

std::string_view Statement::blob(int column) const {
  const auto* data = sqlite3_column_blob(statement_, column);
  if (data == nullptr) return {};
  return {static_cast<const char*>(data), static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

core::Digest Statement::digest(int column) const {
  core::Digest digest{};
  const auto octets = blob(column);
  if (octets.size() == digest.size()) std::memcpy(digest.data(), octets.data(), digest.size());
  return digest;
}

bool Statement::null(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

// --- Connection ---

Connection::Connection(const std::string& path, Access access, const std::string& vfs) {
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  flags |= access == Access::read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
  if (access == Access::create) flags |= SQLITE_OPEN_CREATE;
  const int code = sqlite3_open_v2(path.c_str(), &db_, flags, vfs.empty() ? nullptr : vfs.c_str());
  if (code != SQLITE_OK) {
    fail(code);
    return;
  }
  sqlite3_busy_timeout(db_, kBusyMilliseconds);
  // What closes last would copy the log into the database; a sealed store must not touch either any more, and the
  // others have done it by themselves.
  sqlite3_db_config(db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
  // Also takes the place of the automatic checkpoint: there is none on any of our connections (DU-09).
  sqlite3_wal_hook(
      db_,
      [](void* self, sqlite3*, const char*, int frames) {
        auto& connection = *static_cast<Connection*>(self);
        connection.wal_frames_ = frames;
        ++connection.wal_commits_;
        return SQLITE_OK;
      },
      this);
}

Connection::~Connection() {
  const int code = sqlite3_close(db_);
  assert(code == SQLITE_OK);  // a statement has outlived its connection
  static_cast<void>(code);
}

void Connection::fail(int code) {
  const int os_error = errno;
  if (failed()) return;
  failure_.code = db_ == nullptr ? code : sqlite3_extended_errcode(db_);
  if ((failure_.code & 0xff) != (code & 0xff)) failure_.code = code;
  failure_.os_error = os_error != 0 || db_ == nullptr ? os_error : sqlite3_system_errno(db_);
  failure_.fault = fault_of(failure_.code, failure_.os_error);
  if (failure_.fault == Fault::none) failure_.fault = Fault::write;
  failure_.wal_index = failure_.code == SQLITE_IOERR_SHMSIZE || failure_.code == SQLITE_IOERR_SHMMAP ||
                       failure_.code == SQLITE_IOERR_SHMOPEN || failure_.code == SQLITE_IOERR_NOMEM ||
                       failure_.code == SQLITE_NOMEM;
  failure_.text = db_ == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(db_);
  const int family = failure_.code & 0xff;
  if (failure_.os_error != 0 && (family == SQLITE_IOERR || family == SQLITE_CANTOPEN || family == SQLITE_FULL)) {
    failure_.text += std::string(" (") + std::strerror(failure_.os_error) + ")";
  }
}

Statement Connection::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  if (!failed()) {
    const int code = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                                        &statement, nullptr);
    if (code != SQLITE_OK) fail(code);
  }
  return Statement(*this, statement);
}

void Connection::run(std::string_view sql) {
  auto statement = prepare(sql);
  while (statement.row()) {
  }
}

std::optional<std::int64_t> Connection::integer(std::string_view sql) {
  auto statement = prepare(sql);
  if (!statement.row()) return std::nullopt;
  return statement.integer(0);
}

std::string Connection::text(std::string_view sql) {
  auto statement = prepare(sql);
  return statement.row() ? statement.string(0) : std::string();
}

bool Connection::in_transaction() const {
  return sqlite3_get_autocommit(db_) == 0;
}

std::int64_t Connection::rows_changed() const {
  return sqlite3_total_changes64(db_);
}

bool Connection::checkpoint(Checkpoint how) {
  if (failed()) return false;
  const int mode = how == Checkpoint::passive   ? SQLITE_CHECKPOINT_PASSIVE
                   : how == Checkpoint::restart ? SQLITE_CHECKPOINT_RESTART
                                                : SQLITE_CHECKPOINT_TRUNCATE;
  int frames = -1, copied = -1;
  errno = 0;
  const int code = sqlite3_wal_checkpoint_v2(db_, nullptr, mode, &frames, &copied);
  if (code != SQLITE_OK && (code & 0xff) != SQLITE_BUSY) {
    fail(code);
    return false;
  }
  if (how == Checkpoint::truncate && code == SQLITE_OK) wal_frames_ = 0;
  return code == SQLITE_OK && frames == copied;
}

void Connection::reset_statements() {
  for (auto* s = sqlite3_next_stmt(db_, nullptr); s != nullptr; s = sqlite3_next_stmt(db_, s)) {
    if (sqlite3_stmt_busy(s) != 0) sqlite3_reset(s);
  }
}

void Connection::interrupt() {
  sqlite3_interrupt(db_);
}

}  // namespace queue::sqlite
