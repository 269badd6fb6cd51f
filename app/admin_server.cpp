#include "app/admin_server.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "app/admin_protocol.hpp"
#include "app/peer_server.hpp"

namespace app {
namespace {

using boost::asio::awaitable;
using Local = boost::asio::local::stream_protocol;

const auto kToken = boost::asio::as_tuple(boost::asio::use_awaitable);

bool is_trusted(int fd, uid_t owner) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == 0 || peer.uid == ::geteuid() || peer.uid == owner;
}

}  // namespace

struct AdminServer::Impl final : PeerServer<Local> {
  Impl(const boost::asio::any_io_executor& executor, std::string socket_path, uid_t owner_uid, Handler h)
      : PeerServer(executor), path(std::move(socket_path)), owner(owner_uid), handler(std::move(h)) {}

  bool may_talk(Local::socket& socket) override { return is_trusted(socket.native_handle(), owner); }
  awaitable<void> talk(std::shared_ptr<Local::socket> socket) override;

  std::string path;
  uid_t owner;
  Handler handler;
};

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
  impl_->run();
  return true;
}

void AdminServer::stop() {
  if (!impl_->acceptor.is_open()) return;
  boost::system::error_code ignored;
  impl_->acceptor.close(ignored);
  ::unlink(impl_->path.c_str());
}

}  // namespace app
