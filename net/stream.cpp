// How one operation runs: try without waiting; when the kernel (or TLS) has nothing, wait for the socket under the one
// timer; look at why we woke; try again. The timer is only ever moved earlier: when it fires too early it arms itself
// anew.
#include "net/stream.hpp"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <utility>

#include "net/address.hpp"
#include "net/tls.hpp"
#include "net/tls_session.hpp"

namespace net {
namespace {

namespace asio = boost::asio;
using core::Deadline;
using core::Errc;
using core::Error;
using Step = TlsSession::Step;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kDefaultBufferLimit = 4096;
constexpr std::size_t kTlsRecord = 16384;
constexpr std::size_t kSlices = 64;  // of one sendmsg; IOV_MAX is 1024, but 1 KiB of stack is enough
constexpr int kBurst = 32;           // operations without a pause, before others of the shard get their turn
constexpr std::size_t kDrainAtClose = 65536;

// What one try without waiting came to.
struct Attempt {
  enum class Kind { done, want_read, want_write, error };
  Kind kind = Kind::done;
  std::size_t octets = 0;
  Errc error = Errc::ok;

  static Attempt done(std::size_t n) { return {Kind::done, n, Errc::ok}; }
  static Attempt failed(Errc e) { return {Kind::error, 0, e}; }
  static Attempt of_errno(Kind wanted) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) return {wanted, 0, Errc::ok};
    return failed(Errc::reset);
  }
  static Attempt of_step(Step step, std::size_t n) {
    switch (step) {
      case Step::done:
        return done(n);
      case Step::want_read:
        return {Kind::want_read, 0, Errc::ok};
      case Step::want_write:
        return {Kind::want_write, 0, Errc::ok};
      case Step::closed:
        return failed(Errc::closed);
      case Step::lost:
        return failed(Errc::reset);
      case Step::failed:
        return failed(Errc::tls_failed);
    }
    return failed(Errc::tls_failed);
  }
};

// A place within a row of pieces.
class Cursor {
 public:
  explicit Cursor(std::span<const std::string_view> pieces) : pieces_(pieces) { skip_empty(); }
  bool at_end() const { return index_ == pieces_.size(); }
  std::string_view current() const { return pieces_[index_].substr(offset_); }

  void advance(std::size_t octets) {
    while (octets > 0) {
      const std::size_t n = std::min(octets, current().size());
      offset_ += n;
      octets -= n;
      skip_empty();
    }
  }
  // Calls take(view) for each piece from here on until it returns false.
  template <class F>
  void for_each(F take) const {
    std::size_t offset = offset_;
    for (std::size_t i = index_; i < pieces_.size(); ++i, offset = 0) {
      const auto view = pieces_[i].substr(offset);
      if (!view.empty() && !take(view)) return;
    }
  }

 private:
  void skip_empty() {
    while (index_ < pieces_.size() && offset_ == pieces_[index_].size()) {
      ++index_;
      offset_ = 0;
    }
  }
  std::span<const std::string_view> pieces_;
  std::size_t index_ = 0;
  std::size_t offset_ = 0;
};

// Memory only while there is something in it or about to be.
class InputBuffer {
 public:
  std::string_view view() const { return {data_.get() + begin_, end_ - begin_}; }
  std::size_t size() const { return end_ - begin_; }
  std::size_t limit() const { return limit_; }

  void consume(std::size_t octets) {
    assert(octets <= size());
    begin_ += std::min(octets, size());
    if (begin_ == end_) begin_ = end_ = 0;
    if (end_ == 0 && capacity_ > limit_) release();
  }
  void set_limit(std::size_t octets) {
    limit_ = octets;
    if (size() == 0 && capacity_ > limit_) release();
  }
  void release_if_empty() {
    if (size() == 0) release();
  }
  // Room behind the octets; empty when the limit is reached.
  std::span<char> room() {
    if (size() >= limit_) return {};
    if (capacity_ < limit_) {
      auto larger = std::make_unique_for_overwrite<char[]>(limit_);
      if (size() > 0) std::memcpy(larger.get(), data_.get() + begin_, size());
      data_ = std::move(larger);
      capacity_ = limit_;
      end_ = size();
      begin_ = 0;
    } else if (begin_ > 0) {
      std::memmove(data_.get(), data_.get() + begin_, size());
      end_ = size();
      begin_ = 0;
    }
    return {data_.get() + end_, limit_ - end_};
  }
  void filled(std::size_t octets) { end_ += octets; }

 private:
  void release() {
    data_.reset();
    begin_ = end_ = capacity_ = 0;
  }
  std::unique_ptr<char[]> data_;
  std::size_t begin_ = 0, end_ = 0, capacity_ = 0, limit_ = kDefaultBufferLimit;
};

// One octet looked at: what recv says without taking it. 1: octets wait, 0: the peer has closed, -1: errno.
ssize_t peek_socket(int fd) {
  char c = 0;
  ssize_t n = 0;
  do {
    n = ::recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  return n;
}

bool would_block() {
  return errno == EAGAIN || errno == EWOULDBLOCK;
}

Errc connect_error(const Error& ec) {
  if (ec == asio::error::timed_out) return Errc::timed_out;
  if (ec == asio::error::connection_reset || ec == asio::error::broken_pipe) return Errc::reset;
  if (ec == asio::error::operation_aborted) return Errc::cancelled;
  if (ec == asio::error::no_descriptors || ec == asio::error::no_buffer_space || ec == asio::error::no_memory ||
      ec == Error(ENFILE, boost::system::system_category())) {
    return Errc::exhausted;
  }
  return Errc::refused;
}

}  // namespace

struct Stream::Impl {
  explicit Impl(Socket s) : socket(std::move(s)), timer(socket.get_executor()), self(std::make_shared<Impl*>(this)) {
    Error ignored;  // a connection that broke meanwhile shows itself at the first operation
    socket.native_non_blocking(true, ignored);
    socket.set_option(asio::ip::tcp::no_delay(true), ignored);
    const auto remote_endpoint = socket.remote_endpoint(ignored);
    remote = from_asio(remote_endpoint.address());
    remote_port = remote_endpoint.port();
    const auto local_endpoint = socket.local_endpoint(ignored);
    local = from_asio(local_endpoint.address());
    local_port = local_endpoint.port();
  }
  Impl(const Impl&) = delete;
  ~Impl() { *self = nullptr; }

  // One operation from begin() to its end.
  class Operation {
   public:
    Operation(Impl& impl, Deadline deadline) : impl_(impl) {
      assert(!impl.active);  // one coroutine at a time
      impl.active = true;
      impl.timed_out = impl.cancelled = false;
      impl.deadline = deadline;
    }
    Operation(const Operation&) = delete;
    ~Operation() { impl_.active = false; }

   private:
    Impl& impl_;
  };

  // Makes sure that the timer fires no later than the deadline. Allocates nothing while deadlines move into the future.
  void arm() {
    const auto at = deadline.time();
    if (at == core::Steady::time_point::max() || (armed && armed_at <= at)) return;
    armed = true;
    armed_at = at;
    timer.expires_at(at);
    // The handler may run after the Stream is gone: `self` is null then.
    timer.async_wait([alive = self, mine = ++generation](const Error& ec) {
      if (!ec && *alive != nullptr) (*alive)->on_timer(mine);
    });
  }
  void on_timer(std::uint64_t of) {
    if (of != generation) return;  // overtaken by an earlier deadline
    armed = false;
    if (!active) return;
    if (!deadline.passed()) return arm();
    timed_out = true;
    Error ignored;
    socket.cancel(ignored);
  }

  // Why an operation that woke up must not go on.
  Errc interruption(const Error& ec) const {
    if (cancelled || !socket.is_open()) return Errc::cancelled;
    if (timed_out) return Errc::timed_out;
    if (ec == asio::error::operation_aborted) return Errc::cancelled;
    return Errc::ok;  // other errors come again, with their name, from the system call
  }

  Attempt try_read() {
    const auto room = input.room();
    if (room.empty()) return Attempt::failed(Errc::line_too_long);
    if (tls) {
      std::size_t got = 0;
      const auto step = tls->read(room, got);
      input.filled(got);
      return Attempt::of_step(step, got);
    }
    ssize_t n = 0;
    do {
      n = ::recv(socket.native_handle(), room.data(), room.size(), 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0) return Attempt::of_errno(Attempt::Kind::want_read);
    if (n == 0) return Attempt::failed(Errc::closed);
    input.filled(static_cast<std::size_t>(n));
    return Attempt::done(static_cast<std::size_t>(n));
  }

  Attempt try_write(const Cursor& cursor) { return tls ? try_write_tls(cursor) : try_write_plain(cursor); }

  Attempt try_write_plain(const Cursor& cursor) {
    std::array<iovec, kSlices> slices;
    std::size_t count = 0;
    cursor.for_each([&](std::string_view piece) {
      slices[count++] = {const_cast<char*>(piece.data()), piece.size()};
      return count < kSlices;
    });
    msghdr message{};
    message.msg_iov = slices.data();
    message.msg_iovlen = count;
    ssize_t n = 0;
    do {
      n = ::sendmsg(socket.native_handle(), &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0) return Attempt::of_errno(Attempt::Kind::want_write);
    return Attempt::done(static_cast<std::size_t>(n));
  }

  // Small pieces travel in one record. A call that has to be repeated sees the same octets again, as SSL_write demands.
  Attempt try_write_tls(const Cursor& cursor) {
    static thread_local std::array<char, kTlsRecord> record;
    std::string_view octets = cursor.current();
    if (octets.size() < record.size()) {
      std::size_t size = 0;
      cursor.for_each([&](std::string_view piece) {
        const auto n = std::min(piece.size(), record.size() - size);
        std::memcpy(record.data() + size, piece.data(), n);
        size += n;
        return size < record.size();
      });
      octets = {record.data(), size};
    }
    octets = octets.substr(0, kTlsRecord);
    std::size_t written = 0;
    const auto step = tls->write(octets, written);
    return Attempt::of_step(step, written);
  }

  Awaitable<core::Result<void>> handshake(Deadline until) {
    const Operation operation(*this, until);
    input.release_if_empty();
    for (;;) {
      if (deadline.passed()) co_return fail_handshake(Errc::timed_out);
      const auto attempt = Attempt::of_step(tls->handshake(), 0);
      if (attempt.kind == Attempt::Kind::done) {
        info = tls->info();
        co_return core::Result<void>();
      }
      if (attempt.kind == Attempt::Kind::error) co_return fail_handshake(Errc::tls_failed);
      arm();
      const auto [ec] = co_await socket.async_wait(direction(attempt), kAwait);
      if (const auto e = interruption(ec); e != Errc::ok) co_return fail_handshake(e);
    }
  }
  Errc fail_handshake(Errc error) {
    tls->abandon();
    return fail_tls(error);
  }
  Errc fail_tls(Errc error) {
    if (tls_error.empty()) tls_error = tls->error();
    if (tls_fault == TlsFault::none) tls_fault = tls->fault() != TlsFault::none ? tls->fault() : TlsFault::handshake;
    return error;
  }

  static Socket::wait_type direction(const Attempt& attempt) {
    return attempt.kind == Attempt::Kind::want_write ? Socket::wait_write : Socket::wait_read;
  }

  Socket socket;
  asio::steady_timer timer;
  std::shared_ptr<Impl*> self;
  InputBuffer input;
  std::unique_ptr<TlsSession> tls;
  std::optional<TlsInfo> info;
  std::string tls_error;
  TlsFault tls_fault = TlsFault::none;

  Deadline deadline = Deadline::never();
  core::Steady::time_point armed_at;
  std::uint64_t generation = 0;
  bool armed = false;
  bool active = false;
  bool timed_out = false;
  bool cancelled = false;
  int burst = 0;

  core::IpAddress remote, local;
  std::uint16_t remote_port = 0, local_port = 0;
};

Stream::Stream(Socket socket) : impl_(std::make_unique<Impl>(std::move(socket))) {}
Stream::~Stream() = default;

std::string_view Stream::buffered() const {
  return impl_->input.view();
}
void Stream::consume(std::size_t octets) {
  impl_->input.consume(octets);
}
void Stream::set_buffer_limit(std::size_t octets) {
  impl_->input.set_limit(octets);
}

Awaitable<core::Result<std::size_t>> Stream::fill(Deadline deadline) {
  Impl& impl = *impl_;
  const Impl::Operation operation(impl, deadline);
  if (!impl.socket.is_open()) co_return Errc::cancelled;
  if (++impl.burst > kBurst) {  // a peer that always has more must not keep the shard to itself
    impl.burst = 0;
    co_await asio::post(impl.socket.get_executor(), kAwait);
    if (const auto e = impl.interruption(Error()); e != Errc::ok) co_return e;
  }
  for (;;) {
    if (deadline.passed()) co_return Errc::timed_out;
    const auto attempt = impl.try_read();
    if (attempt.kind == Attempt::Kind::done) co_return attempt.octets;
    if (attempt.kind == Attempt::Kind::error) {
      if (attempt.error == Errc::tls_failed) co_return impl.fail_tls(attempt.error);
      co_return attempt.error;
    }
    impl.input.release_if_empty();
    impl.burst = 0;
    impl.arm();
    const auto [ec] = co_await impl.socket.async_wait(Impl::direction(attempt), kAwait);
    if (const auto e = impl.interruption(ec); e != Errc::ok) co_return e;
  }
}

Awaitable<core::Result<void>> Stream::write(std::string_view octets, Deadline deadline) {
  const std::span<const std::string_view> pieces(&octets, 1);
  co_return co_await write(pieces, deadline);
}

Awaitable<core::Result<void>> Stream::write(std::span<const std::string_view> pieces, Deadline deadline) {
  Impl& impl = *impl_;
  const Impl::Operation operation(impl, deadline);
  if (!impl.socket.is_open()) co_return Errc::cancelled;
  const auto window = deadline.left();
  bool progress = false;
  Cursor cursor(pieces);
  while (!cursor.at_end()) {
    if (!progress && impl.deadline.passed()) co_return Errc::timed_out;
    const auto attempt = impl.try_write(cursor);
    if (attempt.kind == Attempt::Kind::done) {
      cursor.advance(attempt.octets);
      progress = true;
      if (++impl.burst <= kBurst || cursor.at_end()) continue;
      impl.burst = 0;
      co_await asio::post(impl.socket.get_executor(), kAwait);
      if (const auto e = impl.interruption(Error()); e != Errc::ok) co_return e;
      continue;
    }
    if (attempt.kind == Attempt::Kind::error) {
      if (attempt.error == Errc::tls_failed) co_return impl.fail_tls(attempt.error);
      co_return attempt.error == Errc::closed ? Errc::reset : attempt.error;
    }
    if (std::exchange(progress, false) && window != core::Steady::duration::max()) {
      impl.deadline = Deadline::after(window);
    }
    impl.burst = 0;
    impl.arm();
    const auto [ec] = co_await impl.socket.async_wait(Impl::direction(attempt), kAwait);
    if (const auto e = impl.interruption(ec); e != Errc::ok) co_return e;
  }
  co_return core::Result<void>();
}

Awaitable<core::Result<void>> Stream::start_tls(const TlsServer& server, Deadline deadline) {
  Impl& impl = *impl_;
  assert(impl.input.size() == 0 && !impl.tls);
  if (impl.input.size() != 0 || impl.tls) co_return Errc::protocol;
  if (!impl.socket.is_open()) co_return Errc::cancelled;
  impl.tls = server.session(impl.socket.native_handle());
  co_return co_await impl.handshake(deadline);
}

Awaitable<core::Result<void>> Stream::start_tls(const TlsClient& client, TlsDemand demand, Deadline deadline) {
  Impl& impl = *impl_;
  assert(impl.input.size() == 0 && !impl.tls);
  if (impl.input.size() != 0 || impl.tls) co_return Errc::protocol;
  if (!impl.socket.is_open()) co_return Errc::cancelled;
  impl.tls = client.session(impl.socket.native_handle(), demand, impl.tls_error);
  if (!impl.tls) {
    impl.tls_fault = TlsFault::certificate;
    co_return Errc::tls_failed;
  }
  co_return co_await impl.handshake(deadline);
}

const std::optional<TlsInfo>& Stream::tls() const {
  return impl_->info;
}
const std::string& Stream::tls_error() const {
  return impl_->tls_error;
}
TlsFault Stream::tls_fault() const {
  return impl_->tls_fault;
}

bool Stream::peer_gone() {
  Impl& impl = *impl_;
  if (!impl.socket.is_open()) return true;
  const auto n = peek_socket(impl.socket.native_handle());
  if (n == 0 || (n < 0 && !would_block())) return true;
  if (impl.tls && impl.tls->broken()) return true;
  if (n < 0 || !impl.tls) return false;
  // Octets of TLS wait: only TLS knows whether they are close_notify.
  const auto step = impl.tls->peek();
  return step != Step::done && step != Step::want_read && step != Step::want_write;
}

bool Stream::all_acknowledged() {
  int unacknowledged = 1;
  if (!impl_->socket.is_open()) return false;
  return ::ioctl(impl_->socket.native_handle(), SIOCOUTQ, &unacknowledged) == 0 && unacknowledged == 0;
}

bool Stream::readable() {
  Impl& impl = *impl_;
  if (!impl.socket.is_open() || impl.input.size() > 0) return true;
  if (impl.tls) {  // session tickets are octets at the socket, but nothing to read
    const auto step = impl.tls->peek();
    return step != Step::want_read && step != Step::want_write;
  }
  return peek_socket(impl.socket.native_handle()) >= 0 || !would_block();
}

void Stream::cancel() {
  Impl& impl = *impl_;
  if (!impl.active) return;
  impl.cancelled = true;
  Error ignored;
  impl.socket.cancel(ignored);
}

void Stream::close() {
  Impl& impl = *impl_;
  if (!impl.socket.is_open()) return;
  if (impl.tls) impl.tls->shutdown();
  Error ignored;
  impl.socket.shutdown(Socket::shutdown_send, ignored);
  // Octets that nobody read would turn our close into RST, and RST takes our last reply from the peer.
  std::array<char, 4096> rest;
  for (std::size_t drained = 0; drained < kDrainAtClose;) {
    const auto n = ::recv(impl.socket.native_handle(), rest.data(), rest.size(), MSG_DONTWAIT);
    if (n <= 0) break;
    drained += static_cast<std::size_t>(n);
  }
  impl.socket.close(ignored);
  impl.timer.cancel();
}

void Stream::abort() {
  Impl& impl = *impl_;
  if (!impl.socket.is_open()) return;
  Error ignored;
  impl.socket.set_option(asio::socket_base::linger(true, 0), ignored);
  impl.socket.close(ignored);
  impl.timer.cancel();
}

bool Stream::is_open() const {
  return impl_->socket.is_open();
}

core::IpAddress Stream::remote_address() const {
  return impl_->remote;
}
std::uint16_t Stream::remote_port() const {
  return impl_->remote_port;
}
core::IpAddress Stream::local_address() const {
  return impl_->local;
}
std::uint16_t Stream::local_port() const {
  return impl_->local_port;
}
asio::any_io_executor Stream::executor() {
  return impl_->socket.get_executor();
}

namespace {

struct Connecting {
  explicit Connecting(const asio::any_io_executor& executor) : socket(executor), timer(executor) {}
  Socket socket;
  asio::steady_timer timer;
  bool done = false;
  bool timed_out = false;
};

}  // namespace

Awaitable<core::Result<std::unique_ptr<Stream>>> connect(core::IpAddress address, std::uint16_t port,
                                                         std::optional<core::IpAddress> source, Deadline deadline) {
  const auto executor = co_await asio::this_coro::executor;
  const auto state = std::make_shared<Connecting>(executor);  // shared with the timer's handler
  const asio::ip::tcp::endpoint to(to_asio(address), port);
  Error ec;
  state->socket.open(to.protocol(), ec);
  if (!ec && source) state->socket.bind({to_asio(*source), 0}, ec);
  if (ec) co_return connect_error(ec);
  if (deadline.passed()) co_return Errc::timed_out;
  if (deadline.time() != core::Steady::time_point::max()) {
    state->timer.expires_at(deadline.time());
    state->timer.async_wait([state](const Error& error) {
      if (error || state->done) return;
      state->timed_out = true;
      Error ignored;
      state->socket.cancel(ignored);
    });
  }
  std::tie(ec) = co_await state->socket.async_connect(to, kAwait);
  state->done = true;
  state->timer.cancel();
  if (ec && state->timed_out) co_return Errc::timed_out;
  if (ec) co_return connect_error(ec);
  co_return std::make_unique<Stream>(std::move(state->socket));
}

}  // namespace net
