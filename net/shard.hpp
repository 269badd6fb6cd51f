// One thread with one io_context, and what belongs to that thread alone: metrics, randomness, the gate of its sessions.
// Sessions never leave their shard, so they need no locks. The owner (app) drains the gate before it stops the shard.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <optional>
#include <thread>

#include "core/metrics.hpp"
#include "core/random.hpp"
#include "net/gate.hpp"

namespace net {

class Shard {
 public:
  Shard();
  Shard(const Shard&) = delete;
  ~Shard();  // stop() and join()

  // Starts the thread. Work posted before waits until then.
  void start();
  // Runs on the calling thread instead, until stop().
  void run();
  // From any thread: the shard ends when no work is left. With `start`ed work that never ends, use stop_now().
  void stop();
  // From any thread: the shard ends after the handler at hand; coroutines are destroyed with the shard.
  void stop_now();
  void join();

  boost::asio::io_context& context() { return context_; }
  boost::asio::any_io_executor executor() { return context_.get_executor(); }
  core::Metrics& metrics() { return metrics_; }
  core::Random& random() { return random_; }
  Gate& gate() { return gate_; }

 private:
  // Before the context: whatever the context destroys last may still count.
  core::Metrics metrics_;
  core::SystemRandom random_;
  boost::asio::io_context context_{1};
  Gate gate_{context_.get_executor()};
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work_;
  std::thread thread_;
};

}  // namespace net
