#include "disk.hpp"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>

namespace queue::testing {
namespace {

using Kind = DiskOperation::Kind;

core::Error error_of(int code) {
  return {code, boost::system::system_category()};
}

// --- queue::Files ---

class RecordedFile final : public File {
 public:
  RecordedFile(Disk& disk, std::string path, std::unique_ptr<File> file)
      : disk_(disk), path_(std::move(path)), file_(std::move(file)) {}
  core::Error write(std::uint64_t offset, std::string_view octets) override {
    if (const int code = disk_.before({Kind::write, path_, offset, std::string(octets), false})) return error_of(code);
    return file_->write(offset, octets);
  }
  core::Result<std::size_t> read(std::uint64_t offset, char* to, std::size_t size) override {
    return file_->read(offset, to, size);
  }
  core::Result<std::uint64_t> size() override { return file_->size(); }
  core::Error sync() override {
    if (const int code = disk_.before({Kind::sync, path_, 0, {}, false})) return error_of(code);
    return file_->sync();
  }

 private:
  Disk& disk_;
  std::string path_;
  std::unique_ptr<File> file_;
};

class RecordedFiles final : public Files {
 public:
  explicit RecordedFiles(Disk& disk) : disk_(disk) {}
  core::Result<std::unique_ptr<File>> create(const std::string& path) override {
    if (!real_.look_for(path)) return error_of(EEXIST);
    if (const int code = disk_.before({Kind::create, disk_.relative(path), 0, {}, false})) return error_of(code);
    auto file = real_.create(path);
    if (!file) return file.error();
    return std::unique_ptr<File>(std::make_unique<RecordedFile>(disk_, disk_.relative(path), std::move(*file)));
  }
  core::Result<std::unique_ptr<File>> open(const std::string& path) override { return real_.open(path); }
  core::Error remove(const std::string& path) override {
    if (const auto error = real_.look_for(path)) return error;
    if (const int code = disk_.before({Kind::remove, disk_.relative(path), 0, {}, false})) return error_of(code);
    return real_.remove(path);
  }
  core::Error rename(const std::string& from, const std::string& to) override {
    const auto code = disk_.before({Kind::rename, disk_.relative(from), 0, disk_.relative(to), false});
    return code != 0 ? error_of(code) : real_.rename(from, to);
  }
  core::Error sync_folder(const std::string& folder) override {
    if (const int code = disk_.before({Kind::sync_folder, disk_.relative(folder), 0, {}, false})) return error_of(code);
    return real_.sync_folder(folder);
  }
  core::Error make_folder(const std::string& folder) override {
    if (!real_.look_for(folder)) return {};
    // A folder is a name like any other.
    if (const int code = disk_.before({Kind::create, disk_.relative(folder) + "/", 0, {}, false}))
      return error_of(code);
    return real_.make_folder(folder);
  }
  core::Result<std::vector<std::string>> list(const std::string& folder) override { return real_.list(folder); }
  core::Error look_for(const std::string& path) override { return real_.look_for(path); }
  core::Result<std::uint64_t> free_octets(const std::string& folder) override { return real_.free_octets(folder); }
  core::Error check_folder(const std::string& folder) override { return real_.check_folder(folder); }
  core::Result<std::unique_ptr<Lock>> lock(const std::string& path) override { return real_.lock(path); }

 private:
  Disk& disk_;
  Files& real_ = posix_files();
};

// --- the VFS ---

struct ShimFile {
  sqlite3_file base;
  Disk* disk;
  int* last_errno;
  std::string* path;
  sqlite3_file* real;  // right behind this
};
ShimFile& shim(sqlite3_file* file) {
  return *reinterpret_cast<ShimFile*>(file);
}

// What SQLite is told, and what sqlite3_system_errno() will say.
int failed(ShimFile& file, int code, int otherwise) {
  errno = *file.last_errno = code;
  return code == ENOSPC && otherwise == SQLITE_IOERR_WRITE ? SQLITE_FULL : otherwise;
}

int shim_close(sqlite3_file* f) {
  auto& file = shim(f);
  delete std::exchange(file.path, nullptr);
  return file.real->pMethods == nullptr ? SQLITE_OK : file.real->pMethods->xClose(file.real);
}
int shim_read(sqlite3_file* f, void* to, int size, sqlite3_int64 offset) {
  return shim(f).real->pMethods->xRead(shim(f).real, to, size, offset);
}
int shim_write(sqlite3_file* f, const void* from, int size, sqlite3_int64 offset) {
  auto& file = shim(f);
  DiskOperation operation{Kind::write, *file.path, static_cast<std::uint64_t>(offset),
                          std::string(static_cast<const char*>(from), static_cast<std::size_t>(size)), true};
  if (const int code = file.disk->before(std::move(operation))) return failed(file, code, SQLITE_IOERR_WRITE);
  return file.real->pMethods->xWrite(file.real, from, size, offset);
}
int shim_truncate(sqlite3_file* f, sqlite3_int64 size) {
  auto& file = shim(f);
  DiskOperation operation{Kind::truncate, *file.path, static_cast<std::uint64_t>(size), {}, true};
  if (const int code = file.disk->before(std::move(operation))) return failed(file, code, SQLITE_IOERR_TRUNCATE);
  return file.real->pMethods->xTruncate(file.real, size);
}
int shim_sync(sqlite3_file* f, int flags) {
  auto& file = shim(f);
  if (const int code = file.disk->before({Kind::sync, *file.path, 0, {}, true})) {
    return failed(file, code, SQLITE_IOERR_FSYNC);
  }
  return file.real->pMethods->xSync(file.real, flags);
}
int shim_size(sqlite3_file* f, sqlite3_int64* size) {
  return shim(f).real->pMethods->xFileSize(shim(f).real, size);
}
int shim_lock(sqlite3_file* f, int lock) {
  return shim(f).real->pMethods->xLock(shim(f).real, lock);
}
int shim_unlock(sqlite3_file* f, int lock) {
  return shim(f).real->pMethods->xUnlock(shim(f).real, lock);
}
int shim_check_lock(sqlite3_file* f, int* out) {
  return shim(f).real->pMethods->xCheckReservedLock(shim(f).real, out);
}
int shim_control(sqlite3_file* f, int operation, void* argument) {
  return shim(f).real->pMethods->xFileControl(shim(f).real, operation, argument);
}
int shim_sector(sqlite3_file* f) {
  return shim(f).real->pMethods->xSectorSize(shim(f).real);
}
int shim_device(sqlite3_file* f) {
  return shim(f).real->pMethods->xDeviceCharacteristics(shim(f).real);
}
// The wal-index is rebuilt from the log after a power cut: it is not recorded.
int shim_shm_map(sqlite3_file* f, int page, int size, int extend, void volatile** out) {
  return shim(f).real->pMethods->xShmMap(shim(f).real, page, size, extend, out);
}
int shim_shm_lock(sqlite3_file* f, int offset, int n, int flags) {
  return shim(f).real->pMethods->xShmLock(shim(f).real, offset, n, flags);
}
void shim_shm_barrier(sqlite3_file* f) {
  shim(f).real->pMethods->xShmBarrier(shim(f).real);
}
int shim_shm_unmap(sqlite3_file* f, int remove) {
  return shim(f).real->pMethods->xShmUnmap(shim(f).real, remove);
}

const sqlite3_io_methods kMethods{
    2,           shim_close,   shim_read,     shim_write,       shim_truncate,  shim_sync,
    shim_size,   shim_lock,    shim_unlock,   shim_check_lock,  shim_control,   shim_sector,
    shim_device, shim_shm_map, shim_shm_lock, shim_shm_barrier, shim_shm_unmap, nullptr,
    nullptr,
};

}  // namespace

struct Disk::Vfs {
  sqlite3_vfs vfs{};
  sqlite3_vfs* real = nullptr;
  Disk* disk = nullptr;
  int last_errno_plain = 0;

  static Vfs& of(sqlite3_vfs* vfs) { return *static_cast<Vfs*>(vfs->pAppData); }

  static int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* f, int flags, int* out) {
    auto& self = of(vfs);
    auto& file = shim(f);
    file.base.pMethods = nullptr;
    file.disk = self.disk;
    file.last_errno = &self.last_errno_plain;
    file.real = reinterpret_cast<sqlite3_file*>(reinterpret_cast<char*>(f) + sizeof(ShimFile));
    file.real->pMethods = nullptr;
    const std::string path = name == nullptr ? "" : self.disk->relative(name);
    if (name != nullptr && (flags & SQLITE_OPEN_CREATE) != 0 && posix_files().look_for(name)) {
      if (const int code = self.disk->before({Kind::create, path, 0, {}, true})) {
        self.last_errno_plain = code;
        return SQLITE_CANTOPEN;
      }
    }
    const int result = self.real->xOpen(self.real, name, file.real, flags, out);
    if (result != SQLITE_OK) return result;
    file.path = new std::string(path);
    file.base.pMethods = &kMethods;
    return SQLITE_OK;
  }
  static int remove(sqlite3_vfs* vfs, const char* name, int sync) {
    auto& self = of(vfs);
    if (!posix_files().look_for(name)) {
      if (const int code = self.disk->before({Kind::remove, self.disk->relative(name), 0, {}, true})) {
        self.last_errno_plain = code;
        return SQLITE_IOERR_DELETE;
      }
    }
    return self.real->xDelete(self.real, name, sync);
  }
  static int access(sqlite3_vfs* vfs, const char* name, int flags, int* out) {
    return of(vfs).real->xAccess(of(vfs).real, name, flags, out);
  }
  static int full_name(sqlite3_vfs* vfs, const char* name, int size, char* out) {
    return of(vfs).real->xFullPathname(of(vfs).real, name, size, out);
  }
  static int last_error(sqlite3_vfs* vfs, int, char*) { return of(vfs).last_errno_plain; }
};

Disk::Disk(std::string folder) : folder_(std::move(folder)) {
  static std::atomic<int> number{0};
  vfs_name_ = "onward-test-" + std::to_string(++number);
  vfs_ = std::make_unique<Vfs>();
  vfs_->disk = this;
  vfs_->real = sqlite3_vfs_find(nullptr);
  vfs_->vfs = *vfs_->real;
  auto& vfs = vfs_->vfs;
  vfs.zName = vfs_name_.c_str();
  vfs.pNext = nullptr;
  vfs.pAppData = vfs_.get();
  vfs.szOsFile = static_cast<int>(sizeof(ShimFile)) + vfs_->real->szOsFile;
  vfs.xOpen = Vfs::open;
  vfs.xDelete = Vfs::remove;
  vfs.xAccess = Vfs::access;
  vfs.xFullPathname = Vfs::full_name;
  vfs.xGetLastError = Vfs::last_error;
  if (sqlite3_vfs_register(&vfs, 0) != SQLITE_OK) throw std::runtime_error("sqlite3_vfs_register");
  files_ = std::make_unique<RecordedFiles>(*this);
}

Disk::~Disk() {
  sqlite3_vfs_unregister(&vfs_->vfs);
}

std::size_t Disk::size() const {
  const std::scoped_lock lock(mutex_);
  return log_.size();
}

std::vector<DiskOperation> Disk::log() const {
  const std::scoped_lock lock(mutex_);
  return log_;
}

void Disk::set_fault(Fault fault) {
  const std::scoped_lock lock(mutex_);
  fault_ = std::move(fault);
  asked_ = 0;
}

int Disk::before(DiskOperation operation) {
  const std::scoped_lock lock(mutex_);
  if (fault_) {
    if (const int code = fault_(operation, asked_++)) {
      if (operation.kind == Kind::sync) log_.push_back({Kind::failed_sync, operation.path, 0, {}, operation.by_sqlite});
      return code;
    }
  }
  log_.push_back(std::move(operation));
  return 0;
}

std::string Disk::relative(const std::string& path) const {
  return path.starts_with(folder_) ? path.substr(std::min(folder_.size() + 1, path.size())) : path;
}

// --- replay ---

namespace {

// A file apart from its name.
struct Inode {
  std::string synced;                       // what is on the disk for sure
  std::vector<const DiskOperation*> since;  // writes and truncates that came after
  bool folder = false;
};

void apply(std::string& content, const DiskOperation& operation, std::optional<std::size_t> only = std::nullopt) {
  if (operation.kind == Kind::truncate) {
    content.resize(std::min<std::size_t>(content.size(), operation.offset));
    return;
  }
  const auto octets = std::string_view(operation.octets).substr(0, only.value_or(operation.octets.size()));
  if (content.size() < operation.offset + octets.size()) content.resize(operation.offset + octets.size(), '\0');
  content.replace(operation.offset, octets.size(), octets);
}

std::string parent(const std::string& path) {
  const auto trimmed = path.ends_with('/') ? path.substr(0, path.size() - 1) : path;
  const auto slash = trimmed.rfind('/');
  return slash == std::string::npos ? "" : trimmed.substr(0, slash);
}

class Replay {
 public:
  Replay(Survivors survivors, core::Random& random) : survivors_(survivors), random_(random) {}

  void take(const DiskOperation& operation) {
    switch (operation.kind) {
      case Kind::create: {
        auto inode = std::make_shared<Inode>();
        inode->folder = operation.path.ends_with('/');
        names_[operation.path] = inode;
        change(operation.path, inode);
        break;
      }
      case Kind::remove:
        names_.erase(operation.path);
        change(operation.path, nullptr);
        break;
      case Kind::rename: {
        const auto inode = names_[operation.path];
        names_.erase(operation.path);
        names_[operation.octets] = inode;
        change(operation.path, nullptr);
        change(operation.octets, inode);
        break;
      }
      case Kind::write:
      case Kind::truncate:
        inode_of(operation.path).since.push_back(&operation);
        break;
      case Kind::sync: {
        auto& inode = inode_of(operation.path);
        for (const auto* const write : inode.since) apply(inode.synced, *write);
        inode.since.clear();
        break;
      }
      case Kind::failed_sync:
        inode_of(operation.path).since.clear();
        break;
      case Kind::sync_folder:
        std::erase_if(changes_, [&](const Change& change) {
          if (parent(change.path) != operation.path) return false;
          settle(synced_names_, change);
          return true;
        });
        break;
    }
  }

  void write_to(const std::string& folder) {
    // Names that were not synced: a journal keeps their order, so that any first part of them may be there.
    auto names = synced_names_;
    const auto kept = survivors_ == Survivors::none  ? 0
                      : survivors_ == Survivors::all ? changes_.size()
                                                     : static_cast<std::size_t>(random_.below(changes_.size() + 1));
    for (std::size_t i = 0; i < kept; ++i) settle(names, changes_[i]);
    choose(names);
    for (const auto& [path, inode] : names) {
      if (inode->folder) std::filesystem::create_directories(folder + "/" + path);
    }
    for (const auto& [path, inode] : names) {
      if (inode->folder) continue;
      const auto full = folder + "/" + path;
      std::ofstream(full, std::ios::binary) << content_of(*inode);
      ::chmod(full.c_str(), 0600);
    }
  }

 private:
  struct Change {
    std::string path;
    std::shared_ptr<Inode> inode;  // null: removed
  };
  using Names = std::map<std::string, std::shared_ptr<Inode>>;

  Inode& inode_of(const std::string& path) {
    auto& inode = names_[path];
    if (!inode) inode = std::make_shared<Inode>();
    return *inode;
  }
  void change(const std::string& path, std::shared_ptr<Inode> inode) { changes_.push_back({path, std::move(inode)}); }
  static void settle(Names& names, const Change& change) {
    if (change.inode) {
      names[change.path] = change.inode;
    } else {
      names.erase(change.path);
    }
  }

  // Which of the writes that were not synced are lost, over all files.
  void choose(const Names& names) {
    std::vector<const DiskOperation*> open;
    for (const auto& [path, inode] : names) open.insert(open.end(), inode->since.begin(), inode->since.end());
    if (open.empty()) return;
    const auto any = [&] { return open[static_cast<std::size_t>(random_.below(open.size()))]; };
    if (survivors_ == Survivors::all_but_one) lost_.insert(any());
    if (survivors_ == Survivors::torn) torn_ = any();
    if (survivors_ == Survivors::some || survivors_ == Survivors::torn) {
      for (const auto* const operation : open) {
        if (random_.below(2) == 0) lost_.insert(operation);
      }
    }
    if (survivors_ == Survivors::none) lost_.insert(open.begin(), open.end());
    lost_.erase(torn_);
  }

  std::string content_of(const Inode& inode) {
    auto content = inode.synced;
    for (const auto* const operation : inode.since) {
      if (lost_.contains(operation)) continue;
      std::optional<std::size_t> only;
      // Sectors of 512 octets are written whole.
      if (operation == torn_) only = static_cast<std::size_t>(random_.below(operation->octets.size() / 512 + 1)) * 512;
      apply(content, *operation, only);
    }
    return content;
  }

  Survivors survivors_;
  core::Random& random_;
  Names names_, synced_names_;
  std::vector<Change> changes_;
  std::set<const DiskOperation*> lost_;
  const DiskOperation* torn_ = nullptr;
};

}  // namespace

void replay(const std::vector<DiskOperation>& log, std::size_t count, Survivors survivors, core::Random& random,
            const std::string& folder) {
  Replay replay(survivors, random);
  for (std::size_t i = 0; i < count; ++i) replay.take(log[i]);
  replay.write_to(folder);
}

}  // namespace queue::testing
