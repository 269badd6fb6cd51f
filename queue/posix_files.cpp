#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "queue/files.hpp"

namespace queue {
namespace {

core::Error last_error() {
  return {errno, boost::system::system_category()};
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

class PosixFile final : public File {
 public:
  explicit PosixFile(Descriptor descriptor) : descriptor_(std::move(descriptor)) {}

  core::Error write(std::uint64_t offset, std::string_view octets) override {
    while (!octets.empty()) {
      const auto n = ::pwrite(descriptor_.get(), octets.data(), octets.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return last_error();
      if (n == 0) return {ENOSPC, boost::system::system_category()};
      octets.remove_prefix(static_cast<std::size_t>(n));
      offset += static_cast<std::uint64_t>(n);
    }
    return {};
  }

  core::Result<std::size_t> read(std::uint64_t offset, char* to, std::size_t size) override {
    std::size_t got = 0;
    while (got < size) {
      const auto n = ::pread(descriptor_.get(), to + got, size - got, static_cast<off_t>(offset + got));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return last_error();
      if (n == 0) break;
      got += static_cast<std::size_t>(n);
    }
    return got;
  }

  core::Result<std::uint64_t> size() override {
    struct stat status{};
    if (::fstat(descriptor_.get(), &status) != 0) return last_error();
    return static_cast<std::uint64_t>(status.st_size);
  }

  core::Error sync() override { return ::fdatasync(descriptor_.get()) == 0 ? core::Error() : last_error(); }

 private:
  Descriptor descriptor_;
};

class PosixLock final : public Files::Lock {
 public:
  explicit PosixLock(Descriptor descriptor) : descriptor_(std::move(descriptor)) {}

 private:
  Descriptor descriptor_;  // the lock goes with it
};

core::Result<std::unique_ptr<File>> open_file(const std::string& path, int flags) {
  Descriptor descriptor(::open(path.c_str(), flags | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (descriptor.get() < 0) return last_error();
  return std::unique_ptr<File>(std::make_unique<PosixFile>(std::move(descriptor)));
}

class PosixFiles final : public Files {
 public:
  core::Result<std::unique_ptr<File>> create(const std::string& path) override {
    return open_file(path, O_RDWR | O_CREAT | O_EXCL);
  }
  core::Result<std::unique_ptr<File>> open(const std::string& path) override { return open_file(path, O_RDONLY); }
  core::Error remove(const std::string& path) override {
    return ::unlink(path.c_str()) == 0 ? core::Error() : last_error();
  }
  core::Error rename(const std::string& from, const std::string& to) override {
    return ::rename(from.c_str(), to.c_str()) == 0 ? core::Error() : last_error();
  }

  core::Error sync_folder(const std::string& folder) override {
    const Descriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (descriptor.get() < 0) return last_error();
    return ::fsync(descriptor.get()) == 0 ? core::Error() : last_error();
  }

  core::Error make_folder(const std::string& folder) override {
    if (::mkdir(folder.c_str(), 0700) == 0 || errno == EEXIST) return {};
    return last_error();
  }

  core::Result<std::vector<std::string>> list(const std::string& folder) override {
    DIR* const directory = ::opendir(folder.c_str());
    if (directory == nullptr) return last_error();
    std::vector<std::string> names;
    for (;;) {
      errno = 0;
      const dirent* const entry = ::readdir(directory);
      if (entry == nullptr) break;
      const std::string_view name = entry->d_name;
      if (name == "." || name == ".." || (entry->d_type != DT_REG && entry->d_type != DT_UNKNOWN)) continue;
      names.emplace_back(name);
    }
    const auto error = last_error();
    ::closedir(directory);
    if (error.value() != 0) return error;
    return names;
  }

  core::Error look_for(const std::string& path) override {
    struct stat status{};
    return ::lstat(path.c_str(), &status) == 0 ? core::Error() : last_error();
  }

  core::Result<std::uint64_t> free_octets(const std::string& folder) override {
    struct statvfs status{};
    if (::statvfs(folder.c_str(), &status) != 0) return last_error();
    // A file system that is out of inodes has no room for a file either (DU-06); some know no inodes at all.
    if (status.f_files > 0 && status.f_favail == 0) return std::uint64_t{0};
    return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
  }

  core::Error check_folder(const std::string& folder) override {
    struct stat status{};
    if (::stat(folder.c_str(), &status) != 0) return last_error();
    const auto not_permitted = core::Error(EPERM, boost::system::system_category());
    if (!S_ISDIR(status.st_mode)) return {ENOTDIR, boost::system::system_category()};
    if (status.st_uid != ::geteuid() && ::geteuid() != 0) return not_permitted;
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) return not_permitted;
    return ::access(folder.c_str(), R_OK | W_OK | X_OK) == 0 ? core::Error() : last_error();
  }

  core::Result<std::unique_ptr<Lock>> lock(const std::string& path) override {
    Descriptor descriptor(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (descriptor.get() < 0) return last_error();
    if (::flock(descriptor.get(), LOCK_EX | LOCK_NB) != 0) return last_error();
    return std::unique_ptr<Lock>(std::make_unique<PosixLock>(std::move(descriptor)));
  }
};

}  // namespace

Files& posix_files() {
  static PosixFiles files;
  return files;
}

}  // namespace queue
