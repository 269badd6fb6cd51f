#include "app/config_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "core/error.hpp"

namespace app {
namespace {

std::string reason(int error) {
  return core::Error(error, boost::system::system_category()).message();
}

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }
  int get() const { return fd_; }
  void reset() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

// What the child does: only calls that are safe between fork and exit. Writes one octet a path, '0' for readable.
[[noreturn]] void look_as(uid_t uid, gid_t gid, const std::vector<gid_t>& groups, const std::vector<std::string>& paths,
                          int out) {
  if (::setgroups(groups.size(), groups.data()) != 0 || ::setgid(gid) != 0 || ::setuid(uid) != 0) ::_exit(1);
  for (const auto& path : paths) {
    const char answer = ::access(path.c_str(), R_OK) == 0 ? '0' : '1';
    if (::write(out, &answer, 1) != 1) ::_exit(1);
  }
  ::_exit(0);
}

}  // namespace

std::string path_beside(const std::string& file, std::string_view path) {
  if (path.empty() || path.front() == '/') return std::string(path);
  const auto slash = file.rfind('/');
  return slash == std::string::npos ? std::string(path) : file.substr(0, slash + 1) + std::string(path);
}

core::Explained<std::string> read_file(const std::string& path, std::size_t most) {
  // O_NONBLOCK: a FIFO in the place of a file must not hang the start.
  const Fd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat st{};
  if (fd.get() < 0 || ::fstat(fd.get(), &st) != 0) return core::Problem{"cannot be read: " + reason(errno)};
  if (!S_ISREG(st.st_mode)) return core::Problem{"is no plain file"};
  if (static_cast<std::uint64_t>(st.st_size) > most)
    return core::Problem{fmt::format("is larger than {} octets", most)};
  std::string content(static_cast<std::size_t>(st.st_size), '\0');
  std::size_t have = 0;
  while (have < content.size()) {
    const auto n = ::read(fd.get(), content.data() + have, content.size() - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return core::Problem{"cannot be read: " + reason(errno)};
    if (n == 0) break;
    have += static_cast<std::size_t>(n);
  }
  content.resize(have);
  return core::Explained<std::string>(boost::system::in_place_value, std::move(content));
}

core::Explained<std::vector<std::string>> find_files(const std::string& pattern) {
  std::vector<std::string> found;
  if (pattern.find_first_of("*?[") == std::string::npos) {
    found.push_back(pattern);
    return found;
  }
  const auto folder = std::filesystem::path(pattern).parent_path();
  std::error_code failed;
  if (!folder.empty() && folder.native().find_first_of("*?[") == std::string::npos &&
      !std::filesystem::is_directory(folder, failed)) {
    return core::Problem{fmt::format("there is no folder {}", folder.native())};
  }
  glob_t matches{};
  const int result = ::glob(pattern.c_str(), GLOB_ERR, nullptr, &matches);
  for (std::size_t i = 0; result == 0 && i < matches.gl_pathc; ++i) found.emplace_back(matches.gl_pathv[i]);
  ::globfree(&matches);
  if (result == GLOB_NOMATCH) return found;
  if (result != 0) return core::Problem{"a folder in it cannot be read: " + reason(errno)};
  if (found.size() > kMaxDomainFiles) return core::Problem{fmt::format("matches more than {} files", kMaxDomainFiles)};
  return found;
}

Account find_account(const std::string& name) {
  Account account{false, {::geteuid(), ::getegid()}};
  if (const passwd* entry = ::getpwnam(name.c_str())) account = {true, {entry->pw_uid, entry->pw_gid}};
  return account;
}

std::vector<std::string> unreadable_for(const std::string& user, const std::vector<std::string>& paths) {
  std::vector<std::string> bad;
  const auto account = find_account(user);
  int pipe_ends[2] = {-1, -1};
  if (!account.exists || account.ids.uid == 0 || ::geteuid() != 0 || ::pipe2(pipe_ends, O_CLOEXEC) != 0) return bad;
  const Fd in(pipe_ends[0]);
  Fd out(pipe_ends[1]);
  constexpr int kMostGroups = 256;
  std::vector<gid_t> groups(kMostGroups);
  int count = kMostGroups;
  if (::getgrouplist(user.c_str(), account.ids.gid, groups.data(), &count) < 0) count = kMostGroups;
  groups.resize(static_cast<std::size_t>(count));

  const pid_t child = ::fork();
  if (child == 0) look_as(account.ids.uid, account.ids.gid, groups, paths, out.get());
  out.reset();
  if (child < 0) return bad;
  for (const auto& path : paths) {
    char answer = '1';
    ssize_t n = 0;
    do {
      n = ::read(in.get(), &answer, 1);
    } while (n < 0 && errno == EINTR);
    if (n != 1 || answer != '0') bad.push_back(path);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return bad;
}

}  // namespace app
