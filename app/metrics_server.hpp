// Answers /metrics, /healthz and /readyz over HTTP (threats OP-10): GET and HEAD alone, one request a connection, few
// connections at a time, each bounded in time and in octets. What is answered comes from callbacks, on the executor's
// thread; nothing of the request gets into it.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace app {

class MetricsServer {
 public:
  struct Callbacks {
    std::function<boost::asio::awaitable<std::string>()> metrics;  // Prometheus text
    std::function<std::string()> not_ready;                        // why no mail is taken now; "" : it is
  };

  // `address`: "127.0.0.1:9254", port 0 for any.
  MetricsServer(boost::asio::any_io_executor executor, std::string address, Callbacks callbacks);
  ~MetricsServer();

  bool start(std::string& error);
  // Takes no more connections; those that are there end by themselves, at the latest when their time is over.
  void stop();
  std::uint16_t port() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace app
