#include "net/listener.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "core/text.hpp"
#include "net/address.hpp"

namespace net {
namespace {

namespace asio = boost::asio;
using core::Error;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr int kBacklog = 4096;
constexpr int kRefusedAtOnce = 64;         // before the pause, when out of descriptors
constexpr core::Milliseconds kPause{100};  // out of descriptors or memory: no spinning
constexpr int kFirstActivated = 3;         // sd_listen_fds(3): SD_LISTEN_FDS_START
constexpr unsigned long long kMaxActivated = 64;
// RFC 5321 §3.8: 421 may be said to any connection. RFC 3463: X.3.2, system not accepting network messages.
constexpr std::string_view kTooMany = "421 4.3.2 too many connections\r\n";

// The descriptors systemd gave to this process: those named `name`, or all when it is empty.
std::vector<int> activated(std::string_view name, std::string& error) {
  const char* pid = std::getenv("LISTEN_PID");
  const char* count_text = std::getenv("LISTEN_FDS");
  const auto count = count_text != nullptr ? core::parse_number(count_text) : std::nullopt;
  if (pid == nullptr || core::parse_number(pid) != static_cast<unsigned long long>(::getpid()) || !count ||
      *count > kMaxActivated) {
    error = "no descriptors from systemd (LISTEN_PID, LISTEN_FDS)";
    return {};
  }
  const char* names_text = std::getenv("LISTEN_FDNAMES");
  const auto names = core::split(names_text != nullptr ? names_text : "", ':');
  std::vector<int> fds;
  for (std::size_t i = 0; i < *count; ++i) {
    if (name.empty() || (i < names.size() && names[i] == name)) fds.push_back(kFirstActivated + static_cast<int>(i));
  }
  if (fds.empty()) error = "systemd gave no descriptor of that name";
  return fds;
}

bool out_of_descriptors(const Error& ec) {
  return ec == asio::error::no_descriptors || ec == Error(ENFILE, boost::system::system_category());
}

}  // namespace

Listener::Listener(const asio::any_io_executor& executor, core::Metrics& metrics)
    : acceptor_(executor), pause_(executor), metrics_(metrics) {
  reserve();
}

Listener::~Listener() {
  if (reserve_ >= 0) ::close(reserve_);
}

std::vector<std::unique_ptr<Listener>> Listener::open(const asio::any_io_executor& executor, const std::string& address,
                                                      core::Metrics& metrics, std::string& error) {
  std::vector<std::unique_ptr<Listener>> listeners;
  std::vector<int> fds;
  const std::string_view text = address;
  if (text == "systemd" || text.starts_with("systemd:")) {
    fds = activated(text.substr(std::min(text.size(), std::string_view("systemd:").size())), error);
  } else if (text.starts_with("fd:")) {
    const auto number = core::parse_number(text.substr(3));
    if (number && *number <= 1'000'000) fds.push_back(static_cast<int>(*number));
    if (fds.empty()) error = "no descriptor number";
  } else {
    const auto where = core::HostPort::parse(text);
    std::unique_ptr<Listener> listener(new Listener(executor, metrics));
    if (!where) error = "not of the form host:port";
    if (where && listener->bind(*where, error)) listeners.push_back(std::move(listener));
  }
  for (const int fd : fds) {
    std::unique_ptr<Listener> listener(new Listener(executor, metrics));
    if (!listener->adopt(fd, error)) {
      listeners.clear();
      break;
    }
    listeners.push_back(std::move(listener));
  }
  if (listeners.empty()) error = address + ": " + error;
  return listeners;
}

bool Listener::adopt(int fd, std::string& error) {
  int listening = 0;
  socklen_t length = sizeof listening;
  sockaddr_storage local{};
  socklen_t local_length = sizeof local;
  if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) != 0 || listening == 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&local), &local_length) != 0 ||
      (local.ss_family != AF_INET && local.ss_family != AF_INET6)) {
    error = "descriptor " + std::to_string(fd) + " is no listening TCP socket";
    return false;
  }
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  Error ec;
  acceptor_.assign(local.ss_family == AF_INET6 ? asio::ip::tcp::v6() : asio::ip::tcp::v4(), fd, ec);
  if (ec) {
    error = ec.message();
    return false;
  }
  note_address();
  return true;
}

bool Listener::bind(const core::HostPort& where, std::string& error) {
  const auto ip = core::IpAddress::parse(where.host == "localhost" ? "127.0.0.1" : where.host);
  if (!ip) {
    error = "the host must be an IP address";
    return false;
  }
  const asio::ip::tcp::endpoint endpoint(to_asio(*ip), where.port);
  Error ec;
  acceptor_.open(endpoint.protocol(), ec);
  if (!ec) acceptor_.set_option(asio::socket_base::reuse_address(true), ec);
  if (!ec && ip->is_v6()) acceptor_.set_option(asio::ip::v6_only(!ip->is_unspecified()), ec);
  if (!ec) acceptor_.bind(endpoint, ec);
  if (!ec) acceptor_.listen(kBacklog, ec);
  if (ec) {
    error = ec.message();
    return false;
  }
  note_address();
  return true;
}

void Listener::note_address() {
  Error ignored;
  const auto endpoint = acceptor_.local_endpoint(ignored);
  address_ = from_asio(endpoint.address());
  port_ = endpoint.port();
}

Awaitable<void> Listener::run(NextExecutor next, Handler handler) {
  while (!stopped_) {
    const auto executor = next();
    auto [ec, socket] = co_await acceptor_.async_accept(executor, kAwait);
    if (stopped_) co_return;
    if (!ec) {
      handler(std::move(socket));
      continue;
    }
    // A client that gave up while it waited (ECONNABORTED and the like) is no reason to pause.
    const bool full = out_of_descriptors(ec);
    if (full) refuse_waiting();
    if (full || ec == asio::error::no_buffer_space || ec == asio::error::no_memory) {
      pause_.expires_after(kPause);
      co_await pause_.async_wait(kAwait);
    }
  }
}

void Listener::stop() {
  stopped_ = true;
  Error ignored;
  acceptor_.close(ignored);
  pause_.cancel();
}

void Listener::refuse_waiting() {
  for (int i = 0; i < kRefusedAtOnce; ++i) {
    if (reserve_ >= 0) ::close(std::exchange(reserve_, -1));
    const int fd = ::accept4(acceptor_.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      metrics_.add(core::Counter::connections_refused);
      static_cast<void>(::send(fd, kTooMany.data(), kTooMany.size(), MSG_NOSIGNAL) > 0);
      ::close(fd);
    }
    reserve();
    if (fd < 0) return;
  }
}

void Listener::reserve() {
  if (reserve_ < 0) reserve_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}

}  // namespace net
