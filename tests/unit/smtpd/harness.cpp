#include "tests/unit/smtpd/harness.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>

namespace smtpd::testing {

namespace asio = boost::asio;
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

bool eventually(const std::function<bool()>& condition, core::Milliseconds patience) {
  const auto deadline = core::Deadline::after(patience);
  while (!condition()) {
    if (deadline.passed()) return condition();
    std::this_thread::yield();
  }
  return true;
}

namespace {

net::Awaitable<void> pause(core::Milliseconds time) {
  if (time.count() == 0) co_return;
  asio::steady_timer timer(co_await asio::this_coro::executor, time);
  co_await timer.async_wait(kAwait);
}

}  // namespace

class FakeTransaction final : public forwarder::Transaction {
 public:
  FakeTransaction(FakeHandler& handler, FakeHandler::Message message)
      : handler_(handler), message_(std::move(message)) {
    ++handler_.alive_;
  }
  ~FakeTransaction() override { --handler_.alive_; }

  const std::string& id() const override { return message_.id; }
  net::Awaitable<mail::Reply> rcpt(mail::RcptCommand command) override {
    co_await pause(handler_.rcpt_delay);
    const auto address = command.to.to_string();
    auto reply = handler_.on_rcpt ? handler_.on_rcpt(address) : mail::Reply(250, {2, 1, 5}, "OK");
    if (reply.positive()) message_.to.push_back(address);
    co_return reply;
  }
  std::size_t accepted_recipients() const override { return message_.to.size(); }
  std::optional<mail::Reply> begin_data() override { return handler_.refuse_data; }
  std::string& inbox() override { return inbox_; }
  Absorb absorb() override {
    handler_.most_held_ = std::max<std::size_t>(handler_.most_held_, inbox_.size());
    waiting_ += inbox_.size();
    message_.content += inbox_;
    inbox_.clear();
    return handler_.spill_every > 0 && waiting_ >= handler_.spill_every ? Absorb::spill : Absorb::ok;
  }
  net::Awaitable<void> spill() override {
    EXPECT_TRUE(inbox_.empty());
    waiting_ = 0;
    ++handler_.spills_;
    co_await pause(core::Milliseconds(1));
  }
  net::Awaitable<mail::Reply> end_of_data(forwarder::ClientProbe& probe) override {
    ++handler_.ending_;
    co_await pause(handler_.end_delay);
    --handler_.ending_;
    message_.client_gone = probe.gone();
    auto reply = handler_.on_end ? handler_.on_end(message_) : mail::Reply(250, {2, 0, 0}, "Relayed");
    if (reply.positive()) {
      const std::lock_guard lock(handler_.mutex_);
      handler_.messages_.push_back(message_);
    }
    co_return reply;
  }

  std::unique_ptr<forwarder::Receipt> receipt() override {
    class FakeReceipt final : public forwarder::Receipt {
     public:
      explicit FakeReceipt(FakeHandler& handler) : handler_(handler) {}
      ~FakeReceipt() override { --handler_.receipts_; }
      void confirmed() override { ++handler_.confirmed_; }
      void acknowledged() override { ++handler_.acknowledged_; }

     private:
      FakeHandler& handler_;
    };
    ++handler_.receipts_;
    return std::make_unique<FakeReceipt>(handler_);
  }

 private:
  FakeHandler& handler_;
  FakeHandler::Message message_;
  std::string inbox_;
  std::size_t waiting_ = 0;
};

net::Awaitable<forwarder::MailVerdict> FakeHandler::mail(const forwarder::Client& client, mail::MailCommand command,
                                                         unsigned number) {
  forwarder::MailVerdict verdict;
  if (refuse_mail) {
    verdict.reply = *refuse_mail;
    co_return verdict;
  }
  Message message;
  message.id = client.session_id + "-" + std::to_string(number);
  message.from = command.from.to_string();
  message.helo = client.helo;
  message.tls = client.tls.has_value();
  verdict.transaction = std::make_unique<FakeTransaction>(*this, std::move(message));
  verdict.reply = mail::Reply(250, {2, 1, 0}, "OK");
  co_return verdict;
}

Peer::~Peer() {
  if (fd_ >= 0) ::close(fd_);
}

Peer& Peer::send(std::string_view octets) {
  while (!octets.empty()) {
    const auto n = ::send(fd_, octets.data(), octets.size(), MSG_NOSIGNAL);
    if (n <= 0) return *this;  // closed: the next expect() tells
    octets.remove_prefix(static_cast<std::size_t>(n));
  }
  return *this;
}

Peer& Peer::drip(std::string_view octets) {
  for (const char c : octets) send(std::string_view(&c, 1));
  return *this;
}

bool Peer::readable(core::Milliseconds patience) {
  pollfd p{fd_, POLLIN, 0};
  return ::poll(&p, 1, static_cast<int>(patience.count())) > 0;
}

bool Peer::read_more() {
  if (closed_) return false;
  if (!readable(kPatience)) {
    ADD_FAILURE() << "nothing came; so far: " << in_;
    return false;
  }
  char buffer[65536];
  const auto n = ::recv(fd_, buffer, sizeof buffer, 0);
  if (n <= 0) {
    closed_ = true;
    return false;
  }
  in_.append(buffer, static_cast<std::size_t>(n));
  return true;
}

std::string Peer::reply() {
  std::size_t start = 0;
  for (;;) {
    const auto end = in_.find("\r\n", start);
    if (end == std::string::npos) {
      if (!read_more()) return std::exchange(in_, {});
      continue;
    }
    const bool last = end < start + 4 || in_[start + 3] != '-';
    start = end + 2;
    if (last) break;
  }
  auto text = in_.substr(0, start);
  in_.erase(0, start);
  return text;
}

Peer& Peer::expect(std::string_view start) {
  last_ = reply();
  EXPECT_EQ(last_.substr(0, start.size()), start) << "in full: " << last_;
  return *this;
}
Peer& Peer::expect(std::string_view start, std::string_view part) {
  expect(start);
  EXPECT_NE(last_.find(part), std::string::npos) << "no \"" << part << "\" in: " << last_;
  return *this;
}

Peer& Peer::expect_closed() {
  while (read_more()) {
  }
  EXPECT_TRUE(closed_);
  EXPECT_EQ(in_, "");
  return *this;
}

void Peer::reset() {
  const linger hard{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  ::close(std::exchange(fd_, -1));
}

Peer connect_to(std::uint16_t port, int receive_buffer) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (receive_buffer > 0) ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
  return Peer(fd);
}

Settings Harness::default_settings() {
  Settings settings;
  settings.hostname = "mx.test";
  settings.message_size = 100'000;
  settings.soft_error_delay = core::Milliseconds(1);
  return settings;
}

Harness::Harness(Settings settings) {
  const asio::ip::tcp::endpoint endpoint(asio::ip::address_v4::loopback(), 0);
  acceptor_.open(endpoint.protocol());
  acceptor_.bind(endpoint);
  acceptor_.listen();
  port_ = acceptor_.local_endpoint().port();
  const core::Log log(lines, core::LogFormat::json, core::LogLevel::debug);
  Server::Parts parts{io_.get_executor(), handler, table, memory, metrics, log, random, stress};
  server_ = std::make_unique<Server>(std::move(parts), std::make_shared<const Settings>(std::move(settings)));
  asio::co_spawn(io_, accept_all(), asio::detached);
  thread_ = std::thread([this] { io_.run(); });
}

Harness::~Harness() {
  on_shard([this] {
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    server_->abort_sessions();
    return true;
  });
  EXPECT_TRUE(eventually([this] { return on_shard([this] { return server_->session_count(); }) == 0; }));
  work_.reset();
  thread_.join();
  EXPECT_EQ(handler.alive(), 0) << "a transaction outlived its session";
  EXPECT_EQ(table.total(), 0U);
  EXPECT_EQ(metrics.get(core::Counter::sessions_open), 0U);
}

net::Awaitable<void> Harness::accept_all() {
  for (;;) {
    auto [error, socket] = co_await acceptor_.async_accept(kAwait);
    if (error) co_return;
    server_->accept(std::move(socket), listener);
  }
}

std::future<bool> Harness::drain(core::Milliseconds patience) {
  auto task = server_->drain(core::Deadline::after(patience));
  return asio::co_spawn(io_, std::move(task), asio::use_future);
}

}  // namespace smtpd::testing
