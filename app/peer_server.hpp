// The accepting half of a small server on the control thread: a few peers at once, each for a short time; what is said
// to them is the derived class's. An object of it is owned by a shared_ptr, and lives as long as a peer is there.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <memory>
#include <utility>

namespace app {

template <class Protocol>
class PeerServer : public std::enable_shared_from_this<PeerServer<Protocol>> {
 public:
  using Socket = typename Protocol::socket;
  template <class T>
  using Awaitable = boost::asio::awaitable<T>;
  static constexpr unsigned kMaxPeers = 16;
  static constexpr std::chrono::seconds kPeerTime{10};

  explicit PeerServer(const boost::asio::any_io_executor& executor) : acceptor(executor), pause_(executor) {}
  PeerServer(const PeerServer&) = delete;
  virtual ~PeerServer() = default;

  typename Protocol::acceptor acceptor;
  // Takes peers until the acceptor, which listens, is closed.
  void run() {
    auto work = accept(this->shared_from_this());
    boost::asio::co_spawn(acceptor.get_executor(), std::move(work), boost::asio::detached);
  }

 protected:
  virtual bool may_talk(Socket&) { return true; }
  // One peer, until it is done; kPeerTime after the beginning the socket is closed.
  virtual Awaitable<void> talk(std::shared_ptr<Socket> socket) = 0;

 private:
  static constexpr std::chrono::milliseconds kPause{100};

  Awaitable<void> accept(std::shared_ptr<PeerServer> self) {
    const auto token = boost::asio::as_tuple(boost::asio::use_awaitable);
    while (acceptor.is_open()) {
      auto [error, socket] = co_await acceptor.async_accept(token);
      if (!acceptor.is_open()) co_return;
      if (error) {  // out of descriptors, most likely
        pause_.expires_after(kPause);
        static_cast<void>(co_await pause_.async_wait(token));
        continue;
      }
      if (peers_ >= kMaxPeers || !may_talk(socket)) continue;  // closes
      auto peer = std::make_shared<Socket>(std::move(socket));
      auto work = serve(self, std::move(peer));
      boost::asio::co_spawn(acceptor.get_executor(), std::move(work), boost::asio::detached);
    }
  }

  Awaitable<void> serve(std::shared_ptr<PeerServer> self, std::shared_ptr<Socket> socket) {
    ++self->peers_;
    boost::asio::steady_timer limit(socket->get_executor(), kPeerTime);
    limit.async_wait([socket](const boost::system::error_code& error) {
      if (error) return;
      boost::system::error_code ignored;
      socket->close(ignored);
    });
    co_await talk(socket);
    limit.cancel();
    --self->peers_;
  }

  boost::asio::steady_timer pause_;
  unsigned peers_ = 0;
};

}  // namespace app
