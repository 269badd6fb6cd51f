// Log lines to a descriptor by a thread of their own, so that a slow journal never stops mail (threats RS-15). What
// does not fit into the bounded buffer is dropped and counted; the count is logged when there is room again.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "core/log.hpp"

namespace app {

class StderrSink final : public core::LogSink {
 public:
  explicit StderrSink(int fd = 2);
  ~StderrSink() override { finish(); }
  void write(std::string_view line) override;
  // Past the thread when nothing waits there and the descriptor takes it at once.
  void write_now(std::string_view line) override;
  std::uint64_t dropped() const;
  // Writes what is left and ends the thread; later lines are lost.
  void finish();

 private:
  void run();
  static constexpr std::size_t kMost = 4 * 1024 * 1024;

  const int fd_;
  mutable std::mutex mutex_;
  std::condition_variable filled_;
  std::string buffer_;
  std::uint64_t dropped_ = 0, dropped_unsaid_ = 0;
  bool stop_ = false, writing_ = false;
  std::thread thread_;
};

}  // namespace app
