// A Server on a real loopback socket, with a fake Handler in the place of the network behind it, and a plain client
// that sends exactly the octets it is told. The shard runs in a thread of its own; the test talks to it as any client
// would.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "smtpd/server.hpp"

namespace smtpd::testing {

// What tests wait for at most; nothing sleeps for a fixed time.
inline constexpr core::Milliseconds kPatience{10'000};

// True as soon as `condition` holds.
bool eventually(const std::function<bool()>& condition, core::Milliseconds patience = kPatience);

class FakeHandler final : public forwarder::Handler {
 public:
  struct Message {
    std::string id, from, helo, content;
    std::vector<std::string> to;
    bool tls = false;
    bool client_gone = false;
  };

  net::Awaitable<forwarder::MailVerdict> mail(const forwarder::Client& client, mail::MailCommand command,
                                              unsigned number) override;

  // Read by the shard; set before the session begins.
  std::function<mail::Reply(const std::string& address)> on_rcpt;
  std::function<mail::Reply(const Message&)> on_end;  // may throw: a bug of ours
  core::Milliseconds end_delay{0};
  core::Milliseconds rcpt_delay{0};
  std::optional<mail::Reply> refuse_mail, refuse_data;
  std::size_t spill_every = 0;  // octets; 0: never

  std::vector<Message> messages() const {
    const std::lock_guard lock(mutex_);
    return messages_;
  }
  std::size_t message_count() const { return messages().size(); }
  int alive() const { return alive_; }                  // transactions
  int ending() const { return ending_; }                // waiting for the final answer
  std::size_t most_held() const { return most_held_; }  // octets in one inbox
  int spills() const { return spills_; }
  int receipts() const { return receipts_; }  // that are still held
  int confirmed() const { return confirmed_; }
  int acknowledged() const { return acknowledged_; }

 private:
  friend class FakeTransaction;
  mutable std::mutex mutex_;
  std::vector<Message> messages_;
  std::atomic<int> alive_{0}, ending_{0}, spills_{0}, receipts_{0}, confirmed_{0}, acknowledged_{0};
  std::atomic<std::size_t> most_held_{0};
};

class LogLines final : public core::LogSink {
 public:
  void write(std::string_view line) override {
    const std::lock_guard lock(mutex_);
    text_ += line;
  }
  std::string text() const {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  mutable std::mutex mutex_;
  std::string text_;
};

// A blocking TCP client. All reads have a limit in time.
class Peer {
 public:
  explicit Peer(int fd) : fd_(fd) {}
  Peer(Peer&& other) noexcept : fd_(std::exchange(other.fd_, -1)), in_(std::move(other.in_)) {}
  ~Peer();

  Peer& send(std::string_view octets);
  Peer& line(std::string_view text) { return send(std::string(text) + "\r\n"); }
  // One octet a segment.
  Peer& drip(std::string_view octets);
  // The next reply, all its lines; "" when the connection is closed.
  std::string reply();
  Peer& expect(std::string_view start);
  Peer& expect(std::string_view start, std::string_view part);
  // Nothing more comes but the end of the connection.
  Peer& expect_closed();
  Peer& ehlo() { return line("EHLO client.test").expect("250-mx.test"); }
  Peer& envelope() { return line("MAIL FROM:<a@a.test>").expect("250 ").line("RCPT TO:<b@b.test>").expect("250 "); }
  Peer& data() { return line("DATA").expect("354 "); }
  const std::string& last() const { return last_; }
  // True when octets or the end can be read within the time.
  bool readable(core::Milliseconds patience);
  void reset();  // RST
  int release() { return std::exchange(fd_, -1); }

 private:
  bool read_more();
  int fd_;
  std::string in_, last_;
  bool closed_ = false;
};

Peer connect_to(std::uint16_t port, int receive_buffer = 0);

class Harness {
 public:
  explicit Harness(Settings settings = default_settings());
  ~Harness();
  static Settings default_settings();

  Peer connect() { return connect_to(port_); }
  std::uint16_t port() const { return port_; }
  // Runs `f` on the shard and waits for its result.
  template <class F>
  auto on_shard(F f) {
    const auto result = std::make_shared<std::promise<decltype(f())>>();
    auto future = result->get_future();
    boost::asio::post(io_, [result, f] { result->set_value(f()); });
    return future.get();
  }
  // drain() with this deadline.
  std::future<bool> drain(core::Milliseconds patience = kPatience);
  std::uint64_t count(core::Counter counter) const { return metrics.get(counter); }

  // Before the first connection, or with on_shard().
  std::shared_ptr<Listener> listener = std::make_shared<Listener>(Listener{"test", TlsMode::none, nullptr});

  FakeHandler handler;
  ConnectionTable table;
  Stress stress;
  core::Budget memory{1 << 20};
  core::Metrics metrics;
  LogLines lines;
  core::SeededRandom random{7};

 private:
  net::Awaitable<void> accept_all();
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{io_.get_executor()};
  boost::asio::ip::tcp::acceptor acceptor_{io_};
  std::unique_ptr<Server> server_;
  std::uint16_t port_ = 0;
  std::thread thread_;

 public:
  Server& server() { return *server_; }
};

}  // namespace smtpd::testing
