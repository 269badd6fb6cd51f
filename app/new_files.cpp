#include "app/new_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "core/error.hpp"

namespace app {
namespace {

std::string reason(const std::string& path, int error) {
  return fmt::format("{}: {}", path, core::Error(error, boost::system::system_category()).message());
}

}  // namespace

NewFiles::~NewFiles() {
  for (auto it = made_.rbegin(); it != made_.rend(); ++it) {
    std::error_code ignored;
    std::filesystem::remove(*it, ignored);  // a folder only while it is empty
  }
}

std::string NewFiles::give(const std::string& path, Owner owner) {
  if (owner == Owner::us || ::geteuid() != 0) return {};
  return ::chown(path.c_str(), owner_.uid, owner_.gid) == 0 ? std::string() : reason(path, errno);
}

std::string NewFiles::folder(const std::string& path, mode_t mode, Owner owner) {
  namespace fs = std::filesystem;
  std::error_code failed;
  if (path.empty() || fs::is_directory(path, failed)) return {};
  const auto above = fs::path(path).parent_path().string();
  if (auto wrong = folder(above, 0755, Owner::us); !wrong.empty()) return wrong;
  if (::mkdir(path.c_str(), mode) != 0) return reason(path, errno);
  made_.push_back(path);
  if (::chmod(path.c_str(), mode) != 0) return reason(path, errno);  // whatever the umask is
  return give(path, owner);
}

std::string NewFiles::file(const std::string& path, std::string_view content, mode_t mode, Owner owner) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
  if (fd < 0) return reason(path, errno);
  made_.push_back(path);
  int error = ::fchmod(fd, mode) == 0 ? 0 : errno;
  while (error == 0 && !content.empty()) {
    const auto n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) error = errno;
    if (n > 0) content.remove_prefix(static_cast<std::size_t>(n));
  }
  if (error == 0 && ::fsync(fd) != 0) error = errno;
  if (::close(fd) != 0 && error == 0) error = errno;
  return error == 0 ? give(path, owner) : reason(path, error);
}

}  // namespace app
