#include "srs/token_store.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>

namespace srs {
namespace {

constexpr std::size_t kMaxToken = 64;
constexpr std::size_t kMaxAddress = 320;
constexpr std::size_t kMaxLine = kMaxToken + 1 + kMaxAddress + 1;
constexpr std::size_t kBlock = 256 * 1024;

core::Error last_error() {
  return {errno, boost::system::system_category()};
}

bool is_control(char c) {
  return static_cast<unsigned char>(c) < ' ' || c == '\x7f';
}

bool is_entry(std::string_view token, std::string_view address) {
  return !token.empty() && token.size() <= kMaxToken && !address.empty() && address.size() <= kMaxAddress &&
         token.find(' ') == std::string_view::npos && std::none_of(token.begin(), token.end(), is_control) &&
         std::none_of(address.begin(), address.end(), is_control);
}

std::uint64_t hash_of(std::string_view token) {
  return std::hash<std::string_view>()(token);
}

core::Result<std::size_t> read_some(int fd, char* to, std::size_t size, std::uint64_t offset) {
  for (;;) {
    const auto n = ::pread(fd, to, size, static_cast<off_t>(offset));
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno != EINTR) return last_error();
  }
}

core::Error write_all(int fd, std::string_view octets, std::uint64_t offset) {
  while (!octets.empty()) {
    const auto n = ::pwrite(fd, octets.data(), octets.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return last_error();
    octets.remove_prefix(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return {};
}

}  // namespace

core::Result<std::unique_ptr<TokenFile>> TokenFile::open(std::string path, Access access, std::size_t bound) {
  const bool write = access == Access::read_write;
  const int flags = write ? O_RDWR | O_CREAT : O_RDONLY;
  const int fd = ::open(path.c_str(), flags | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return last_error();
  std::unique_ptr<TokenFile> file(new TokenFile(std::move(path), fd, std::max<std::size_t>(bound, 1)));
  if (write && ::flock(fd, LOCK_EX | LOCK_NB) != 0) return last_error();
  if (const auto error = file->load(access)) return error;
  return file;
}

TokenFile::~TokenFile() {
  ::close(fd_);
}

std::size_t TokenFile::lines() const {
  const std::scoped_lock lock(mutex_);
  return static_cast<std::size_t>(end_line_ - begin_line_);
}

core::Error TokenFile::load(Access access) {
  std::string block;
  std::uint64_t at = 0;
  for (;;) {
    const auto kept = block.size();
    block.resize(kept + kBlock);
    const auto n = read_some(fd_, block.data() + kept, kBlock, at);
    if (!n) return n.error();
    block.resize(kept + *n);
    if (*n == 0) break;
    at += *n;
    const auto end = block.rfind('\n') + 1;  // npos + 1 is 0
    load_lines(std::string_view(block).substr(0, end));
    block.erase(0, end);
    // A line without end is no line of ours: it is passed over like any other bad line, piece by piece.
    if (block.size() > kMaxLine) {
      end_offset_ += block.size();
      block.clear();
    }
  }
  compact_at_ = begin_line_ + 2 * bound_;
  if (access == Access::read_only) return {};
  // The torn rest would otherwise become the head of the next line.
  if (at > end_offset_ && ::ftruncate(fd_, static_cast<off_t>(end_offset_)) != 0) return last_error();
  return end_line_ > compact_at_ ? compact() : core::Error();
}

void TokenFile::load_lines(std::string_view text) {
  while (!text.empty()) {
    const auto size = text.find('\n') + 1;
    const auto line = text.substr(0, size - 1);
    const auto blank = std::min(line.find(' '), line.size());
    const auto token = line.substr(0, blank);
    if (is_entry(token, line.substr(std::min(blank + 1, line.size())))) {
      index_.insert_or_assign(hash_of(token), Place{end_offset_, end_line_});
    }
    end_offset_ += size;
    ++end_line_;
    text.remove_prefix(size);
  }
}

core::Error TokenFile::append(std::string_view line) {
  const auto end = end_offset_ - begin_offset_;
  if (const auto error = write_all(fd_, line, end)) {
    // What was half written (a full disk) must not stand before the next line. If even this fails, the next write
    // covers it.
    (void)!::ftruncate(fd_, static_cast<off_t>(end));
    return error;
  }
  end_offset_ += line.size();
  ++end_line_;
  return {};
}

core::Error TokenFile::put(std::string_view token, std::string_view address) {
  if (!is_entry(token, address)) return core::Errc::malformed;
  std::string line(token);
  line += ' ';
  line += address;
  line += '\n';

  const std::scoped_lock lock(mutex_);
  const auto known = index_.find(hash_of(token));
  // Those of the younger half are safe for at least bound_ / 2 new ones.
  if (known != index_.end() && end_line_ - known->second.line <= bound_ / 2) return {};
  if (end_line_ >= compact_at_) {
    // A full disk may keep the old lines for a while, but not for ever.
    if (const auto error = compact()) {
      if (end_line_ - begin_line_ >= 3 * bound_) return error;
      compact_at_ = end_line_ + bound_ / 8 + 1;
    }
  }
  const Place place{end_offset_, end_line_};
  if (const auto error = append(line)) return error;
  index_.insert_or_assign(hash_of(token), place);
  return {};
}

std::optional<std::string> TokenFile::find(std::string_view token) {
  const std::scoped_lock lock(mutex_);
  const auto known = index_.find(hash_of(token));
  if (known == index_.end()) return std::nullopt;
  std::array<char, kMaxLine> buffer;
  const auto n = read_some(fd_, buffer.data(), buffer.size(), known->second.offset - begin_offset_);
  if (!n) return std::nullopt;
  std::string_view line(buffer.data(), *n);
  line = line.substr(0, line.find('\n'));
  if (!line.starts_with(token) || line.size() <= token.size() || line[token.size()] != ' ') return std::nullopt;
  return std::string(line.substr(token.size() + 1));
}

// Copies the youngest bound_ lines to a new file and puts it in the place of the old one. No fsync: see the head of the
// header.
core::Error TokenFile::compact() {
  std::string block(kBlock, '\0');
  std::uint64_t skip = end_line_ - begin_line_ - std::min<std::uint64_t>(end_line_ - begin_line_, bound_);
  const std::uint64_t first_line = begin_line_ + skip;
  std::uint64_t from = 0;  // in the old file
  while (skip > 0) {
    const auto n = read_some(fd_, block.data(), block.size(), from);
    if (!n) return n.error();
    if (*n == 0) return core::Errc::io;
    std::size_t at = 0;
    while (skip > 0 && at < *n) {
      const auto end = std::string_view(block).substr(0, *n).find('\n', at);
      if (end == std::string_view::npos) {
        at = *n;
      } else {
        at = end + 1;
        --skip;
      }
    }
    from += at;
  }

  const auto new_path = path_ + ".new";
  ::unlink(new_path.c_str());
  const int fd = ::open(new_path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return last_error();
  core::Error error;
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) error = last_error();
  const auto size = end_offset_ - begin_offset_;
  for (std::uint64_t at = from; !error && at < size;) {
    const auto n = read_some(fd_, block.data(), std::min<std::uint64_t>(block.size(), size - at), at);
    if (!n || *n == 0) {
      error = n ? core::Error(core::Errc::io) : n.error();
      break;
    }
    error = write_all(fd, std::string_view(block).substr(0, *n), at - from);
    at += *n;
  }
  if (!error && ::rename(new_path.c_str(), path_.c_str()) != 0) error = last_error();
  if (error) {
    ::close(fd);
    ::unlink(new_path.c_str());
    return error;
  }
  ::close(fd_);
  fd_ = fd;
  begin_offset_ += from;
  begin_line_ = first_line;
  compact_at_ = begin_line_ + 2 * bound_;
  std::erase_if(index_, [this](const auto& entry) { return entry.second.offset < begin_offset_; });
  return {};
}

}  // namespace srs
