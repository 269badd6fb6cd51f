#include "net/shard.hpp"

#include <boost/asio/post.hpp>
#include <exception>

namespace net {

Shard::Shard() : work_(boost::asio::make_work_guard(context_)) {}

Shard::~Shard() {
  stop_now();
  join();
}

void Shard::start() {
  thread_ = std::thread([this] { run(); });
}

void Shard::run() {
  for (;;) {
    try {
      context_.run();
      return;
    } catch (const std::exception&) {
      // A bug in one handler (sessions have their own catch). It is counted, an alarm is set on it, and the others go
      // on.
      metrics_.add(core::Counter::internal_errors);
    }
  }
}

void Shard::stop() {
  boost::asio::post(context_, [this] { work_.reset(); });
}

void Shard::stop_now() {
  context_.stop();
}

void Shard::join() {
  if (thread_.joinable()) thread_.join();
}

}  // namespace net
