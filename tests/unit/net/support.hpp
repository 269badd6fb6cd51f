// What the tests of net share: one io_context run until the test's coroutine ends or a limit passes, a connected pair
// of sockets on loopback, and certificates made on the spot.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "net/stream.hpp"

namespace net::testing {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using core::Deadline;
using core::Errc;

// Sanitizers change what memory costs, and open pipes of their own for some checks.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(undefined_behavior_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif
#else
inline constexpr bool kSanitized = false;
#endif

inline Deadline soon() {
  return Deadline::after(5s);
}
inline Deadline in(core::Milliseconds ms) {
  return Deadline::after(ms);
}

// Runs the coroutine `test()` to its end; fails the test when that takes more than 20 s.
inline void run(asio::io_context& context, std::function<Awaitable<void>()> test) {
  bool done = false;
  std::exception_ptr failure;
  asio::co_spawn(context, test(), [&](std::exception_ptr e) {
    failure = e;
    done = true;
    context.stop();
  });
  context.restart();
  context.run_for(20s);
  ASSERT_TRUE(done) << "the test hangs";
  if (failure) std::rethrow_exception(failure);
}

struct SocketPair {
  Socket ours;
  Socket peer;
};

// Two ends of one TCP connection, both on `context`.
inline SocketPair connected_pair(asio::io_context& context) {
  asio::ip::tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
  SocketPair pair{Socket(context), Socket(context)};
  pair.peer.connect(acceptor.local_endpoint());
  pair.ours = acceptor.accept();
  return pair;
}

// Waits until `condition` holds, at most 5 s, letting other handlers run.
inline Awaitable<bool> eventually(std::function<bool()> condition) {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  for (int i = 0; i < 5000; ++i) {
    if (condition()) co_return true;
    timer.expires_after(1ms);
    co_await timer.async_wait(asio::use_awaitable);
  }
  co_return condition();
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = std::filesystem::temp_directory_path() / "onward-net-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace net::testing
