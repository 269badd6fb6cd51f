// The daemon's end of the admin socket (threats OP-04): a local socket of mode 0600 in a folder of ours, peers by their
// uid (root, our own uid, the uid that started us), requests of bounded size, few connections at a time, each bounded
// in time.
#pragma once

#include <sys/types.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace app {

class AdminServer {
 public:
  // Called on the executor's thread for each request; while it waits, others are answered. A request has 10 s in all.
  using Handler = std::function<boost::asio::awaitable<nlohmann::json>(nlohmann::json)>;

  // `owner`: a further uid that may talk to us (who started the daemon before it dropped privileges).
  AdminServer(boost::asio::any_io_executor executor, std::string path, uid_t owner, Handler handler);
  ~AdminServer();

  // Makes the folder (0700) when missing, takes the place of a dead daemon's socket, listens. False: `error` says why;
  // a living daemon there is a reason.
  bool start(std::string& error);
  void stop();  // closes and removes the socket

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace app
