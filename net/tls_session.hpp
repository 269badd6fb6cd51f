// One TLS connection on a non-blocking socket, without waiting: each call does what it can and says what it needs. Used
// by Stream only; made by TlsServer and TlsClient. Does not own the socket. RELEASE_BUFFERS keeps an idle one at 17 KB.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "net/stream.hpp"
#include "net/tls.hpp"

struct ssl_st;
struct ssl_ctx_st;

namespace net {

class TlsSession {
 public:
  enum class Step {
    done,
    want_read,   // wait until the socket is readable and call again with the same arguments
    want_write,  // the same for writable
    closed,      // close_notify came
    lost,        // the connection ended without close_notify (TL-08), or broke
    failed,      // a TLS error: error() has the text
  };
  enum class Side { server, client };

  TlsSession(ssl_ctx_st* context, int fd, Side side);
  TlsSession(const TlsSession&) = delete;
  ~TlsSession();

  // Client side, before the handshake. An IP literal is sent as no SNI (RFC 6066 §3). False: the demand cannot be met
  // with this name, or these records.
  bool demand(const TlsDemand& demand);
  // True: a record that `ssl`, which has DANE enabled, can go by.
  static bool add_tlsa(ssl_st* ssl, const Tlsa& record);

  Step handshake();
  Step read(std::span<char> out, std::size_t& got);
  Step write(std::string_view octets, std::size_t& written);
  // done: octets of the application wait; want_read: none.
  Step peek();
  // Sends close_notify when the connection is whole, without waiting.
  void shutdown();

  TlsInfo info() const;
  bool broken() const { return broken_; }
  // After a handshake that was given up: no later call may carry it on.
  void abandon();
  const std::string& error() const { return error_; }
  // What was wrong with the peer's certificate, or would have been (TlsDemand::Verify::watch).
  TlsFault fault() const { return certificate_fault_; }

 private:
  bool expect_name(const std::string& name);
  bool expect_tlsa(const TlsDemand& demand, const std::string& name);
  void judge_certificate();
  Step step(int result);
  struct Free {
    void operator()(ssl_st* ssl) const;
  };
  std::unique_ptr<ssl_st, Free> ssl_;
  Side side_;
  bool verify_ = false;    // the certificate is looked at
  bool insisted_ = false;  // and must pass
  bool established_ = false;
  bool broken_ = false;  // after a fatal error OpenSSL must not be called again
  Step fault_ = Step::failed;
  TlsFault certificate_fault_ = TlsFault::none;
  std::string error_;
};

}  // namespace net
