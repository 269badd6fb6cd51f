#include "net/spool.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <cstdlib>
#include <exception>
#include <utility>

namespace net {
namespace {

// The descriptor. Shared by the SpillFile and a job on its way, so that a session that is destroyed meanwhile cannot
// close a descriptor a thread writes to.
class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  File(const File&) = delete;
  ~File() { ::close(fd_); }
  int fd() const { return fd_; }

 private:
  int fd_;
};

class PosixSpillFile final : public mail::SpillFile {
 public:
  explicit PosixSpillFile(std::shared_ptr<File> file) : file_(std::move(file)) {}
  const std::shared_ptr<File>& file() const { return file_; }

 private:
  std::shared_ptr<File> file_;
};

std::shared_ptr<File> make_file(const std::string& folder) {
  int fd = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) {  // not every file system has O_TMPFILE
    std::string name = folder + "/spill-XXXXXX";
    fd = ::mkostemp(name.data(), O_CLOEXEC);
    if (fd >= 0) ::unlink(name.c_str());
  }
  return fd < 0 ? nullptr : std::make_shared<File>(fd);
}

bool write_all(int fd, std::string_view octets, std::uint64_t offset) {
  while (!octets.empty()) {
    const auto n = ::pwrite(fd, octets.data(), octets.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    octets.remove_prefix(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return true;
}

using FileResult = core::Result<std::shared_ptr<File>>;

// The two jobs run on the pool, block there, and own all they use.
Awaitable<FileResult> append_job(std::shared_ptr<File> file, std::string folder, std::uint64_t offset,
                                 std::string octets) {
  if (!file) file = make_file(folder);
  if (!file) co_return core::Errc::io;
  if (!write_all(file->fd(), octets, offset)) {
    // Disk full, perhaps: what was written is given back at once. Should that fail too, the next append writes over it.
    static_cast<void>(::ftruncate(file->fd(), static_cast<off_t>(offset)) == 0);
    co_return core::Errc::io;
  }
  co_return file;
}

Awaitable<core::Result<std::string>> read_job(std::shared_ptr<File> file, std::uint64_t offset, std::size_t length) {
  std::string octets(length, '\0');
  std::size_t got = 0;
  while (got < length) {
    const auto n = ::pread(file->fd(), octets.data() + got, length - got, static_cast<off_t>(offset + got));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) co_return core::Errc::io;
    got += static_cast<std::size_t>(n);
  }
  co_return octets;
}

constexpr auto kAwait = boost::asio::as_tuple(boost::asio::use_awaitable);

}  // namespace

struct Spool::Impl {
  Impl(std::string f, unsigned threads) : folder(std::move(f)), pool(std::max(threads, 1U)) {}
  const std::string folder;
  boost::asio::thread_pool pool;
};

Spool::Spool(std::string folder, unsigned threads) : impl_(std::make_unique<Impl>(std::move(folder), threads)) {}

Spool::~Spool() {
  impl_->pool.join();
}

Awaitable<core::Result<void>> Spool::append(mail::Content& content, std::string octets) {
  if (octets.empty()) co_return core::Result<void>();
  std::shared_ptr<File> file;
  if (content.file) file = static_cast<const PosixSpillFile&>(*content.file).file();
  const bool made = !file;
  const std::uint64_t length = octets.size();
  auto job = append_job(std::move(file), impl_->folder, content.file_size, std::move(octets));
  auto [exception, result] = co_await boost::asio::co_spawn(impl_->pool, std::move(job), kAwait);
  if (exception) co_return core::Errc::io;
  if (!result) co_return result.error();
  if (made) content.file = std::make_unique<PosixSpillFile>(std::move(*result));
  content.file_size += length;
  co_return core::Result<void>();
}

Awaitable<core::Result<std::string>> Spool::read(const mail::Content& content, std::uint64_t offset,
                                                 std::size_t length) {
  if (offset >= content.file_size || length == 0) co_return std::string();
  if (!content.file) co_return core::Errc::io;
  const auto most = static_cast<std::size_t>(std::min<std::uint64_t>(length, content.file_size - offset));
  auto job = read_job(static_cast<const PosixSpillFile&>(*content.file).file(), offset, most);
  auto [exception, result] = co_await boost::asio::co_spawn(impl_->pool, std::move(job), kAwait);
  if (exception) co_return core::Errc::io;
  co_return std::move(result);
}

}  // namespace net
