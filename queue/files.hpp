// The file system as the queue uses it, apart from SQLite's own files: body files, folders, the lock. An interface, so
// that tests can fail any call and lose whatever was not synced (threats DU-03 to DU-06). Every call blocks: only the
// queue's own threads make them, never a shard. Errors are the system's (ENOSPC, EIO, ...). Any thread; one File is
// used by one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"

namespace queue {

// For what is tried as well as it can be, when its failure changes nothing.
inline void best_effort(const core::Error&) {}

class File {
 public:
  virtual ~File() = default;  // closes
  // All of it, or an error; then how much was written is not known.
  virtual core::Error write(std::uint64_t offset, std::string_view octets) = 0;
  // Up to `size` octets; fewer only at the end of the file.
  virtual core::Result<std::size_t> read(std::uint64_t offset, char* to, std::size_t size) = 0;
  virtual core::Result<std::uint64_t> size() = 0;
  // fdatasync: content and length are on stable storage. Its name is only after Files::sync_folder().
  virtual core::Error sync() = 0;
};

class Files {
 public:
  virtual ~Files() = default;

  // A new file, 0600, for writing and reading. EEXIST when there is one; links are not followed.
  virtual core::Result<std::unique_ptr<File>> create(const std::string& path) = 0;
  virtual core::Result<std::unique_ptr<File>> open(const std::string& path) = 0;  // for reading
  virtual core::Error remove(const std::string& path) = 0;
  virtual core::Error rename(const std::string& from, const std::string& to) = 0;
  // Names made, removed and renamed in `folder` are on stable storage.
  virtual core::Error sync_folder(const std::string& folder) = 0;
  // 0700. No error when it is there.
  virtual core::Error make_folder(const std::string& folder) = 0;
  // Names of the plain files in it, in no order.
  virtual core::Result<std::vector<std::string>> list(const std::string& folder) = 0;
  // No error: there is something of that name. ENOENT: there is not.
  virtual core::Error look_for(const std::string& path) = 0;
  // What unprivileged programs may still write to the file system.
  virtual core::Result<std::uint64_t> free_octets(const std::string& folder) = 0;
  // May we keep mail there: a folder, ours, writable by nobody else. Otherwise EPERM, ENOTDIR, EROFS, ...
  virtual core::Error check_folder(const std::string& folder) = 0;

  // An exclusive lock on the file `path`, which is made when missing; given back when the object goes, or the process.
  // EWOULDBLOCK: somebody has it.
  class Lock {
   public:
    virtual ~Lock() = default;
  };
  virtual core::Result<std::unique_ptr<Lock>> lock(const std::string& path) = 0;
};

// The real one. Lives as long as the program.
Files& posix_files();

}  // namespace queue
