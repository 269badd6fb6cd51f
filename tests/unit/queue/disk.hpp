// A disk that remembers: every write, sync, and change of a name that the store makes, through SQLite (a VFS shim
// around the system's) and through queue::Files, in one log. Any of them can be made to fail, and any moment of the log
// can be made into a folder as a power cut might have left it: what was not synced is there, or is not, or is torn.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "core/random.hpp"
#include "queue/files.hpp"

namespace queue::testing {

struct DiskOperation {
  // failed_sync: the kernel drops what it could not write, but goes on showing it to programs.
  enum class Kind { create, write, truncate, sync, sync_folder, remove, rename, failed_sync } kind = Kind::write;
  std::string path;  // relative to the disk's folder
  std::uint64_t offset = 0;
  std::string octets;  // rename: the new path
  bool by_sqlite = false;
};

class Disk {
 public:
  explicit Disk(std::string folder);
  ~Disk();
  Disk(const Disk&) = delete;

  Files& files() { return *files_; }
  const std::string& vfs() const { return vfs_name_; }  // for StoreSettings

  std::size_t size() const;  // of the log
  std::vector<DiskOperation> log() const;

  // Asked before each operation; not 0: it is not done and fails with this errno. Any thread.
  using Fault = std::function<int(const DiskOperation&, std::size_t index)>;
  void set_fault(Fault fault);

  // --- called by the two recorders ---
  // errno, 0: go on. What goes on is in the log.
  int before(DiskOperation operation);
  std::string relative(const std::string& path) const;

 private:
  const std::string folder_;
  std::string vfs_name_;
  mutable std::mutex mutex_;
  std::vector<DiskOperation> log_;
  std::size_t asked_ = 0;
  Fault fault_;
  struct Vfs;
  std::unique_ptr<Vfs> vfs_;
  std::unique_ptr<Files> files_;
};

// What of the operations that were not synced is on the disk after the power cut.
enum class Survivors {
  all,   // as if the process alone had been killed
  none,  // only what was synced
  all_but_one,
  some,  // any
  torn,  // any, and one of the writes is there in part
};

// Makes in `folder`, which is empty, what the first `count` operations of the log may have left.
void replay(const std::vector<DiskOperation>& log, std::size_t count, Survivors survivors, core::Random& random,
            const std::string& folder);

}  // namespace queue::testing
