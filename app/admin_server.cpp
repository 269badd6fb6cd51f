#include "app/admin_server.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "app/admin_protocol.hpp"

namespace app {
namespace {

using boost::asio::awaitable;
using Local = boost::asio::local::stream_protocol;

constexpr unsigned kMaxPeers = 16;
constexpr std::chrono::seconds kPeerTime{10};
constexpr std::chrono::milliseconds kPause{100};
const auto kToken = boost::asio::as_tuple(boost::asio::use_awaitable);

bool may_talk(int fd, uid_t owner) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == 0 || peer.uid == ::geteuid() || peer.uid == owner;
}

}  // namespace

struct AdminServer::Impl : std::enable_shared_from_this<AdminServer::Impl> {
  Impl(const boost::asio::any_io_executor& executor, std::string socket_path, uid_t owner_uid, Handler h)
      : acceptor(executor), pause(executor), path(std::move(socket_path)), owner(owner_uid), handler(std::move(h)) {}

  awaitable<void> accept(std::shared_ptr<Impl> self);
  awaitable<void> serve(std::shared_ptr<Impl> self, std::shared_ptr<Local::socket> socket);
  awaitable<void> talk(std::shared_ptr<Local::socket> socket);

  Local::acceptor acceptor;
  boost::asio::steady_timer pause;
  std::string path;
  uid_t owner;
  Handler handler;
  unsigned peers = 0;
};

awaitable<void> AdminServer::Impl::accept(std::shared_ptr<Impl> self) {
  while (acceptor.is_open()) {
    auto [error, socket] = co_await acceptor.async_accept(kToken);
    if (!acceptor.is_open()) co_return;
    if (error) {  // out of descriptors, most likely
      pause.expires_after(kPause);
      static_cast<void>(co_await pause.async_wait(kToken));
      continue;
    }
    if (peers >= kMaxPeers || !may_talk(socket.native_handle(), owner)) continue;  // closes
    auto peer = std::make_shared<Local::socket>(std::move(socket));
    auto work = serve(self, std::move(peer));
    boost::asio::co_spawn(acceptor.get_executor(), std::move(work), boost::asio::detached);
  }
}

awaitable<void> AdminServer::Impl::serve(std::shared_ptr<Impl> self, std::shared_ptr<Local::socket> socket) {
  ++self->peers;
  boost::asio::steady_timer limit(socket->get_executor(), kPeerTime);
  limit.async_wait([socket](const boost::system::error_code& error) {
    if (error) return;
    boost::system::error_code ignored;
    socket->close(ignored);
  });
  co_await talk(socket);
  limit.cancel();
  --self->peers;
}

awaitable<void> AdminServer::Impl::talk(std::shared_ptr<Local::socket> socket) {
  std::string prefix(kAdminPrefix, '\0');
  auto [short_prefix, n] = co_await boost::asio::async_read(*socket, boost::asio::buffer(prefix), kToken);
  if (short_prefix) co_return;
  const std::size_t length = admin_length(prefix);
  if (length > kMaxAdminRequest) co_return;
  std::string text(length, '\0');
  auto [short_text, m] = co_await boost::asio::async_read(*socket, boost::asio::buffer(text), kToken);
  if (short_text) co_return;
  auto request = nlohmann::json::parse(text, nullptr, false);
  if (!request.is_object()) co_return;
  nlohmann::json answer;
  try {
    answer = co_await handler(std::move(request));
  } catch (const std::exception& error) {  // a bug of ours must not take the daemon's other commands with it
    answer = {{"ok", false}, {"errors", {std::string("internal error: ") + error.what()}}};
  }
  const std::string frame = admin_frame(answer.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  static_cast<void>(co_await boost::asio::async_write(*socket, boost::asio::buffer(frame), kToken));
}

AdminServer::AdminServer(boost::asio::any_io_executor executor, std::string path, uid_t owner, Handler handler)
    : impl_(std::make_shared<Impl>(executor, std::move(path), owner, std::move(handler))) {}

AdminServer::~AdminServer() {
  stop();
}

bool AdminServer::start(std::string& error) {
  namespace fs = std::filesystem;
  const fs::path path(impl_->path);
  std::error_code failed;
  if (!fs::is_directory(path.parent_path(), failed)) {
    fs::create_directories(path.parent_path(), failed);
    if (failed) {
      error = fmt::format("admin_socket: cannot make {}: {}", path.parent_path().string(), failed.message());
      return false;
    }
    static_cast<void>(::chmod(path.parent_path().c_str(), 0700));
  }
  if (impl_->path.size() >= sizeof(sockaddr_un{}.sun_path)) {
    error = fmt::format("admin_socket: {} is too long for a socket; at most {} octets", impl_->path,
                        sizeof(sockaddr_un{}.sun_path) - 1);
    return false;
  }
  const Local::endpoint endpoint(impl_->path);
  if (fs::is_socket(fs::symlink_status(path, failed))) {
    Local::socket probe(impl_->acceptor.get_executor());
    boost::system::error_code refused;
    probe.connect(endpoint, refused);
    if (!refused) {
      error = fmt::format("admin_socket: another daemon answers at {}", impl_->path);
      return false;
    }
    fs::remove(path, failed);
  }
  boost::system::error_code bad;
  impl_->acceptor.open(Local(), bad);
  const mode_t before = ::umask(0177);
  if (!bad) impl_->acceptor.bind(endpoint, bad);
  ::umask(before);
  if (!bad) impl_->acceptor.listen(16, bad);
  if (bad) {
    error = fmt::format("admin_socket: {}: {}", impl_->path, bad.message());
    boost::system::error_code ignored;
    impl_->acceptor.close(ignored);
    return false;
  }
  auto work = impl_->accept(impl_);
  boost::asio::co_spawn(impl_->acceptor.get_executor(), std::move(work), boost::asio::detached);
  return true;
}

void AdminServer::stop() {
  if (!impl_->acceptor.is_open()) return;
  boost::system::error_code ignored;
  impl_->acceptor.close(ignored);
  ::unlink(impl_->path.c_str());
}

}  // namespace app
