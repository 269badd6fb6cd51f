#include "app/stderr_sink.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

namespace app {
namespace {

void write_all(int fd, std::string_view octets) {
  while (!octets.empty()) {
    const auto n = ::write(fd, octets.data(), octets.size());
    if (n > 0) {
      octets.remove_prefix(static_cast<std::size_t>(n));
    } else if (n < 0 && errno == EAGAIN) {
      pollfd wait{fd, POLLOUT, 0};
      ::poll(&wait, 1, 1000);
    } else if (n < 0 && errno != EINTR) {
      return;  // nobody reads the log any more; mail goes on
    }
  }
}

}  // namespace

StderrSink::StderrSink(int fd) : fd_(fd), thread_([this] { run(); }) {}

void StderrSink::finish() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  filled_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void StderrSink::write(std::string_view line) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (buffer_.size() + line.size() > kMost) {
      ++dropped_;
      ++dropped_unsaid_;
      return;
    }
    wake = buffer_.empty();
    buffer_ += line;
  }
  if (wake) filled_.notify_one();
}

void StderrSink::write_now(std::string_view line) {
  {
    const std::lock_guard lock(mutex_);
    pollfd ready{fd_, POLLOUT, 0};
    // A pipe that is ready takes PIPE_BUF octets whole and without waiting (POSIX write(2)).
    const bool at_once = buffer_.empty() && !writing_ && line.size() <= PIPE_BUF && ::poll(&ready, 1, 0) == 1 &&
                         (ready.revents & POLLOUT) != 0;
    if (at_once && ::write(fd_, line.data(), line.size()) == static_cast<ssize_t>(line.size())) return;
  }
  write(line);
}

std::uint64_t StderrSink::dropped() const {
  const std::lock_guard lock(mutex_);
  return dropped_;
}

void StderrSink::run() {
  std::string lines;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      filled_.wait(lock, [this] { return stop_ || !buffer_.empty(); });
      if (buffer_.empty()) return;
      lines.clear();
      lines.swap(buffer_);
      writing_ = true;
      if (dropped_unsaid_ > 0) {
        lines += fmt::format("{{\"event\":\"log_lines_dropped\",\"count\":{}}}\n", dropped_unsaid_);
        dropped_unsaid_ = 0;
      }
    }
    write_all(fd_, lines);
    const std::lock_guard lock(mutex_);
    writing_ = false;
  }
}

}  // namespace app
