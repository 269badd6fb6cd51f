// The admin socket between a server and clients of every sort (threats OP-04).
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cstring>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "app/admin_client.hpp"
#include "app/admin_protocol.hpp"
#include "app/admin_server.hpp"
#include "app/support.hpp"

namespace app::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// A server on a thread of its own that says back what it was asked.
class Running {
 public:
  explicit Running(std::string path) : path_(std::move(path)) {
    server_ = std::make_unique<AdminServer>(context_.get_executor(), path_, ::getuid(),
                                            [this](json request) -> boost::asio::awaitable<json> {
                                              ++requests_;
                                              if (request.contains("throw")) throw std::runtime_error("a defect");
                                              json answer{{"ok", true}, {"heard", std::move(request)}};
                                              co_return answer;
                                            });
    std::string error;
    started_ = server_->start(error);
    EXPECT_TRUE(started_) << error;
    thread_ = std::thread([this] {
      const auto work = boost::asio::make_work_guard(context_);
      context_.run();
    });
  }
  ~Running() {
    boost::asio::post(context_, [this] { server_->stop(); });
    boost::asio::post(context_, [this] { context_.stop(); });
    thread_.join();
  }
  unsigned requests() const { return requests_; }

 private:
  std::string path_;
  boost::asio::io_context context_{1};
  std::unique_ptr<AdminServer> server_;
  std::atomic<unsigned> requests_{0};
  bool started_ = false;
  std::thread thread_;
};

int dial(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval patience{10, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  ::close(fd);
  return -1;
}

// Everything that comes back until the server closes.
std::string converse(const std::string& path, const std::string& octets) {
  const int fd = dial(path);
  if (fd < 0) return "(no connection)";
  static_cast<void>(::send(fd, octets.data(), octets.size(), MSG_NOSIGNAL));
  ::shutdown(fd, SHUT_WR);
  std::string back;
  char buffer[4096];
  for (ssize_t n = 0; (n = ::recv(fd, buffer, sizeof buffer, 0)) > 0;) back.append(buffer, static_cast<std::size_t>(n));
  ::close(fd);
  return back;
}

bool answers(const std::string& path) {
  std::string error;
  const auto answer = ask_daemon(path, json{{"command", "ping"}}, error);
  return answer && answer->at("heard").at("command") == "ping";
}

TEST(Admin, a_request_and_its_answer) {
  const Folder folder;
  const Running running(folder / "run/admin.sock");
  std::string error;
  const auto answer = ask_daemon(folder / "run/admin.sock", json{{"command", "status"}, {"n", 7}}, error);
  ASSERT_TRUE(answer) << error;
  EXPECT_EQ(*answer, (json{{"ok", true}, {"heard", {{"command", "status"}, {"n", 7}}}}));
}

TEST(Admin, nobody_at_home) {
  const Folder folder;
  std::string error;
  EXPECT_FALSE(ask_daemon(folder / "admin.sock", json::object(), error));
  EXPECT_THAT(error, HasSubstr("no daemon at"));
  EXPECT_FALSE(ask_daemon(std::string(200, 'x'), json::object(), error));
  EXPECT_THAT(error, HasSubstr("too long for a socket"));
}

TEST(Threats, OP_04_the_socket_is_ours_alone) {
  const Folder folder;
  const Running running(folder / "run/admin.sock");
  struct stat st{};
  ASSERT_EQ(::stat((folder / "run/admin.sock").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777U, 0600U);
  ASSERT_EQ(::stat((folder / "run").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777U, 0700U);
}

TEST(Threats, OP_04_another_uid_is_not_heard) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  const Folder folder;
  const auto path = folder / "run/admin.sock";
  const Running running(path);
  // As if the modes had been opened by mistake: the uid alone must do.
  ::chmod(folder.path().c_str(), 0755);
  ::chmod((folder / "run").c_str(), 0755);
  ::chmod(path.c_str(), 0666);
  const pid_t child = ::fork();
  if (child == 0) {
    constexpr uid_t kStranger = 54321;
    if (::setgroups(0, nullptr) != 0 || ::setgid(kStranger) != 0 || ::setuid(kStranger) != 0) ::_exit(2);
    ::_exit(converse(path, admin_frame("{}")).empty() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0) << "closed without an answer";
  EXPECT_EQ(running.requests(), 0U);
  EXPECT_TRUE(answers(path));
}

TEST(Threats, OP_04_junk_is_dropped_and_costs_nobody) {
  const Folder folder;
  const auto path = folder / "admin.sock";
  const Running running(path);
  const std::string huge(kMaxAdminRequest + 1, ' ');
  for (const auto& junk :
       {std::string(), std::string("\0\0", 2), std::string("\0\0\0\0", 4), std::string("\0\0\0\5{}", 6),
        std::string("\xff\xff\xff\xff", 4) + "{}", std::string("GET / HTTP/1.1\r\n\r\n"), admin_frame("not json"),
        admin_frame("[]"), admin_frame("5"), admin_frame("{\"a\":"), admin_frame(huge),
        admin_frame(std::string(60'000, '[')), admin_frame("{\"a\":\"\xff\"}")}) {
    EXPECT_EQ(converse(path, junk), "") << junk.substr(0, 20);
    EXPECT_TRUE(answers(path));
  }
  // At the limit, not above it.
  const std::string padded = "{" + std::string(kMaxAdminRequest - 2, ' ') + "}";
  EXPECT_NE(converse(path, admin_frame(padded)), "");
}

TEST(Threats, OP_04_a_request_that_breaks_the_handler_is_answered_and_leaves_no_trace) {
  const Folder folder;
  const auto path = folder / "admin.sock";
  const Running running(path);
  for (int i = 0; i < 40; ++i) {  // more than there are places
    std::string error;
    const auto answer = ask_daemon(path, json{{"throw", true}}, error);
    ASSERT_TRUE(answer) << error;
    EXPECT_FALSE(answer->at("ok").get<bool>());
  }
  EXPECT_TRUE(answers(path));
}

TEST(Threats, OP_04_a_thousand_silent_clients_do_not_lock_the_door) {
  const Folder folder;
  const auto path = folder / "admin.sock";
  const Running running(path);
  std::vector<int> silent;
  for (int i = 0; i < 1000; ++i) {
    const int fd = dial(path);
    if (fd >= 0) silent.push_back(fd);
  }
  EXPECT_GT(silent.size(), 900U);
  for (const int fd : silent) ::close(fd);
  // Their places come free when the server has seen them go.
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  bool answered = false;
  while (!answered && std::chrono::steady_clock::now() < limit) answered = answers(path);
  EXPECT_TRUE(answered);
}

TEST(Threats, OP_04_a_dead_socket_is_replaced_a_living_one_never) {
  const Folder folder;
  const auto path = folder / "admin.sock";
  {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ::close(fd);  // the path stays: what a killed daemon leaves
  }
  const Running running(path);
  EXPECT_TRUE(answers(path));

  boost::asio::io_context context;
  AdminServer second(context.get_executor(), path, ::getuid(),
                     [](json) -> boost::asio::awaitable<json> { co_return json::object(); });
  std::string error;
  EXPECT_FALSE(second.start(error));
  EXPECT_THAT(error, HasSubstr("another daemon answers at"));
  second.stop();
  EXPECT_TRUE(answers(path)) << "the loser has not removed it";

  folder.write("file.sock", "precious");
  AdminServer third(context.get_executor(), folder / "file.sock", ::getuid(),
                    [](json) -> boost::asio::awaitable<json> { co_return json::object(); });
  EXPECT_FALSE(third.start(error)) << "a plain file is not ours to remove";
  EXPECT_TRUE(std::filesystem::exists(folder / "file.sock"));
}

TEST(AdminProtocol, frames) {
  EXPECT_EQ(admin_frame("{}"), std::string("\0\0\0\2{}", 6));
  EXPECT_EQ(admin_length(admin_frame(std::string(70'000, 'x'))), 70'000U);
  EXPECT_EQ(admin_length(std::string("\xff\xff\xff\xff", 4)), 0xffffffffU);
}

}  // namespace
}  // namespace app::test
