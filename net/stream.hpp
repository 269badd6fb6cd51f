// A byte stream to a peer: a TCP socket, plain or with TLS on top (SSL on the non-blocking socket, RELEASE_BUFFERS: 17
// KB a TLS connection instead of the 87 KB of asio::ssl::stream). STARTTLS is a method, not a change of type. One timer
// with a moving deadline serves every operation. A Stream belongs to one shard's thread and to one coroutine at a time.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/clock.hpp"
#include "core/error.hpp"
#include "core/ip.hpp"

namespace net {

template <class T>
using Awaitable = boost::asio::awaitable<T>;
using Socket = boost::asio::ip::tcp::socket;

class TlsServer;  // net/tls.hpp
class TlsClient;
struct TlsDemand;

// Why TLS with a server was not to be had, or not to be trusted.
enum class TlsFault {
  none,
  handshake,      // no common version or cipher, a broken or silent peer
  untrusted,      // no chain to a root
  expired,        // the certificate, or one above it
  wrong_name,     // the certificate is for somebody else
  tlsa_mismatch,  // no TLSA record matches
  certificate,    // anything else about it
};

struct TlsInfo {
  std::string version;              // "TLSv1.3"
  std::string cipher;               // "TLS_AES_256_GCM_SHA384"
  std::string server_name;          // SNI, "" when none
  std::string client_certificate;   // subject, "" when none was given
  bool verified = false;            // the server's certificate passed (client side)
  bool by_dane = false;             // by a TLSA record
  TlsFault fault = TlsFault::none;  // why it would not have passed, where nobody insisted (TlsDemand::Verify::watch)
  std::string to_string() const { return version + " " + cipher; }
};

class Stream {
 public:
  // Takes the connected socket; sets it non-blocking with TCP_NODELAY.
  explicit Stream(Socket socket);
  Stream(const Stream&) = delete;
  ~Stream();

  // Octets received and not consumed yet; valid until the next fill() or consume().
  std::string_view buffered() const;
  void consume(std::size_t octets);
  // Reads at least one octet more behind the buffered ones; returns how many came. The buffer holds at most
  // `buffer_limit` octets (set_buffer_limit, 4 KiB at first): a full buffer is Errc::line_too_long. Errors: timed_out,
  // closed (FIN or close_notify), reset, tls_failed; a TLS connection that ends without close_notify is `reset`
  // (TL-08).
  Awaitable<core::Result<std::size_t>> fill(core::Deadline deadline);
  // Larger while message data come (64 KiB), small again when idle: a shrunk buffer gives its memory back.
  void set_buffer_limit(std::size_t octets);

  // Writes all of it. Gathers `pieces` into as few system calls as possible without copying when plain. The deadline
  // bounds the time in which nothing at all can be written (a peer that never reads: RS-13): what is left of it at the
  // call begins anew with each octet the kernel takes. `pieces` and their octets must stay until the result is there.
  Awaitable<core::Result<void>> write(std::string_view octets, core::Deadline deadline);
  Awaitable<core::Result<void>> write(std::span<const std::string_view> pieces, core::Deadline deadline);

  // The handshake, from now on everything is TLS. buffered() must be empty (TL-01, TL-03): asserted, and Errc::protocol
  // where asserts are off. Errors: timed_out, cancelled, tls_failed (tls_error() says why). `server` and `client` need
  // to outlive the handshake only.
  Awaitable<core::Result<void>> start_tls(const TlsServer& server, core::Deadline deadline);
  Awaitable<core::Result<void>> start_tls(const TlsClient& client, TlsDemand demand, core::Deadline deadline);
  const std::optional<TlsInfo>& tls() const;
  // Why TLS failed, for logs: OpenSSL's reason, "" when nothing failed. May hold text the peer chose: printable ASCII
  // only.
  const std::string& tls_error() const;
  // The same as a kind; none when nothing failed.
  TlsFault tls_fault() const;

  // Looks without waiting: true when the peer has closed or broken the connection (promise.md I3). Unread octets do not
  // count as gone; they stay unread.
  bool peer_gone();
  // Has the peer's TCP acknowledged every octet that was written? (It says nothing of whether anybody has read them.)
  bool all_acknowledged();
  // Looks without waiting: true when octets are there to read, buffered or in the socket, or the peer is gone (UP-14: a
  // pooled connection that is readable is out of step).
  bool readable();

  // Makes every pending operation fail with Errc::cancelled; may be called by another coroutine of the same shard.
  // Later operations are not touched.
  void cancel();
  // Sends close_notify and FIN where possible without waiting, and closes.
  void close();
  // Closes with RST.
  void abort();
  bool is_open() const;

  core::IpAddress remote_address() const;  // IPv4-mapped ones as IPv4
  std::uint16_t remote_port() const;
  core::IpAddress local_address() const;
  std::uint16_t local_port() const;
  boost::asio::any_io_executor executor();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Connects one address. `source`: bind to it first, when given. Errors: timed_out, refused (also unreachable, and a
// source that cannot be bound), reset, exhausted (no descriptor left).
Awaitable<core::Result<std::unique_ptr<Stream>>> connect(core::IpAddress address, std::uint16_t port,
                                                         std::optional<core::IpAddress> source,
                                                         core::Deadline deadline);

}  // namespace net
