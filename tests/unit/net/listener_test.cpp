#include "net/listener.hpp"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <cstdlib>
#include <vector>

#include "net/shard.hpp"
#include "support.hpp"

namespace net {
namespace {

using namespace testing;

std::unique_ptr<Listener> open_one(asio::io_context& context, const std::string& address, core::Metrics& metrics) {
  std::string error;
  auto listeners = Listener::open(context.get_executor(), address, metrics, error);
  EXPECT_EQ(listeners.size(), 1U) << error;
  return listeners.empty() ? nullptr : std::move(listeners.front());
}

TEST(Listener, accepts_on_a_port_of_the_kernels_choice_round_robin_over_shards) {
  asio::io_context context{1};
  core::Metrics metrics;
  const auto listener = open_one(context, "127.0.0.1:0", metrics);
  ASSERT_TRUE(listener);
  EXPECT_NE(listener->port(), 0);
  EXPECT_EQ(listener->address().to_string(), "127.0.0.1");
  Shard shards[2];
  std::atomic<int> served[2] = {0, 0};
  for (auto& shard : shards) shard.start();
  std::size_t turn = 0;
  run(context, [&]() -> Awaitable<void> {
    asio::co_spawn(context,
                   listener->run([&] { return shards[turn++ % 2].executor(); },
                                 [&](Socket socket) {
                                   const auto executor = socket.get_executor();
                                   asio::post(executor, [&, s = std::make_shared<Socket>(std::move(socket))] {
                                     for (int i = 0; i < 2; ++i) {
                                       if (s->get_executor() == shards[i].executor()) ++served[i];
                                     }
                                     asio::write(*s, asio::buffer("220 hi\r\n", 8));
                                   });
                                 }),
                   asio::detached);
    std::vector<Socket> clients;
    for (int i = 0; i < 10; ++i) {
      clients.emplace_back(context).connect({asio::ip::address_v4::loopback(), listener->port()});
      char text[8];
      co_await asio::async_read(clients.back(), asio::buffer(text), asio::use_awaitable);
    }
    EXPECT_EQ(served[0], 5);
    EXPECT_EQ(served[1], 5);
    listener->stop();
  });
  context.restart();
  context.run_for(1s);  // run() has returned: nothing is left
  EXPECT_TRUE(context.stopped());
  for (auto& shard : shards) {
    shard.stop();
    shard.join();
  }
}

TEST(Listener, the_v6_wildcard_takes_both_families) {
  asio::io_context context{1};
  core::Metrics metrics;
  std::string error;
  auto listeners = Listener::open(context.get_executor(), "[::]:0", metrics, error);
  if (listeners.empty()) GTEST_SKIP() << "no IPv6 here: " << error;
  std::vector<Socket> accepted;
  run(context, [&]() -> Awaitable<void> {
    asio::co_spawn(context,
                   listeners[0]->run([&] { return context.get_executor(); },
                                     [&](Socket socket) { accepted.push_back(std::move(socket)); }),
                   asio::detached);
    Socket four(context);
    four.connect({asio::ip::address_v4::loopback(), listeners[0]->port()});
    EXPECT_TRUE(co_await eventually([&] { return accepted.size() == 1; }));
    Stream stream(std::move(accepted.back()));
    EXPECT_EQ(stream.remote_address().to_string(), "127.0.0.1");  // unmapped
    EXPECT_EQ(stream.local_address().to_string(), "127.0.0.1");
    listeners[0]->stop();
  });
  context.restart();
  context.run_for(1s);
}

TEST(Listener, errors_name_the_address) {
  asio::io_context context{1};
  core::Metrics metrics;
  const auto taken = open_one(context, "127.0.0.1:0", metrics);
  ASSERT_TRUE(taken);
  for (const auto& address : {std::string("nonsense"), std::string("mail.example:25"), std::string("127.0.0.1:70000"),
                              std::string("192.0.2.77:0"), "127.0.0.1:" + std::to_string(taken->port()),
                              std::string("fd:"), std::string("fd:x"), std::string("fd:1"), std::string("fd:777"),
                              std::string("systemd"), std::string("systemd:smtp")}) {
    std::string error;
    EXPECT_TRUE(Listener::open(context.get_executor(), address, metrics, error).empty());
    EXPECT_TRUE(error.starts_with(address + ": ")) << error;
    EXPECT_GT(error.size(), address.size() + 2);
  }
}

int listening_socket() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in local{};
  local.sin_family = AF_INET;
  local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&local), sizeof local) != 0 || ::listen(fd, 5) != 0) std::abort();
  return fd;
}

TEST(Listener, takes_an_inherited_descriptor) {
  asio::io_context context{1};
  core::Metrics metrics;
  const auto listener = open_one(context, "fd:" + std::to_string(listening_socket()), metrics);
  ASSERT_TRUE(listener);
  std::size_t accepted = 0;
  run(context, [&]() -> Awaitable<void> {
    asio::co_spawn(context, listener->run([&] { return context.get_executor(); }, [&](Socket) { ++accepted; }),
                   asio::detached);
    Socket client(context);
    client.connect({asio::ip::address_v4::loopback(), listener->port()});
    EXPECT_TRUE(co_await eventually([&] { return accepted == 1; }));
    listener->stop();
  });
  context.restart();
  context.run_for(1s);
}

// In a child process, because systemd's descriptors are 3 and up. Returns the number of the check that failed.
int check_activation() {
  ::close_range(3, 64, 0);
  const int first = listening_socket();
  const int second = listening_socket();
  if (first != 3 || second != 4) return 1;
  ::setenv("LISTEN_FDS", "2", 1);
  ::setenv("LISTEN_FDNAMES", "smtp:submission", 1);
  ::setenv("LISTEN_PID", "1", 1);
  asio::io_context context{1};
  core::Metrics metrics;
  std::string error;
  if (!Listener::open(context.get_executor(), "systemd", metrics, error).empty())
    return 2;  // meant for another process
  ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
  if (!Listener::open(context.get_executor(), "systemd:imap", metrics, error).empty()) return 3;
  const auto address_of = [](int fd) {
    sockaddr_in local{};
    socklen_t length = sizeof local;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&local), &length);
    return ntohs(local.sin_port);
  };
  const auto port = address_of(4);
  {
    const auto named = Listener::open(context.get_executor(), "systemd:submission", metrics, error);
    if (named.size() != 1 || named[0]->port() != port) return 4;
  }
  if (listening_socket() != 4) return 5;  // the listener owned and closed it
  return Listener::open(context.get_executor(), "systemd", metrics, error).size() == 2 ? 0 : 6;
}

TEST(Listener, takes_the_descriptors_of_socket_activation) {
  const auto child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) ::_exit(check_activation());
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

class DescriptorLimit {
 public:
  // No descriptor can be had from now on.
  DescriptorLimit() {
    ::getrlimit(RLIMIT_NOFILE, &old_);
    const int next = ::dup(0);
    ::close(next);
    const rlimit low{static_cast<rlim_t>(next), old_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &low);
  }
  DescriptorLimit(const DescriptorLimit&) = delete;
  ~DescriptorLimit() { ::setrlimit(RLIMIT_NOFILE, &old_); }

 private:
  rlimit old_{};
};

TEST(Listener, Threats_RS_09_out_of_descriptors_says_421_and_recovers) {
  if (kSanitized) GTEST_SKIP() << "UBSan's vptr check needs a pipe of its own and takes EMFILE for a bad object";
  asio::io_context context{1};
  core::Metrics metrics;
  const auto listener = open_one(context, "127.0.0.1:0", metrics);
  ASSERT_TRUE(listener);
  std::vector<Socket> accepted;
  int asked = 0;
  run(context, [&]() -> Awaitable<void> {
    asio::co_spawn(context,
                   listener->run(
                       [&] {
                         ++asked;
                         return context.get_executor();
                       },
                       [&](Socket socket) { accepted.push_back(std::move(socket)); }),
                   asio::detached);
    std::vector<Socket> clients;
    for (int i = 0; i < 5; ++i) clients.emplace_back(context).open(asio::ip::tcp::v4());
    {
      const DescriptorLimit limit;
      for (auto& client : clients) {
        client.connect({asio::ip::address_v4::loopback(), listener->port()});
        std::string text(100, '\0');
        const auto [ec, n] = co_await asio::async_read(client, asio::buffer(text), asio::as_tuple(asio::use_awaitable));
        EXPECT_EQ(ec, asio::error::eof);
        EXPECT_EQ(text.substr(0, n), "421 4.3.2 too many connections\r\n");
      }
      EXPECT_TRUE(accepted.empty());
      EXPECT_EQ(metrics.get(core::Counter::connections_refused), 5U);
      EXPECT_LT(asked, 20);  // no spinning
    }
    Socket client(context);
    client.connect({asio::ip::address_v4::loopback(), listener->port()});
    EXPECT_TRUE(co_await eventually([&] { return accepted.size() == 1; }));
    listener->stop();
  });
  context.restart();
  context.run_for(1s);
}

}  // namespace
}  // namespace net
