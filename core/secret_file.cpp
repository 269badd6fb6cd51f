#include "core/secret_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace core {
namespace {

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  bool open() const { return fd_ >= 0; }

 private:
  int fd_;
};

std::string reason(int error) {
  return Error(error, boost::system::system_category()).message();
}

// "dir/name" -> {"dir", "name"}; no slash: the current folder.
std::pair<std::string, std::string> split_path(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

bool trusted_owner(uid_t owner, const SecretUser& user) {
  return owner == 0 || owner == user.uid || owner == ::geteuid();
}

// Who may write into the folder may replace the key. A sticky folder (/tmp) only lets owners replace their files.
std::string judge_folder(const struct stat& st, const SecretUser& user) {
  if (!trusted_owner(st.st_uid, user)) {
    return fmt::format("its folder belongs to uid {}; it must belong to root or to the user of the daemon", st.st_uid);
  }
  const bool sticky = (st.st_mode & S_ISVTX) != 0;
  if ((st.st_mode & S_IWOTH) != 0 && !sticky) return "anybody may write to its folder; chmod o-w";
  const bool own_group = st.st_gid == 0 || st.st_gid == user.gid || st.st_gid == ::getegid();
  if ((st.st_mode & S_IWGRP) != 0 && !own_group && !sticky) {
    return fmt::format("group {} may write to its folder; chmod g-w", st.st_gid);
  }
  return {};
}

std::string judge_file(const struct stat& st, const SecretUser& user) {
  if (!S_ISREG(st.st_mode)) return "not a plain file";
  if (!trusted_owner(st.st_uid, user)) {
    return fmt::format("belongs to uid {}; it must belong to root or to the user of the daemon", st.st_uid);
  }
  const auto mode = st.st_mode & 07777U;
  if (mode == 0640 && st.st_gid != user.gid) {
    return fmt::format("mode 0640 with group {}; 0640 needs the group of the daemon's user ({}), or use 0600",
                       st.st_gid, user.gid);
  }
  if (mode != 0600 && mode != 0400 && mode != 0640) {
    return fmt::format("mode {:04o}; it must be 0600 or 0400, or 0640 with the group of the daemon's user", mode);
  }
  if (st.st_size > static_cast<off_t>(kMaxSecretFile)) return fmt::format("larger than {} octets", kMaxSecretFile);
  return {};
}

}  // namespace

void throw_exception_from_error(const Problem& problem, const boost::source_location&) {
  throw std::runtime_error(problem.text);
}

void wipe(std::string& text) noexcept {
  // The capacity too: what a short string left behind in a long one's buffer, and the inline buffer after a move.
  text.resize(text.capacity());
  ::explicit_bzero(text.data(), text.size());
  text.clear();
}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    wipe(text_);
    text_ = std::move(other.text_);
    wipe(other.text_);
  }
  return *this;
}

Explained<Secret> read_secret_file(const std::string& path, const SecretUser& user) {
  const auto wrong = [&path](std::string_view what) { return Problem{fmt::format("{}: {}", path, what)}; };
  const auto [folder, name] = split_path(path);
  const Fd dir(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat st{};
  if (!dir.open() || ::fstat(dir.get(), &st) != 0) return wrong(reason(errno));
  if (const auto bad = judge_folder(st, user); !bad.empty()) return wrong(bad);

  // O_NONBLOCK: a FIFO in the place of a key must not hang the start.
  const Fd file(::openat(dir.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.open()) {
    return wrong(errno == ELOOP ? "is a symbolic link; secrets must be plain files" : reason(errno));
  }
  if (::fstat(file.get(), &st) != 0) return wrong(reason(errno));
  if (const auto bad = judge_file(st, user); !bad.empty()) return wrong(bad);

  std::string content(kMaxSecretFile + 1, '\0');
  std::size_t have = 0;
  while (have < content.size()) {
    const auto n = ::read(file.get(), content.data() + have, content.size() - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error = errno;
      wipe(content);
      return wrong(reason(error));
    }
    if (n == 0) break;
    have += static_cast<std::size_t>(n);
  }
  if (have > kMaxSecretFile) {
    wipe(content);
    return wrong(fmt::format("larger than {} octets", kMaxSecretFile));
  }
  std::string exact(content, 0, have);
  wipe(content);
  return Secret(std::move(exact));
}

Error create_secret_file(const std::string& path, std::string_view content) {
  const auto last_error = [] { return Error(errno, boost::system::system_category()); };
  const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.open()) return last_error();
  // A strict umask may have taken bits away; 0600 is what the reader asks for.
  bool ok = ::fchmod(file.get(), 0600) == 0;
  while (ok && !content.empty()) {
    const auto n = ::write(file.get(), content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    ok = n > 0;
    if (ok) content.remove_prefix(static_cast<std::size_t>(n));
  }
  if (ok && ::fsync(file.get()) == 0) return {};
  const auto error = last_error();
  ::unlink(path.c_str());
  return error;
}

}  // namespace core
