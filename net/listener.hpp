// Accepts connections and hands each socket, already made on the shard that will serve it, to a callback. Out of
// descriptors it says 421 with a reserved one instead of letting clients hang (RS-09), and pauses instead of spinning.
// It never waits for a client.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/ip.hpp"
#include "core/metrics.hpp"
#include "net/stream.hpp"

namespace net {

class Listener {
 public:
  // The executor of the shard the next connection shall live on, e.g. round robin.
  using NextExecutor = std::function<boost::asio::any_io_executor()>;
  // Runs on the listener's thread, while the socket belongs to another: start the session with co_spawn(executor, ...).
  using Handler = std::function<void(Socket)>;

  // `address`: "192.0.2.1:25", "[::]:25" (dual stack), port 0 for any; "fd:N", a listening descriptor we inherited;
  // "systemd", all descriptors of socket activation (LISTEN_PID, LISTEN_FDS), or "systemd:NAME" those of that name
  // (LISTEN_FDNAMES). More than one listener for "systemd" only. Empty, and `error` says why, when it cannot be had.
  static std::vector<std::unique_ptr<Listener>> open(const boost::asio::any_io_executor& executor,
                                                     const std::string& address, core::Metrics& metrics,
                                                     std::string& error);
  Listener(const Listener&) = delete;
  ~Listener();

  // Accepts until stop(). Must not be destroyed before this has returned.
  Awaitable<void> run(NextExecutor next, Handler handler);
  // On the listener's own thread. Connections already handed over are not touched.
  void stop();

  core::IpAddress address() const { return address_; }
  std::uint16_t port() const { return port_; }  // the real one, when 0 was asked for

 private:
  Listener(const boost::asio::any_io_executor& executor, core::Metrics& metrics);
  bool adopt(int fd, std::string& error);
  bool bind(const core::HostPort& where, std::string& error);
  void note_address();
  void refuse_waiting();
  void reserve();

  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer pause_;
  core::Metrics& metrics_;
  core::IpAddress address_;
  std::uint16_t port_ = 0;
  int reserve_ = -1;  // a descriptor kept for saying 421 when there is no other
  bool stopped_ = false;
};

}  // namespace net
