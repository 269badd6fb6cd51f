#include "net/tls_session.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <utility>

#include "core/ip.hpp"
#include "core/text.hpp"

namespace net {
namespace {

constexpr std::size_t kMaxLoggedText = 256;
constexpr std::size_t kMaxServerName = 253;

// Our own BIO, because BIO_s_socket uses write(2): a peer that is gone would raise SIGPIPE.
int bio_fd(BIO* bio) {
  return static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio)));
}

int bio_write(BIO* bio, const char* data, int size) {
  BIO_clear_retry_flags(bio);
  ssize_t n = 0;
  do {
    n = ::send(bio_fd(bio), data, static_cast<std::size_t>(size), MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) BIO_set_retry_write(bio);
  return static_cast<int>(n);
}

int bio_read(BIO* bio, char* out, int size) {
  BIO_clear_retry_flags(bio);
  ssize_t n = 0;
  do {
    n = ::recv(bio_fd(bio), out, static_cast<std::size_t>(size), 0);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) BIO_set_retry_read(bio);
  if (n == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  return static_cast<int>(n);
}

long bio_ctrl(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_FLUSH) return 1;
  if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
  return 0;
}

BIO_METHOD* bio_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "onward socket");
    if (made != nullptr) {
      BIO_meth_set_write(made, bio_write);
      BIO_meth_set_read(made, bio_read);
      BIO_meth_set_ctrl(made, bio_ctrl);
    }
    return made;
  }();
  return method;
}

std::string cleansed(std::string_view text) {
  return core::printable(text.substr(0, kMaxLoggedText));
}

std::string subject_of(X509* certificate) {
  const std::unique_ptr<BIO, decltype(&BIO_free_all)> out(BIO_new(BIO_s_mem()), &BIO_free_all);
  if (!out) return {};
  X509_NAME_print_ex(out.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return size > 0 ? cleansed({data, static_cast<std::size_t>(size)}) : std::string();
}

// The reasons in OpenSSL's queue, oldest first; the queue is empty afterwards.
std::string drain_errors() {
  std::string text;
  for (int i = 0; i < 3; ++i) {
    const char* data = nullptr;
    int flags = 0;
    const unsigned long code = ERR_get_error_all(nullptr, nullptr, nullptr, &data, &flags);
    if (code == 0) break;
    const char* reason = ERR_reason_error_string(code);
    if (!text.empty()) text += "; ";
    text += reason != nullptr ? reason : "error " + std::to_string(code);
  }
  ERR_clear_error();
  return cleansed(text);
}

}  // namespace

void TlsSession::Free::operator()(ssl_st* ssl) const {
  SSL_free(ssl);
}

TlsSession::TlsSession(ssl_ctx_st* context, int fd, Side side) : ssl_(SSL_new(context)), side_(side) {
  BIO* bio = ssl_ && bio_method() != nullptr ? BIO_new(bio_method()) : nullptr;
  if (bio == nullptr) {
    broken_ = true;
    error_ = "out of memory";
    ERR_clear_error();
    return;
  }
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<std::intptr_t>(fd)));
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  if (side == Side::server) {
    SSL_set_accept_state(ssl_.get());
  } else {
    SSL_set_connect_state(ssl_.get());
  }
}

TlsSession::~TlsSession() = default;

bool TlsSession::demand(const TlsDemand& demand) {
  using Verify = TlsDemand::Verify;
  if (broken_) return true;  // the handshake says so
  insisted_ = demand.verify == Verify::roots || demand.verify == Verify::dane;
  verify_ = insisted_ || demand.verify == Verify::watch;
  std::string name = demand.server_name;
  if (name.ends_with('.')) name.pop_back();
  const bool usable = !name.empty() && name.size() <= kMaxServerName && name.find('\0') == std::string::npos;
  if (!usable) return !std::exchange(verify_, false) || !insisted_;
  const bool is_address = core::IpAddress::parse(name).has_value();
  if (demand.verify == Verify::dane) return !is_address && expect_tlsa(demand, name);
  // Without insistence, better without SNI than without TLS.
  const bool named = is_address || SSL_set_tlsext_host_name(ssl_.get(), name.c_str()) == 1;
  if (!verify_) return true;
  return (named && expect_name(name)) || !insisted_;
}

bool TlsSession::expect_name(const std::string& name) {
  if (insisted_) SSL_set_verify(ssl_.get(), SSL_VERIFY_PEER, nullptr);
  auto* parameters = SSL_get0_param(ssl_.get());
  // RFC 9525 §2: the subject's common name is no identity of a server.
  X509_VERIFY_PARAM_set_hostflags(parameters,
                                  X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  if (core::IpAddress::parse(name)) return X509_VERIFY_PARAM_set1_ip_asc(parameters, name.c_str()) == 1;
  return SSL_set1_host(ssl_.get(), name.c_str()) == 1;
}

bool TlsSession::expect_tlsa(const TlsDemand& demand, const std::string& name) {
  ERR_clear_error();
  SSL_set_verify(ssl_.get(), SSL_VERIFY_PEER, nullptr);
  X509_VERIFY_PARAM_set_hostflags(SSL_get0_param(ssl_.get()), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  if (SSL_dane_enable(ssl_.get(), name.c_str()) <= 0) return false;
  SSL_dane_set_flags(ssl_.get(), DANE_FLAG_NO_DANE_EE_NAMECHECKS);  // RFC 7672 §3.1.1
  for (const auto& other : demand.also_named) SSL_add1_host(ssl_.get(), other.c_str());
  bool any = false;
  for (const auto& record : demand.tlsa) any = add_tlsa(ssl_.get(), record) || any;
  return any;
}

bool TlsSession::add_tlsa(ssl_st* ssl, const Tlsa& record) {
  if (record.usage != 2 && record.usage != 3) return false;
  const int result = SSL_dane_tlsa_add(ssl, record.usage, record.selector, record.matching,
                                       reinterpret_cast<const unsigned char*>(record.data.data()), record.data.size());
  ERR_clear_error();
  return result > 0;
}

void TlsSession::judge_certificate() {
  if (!verify_) return;
  const long verdict = SSL_get_verify_result(ssl_.get());
  switch (verdict) {
    case X509_V_OK:
      certificate_fault_ = TlsFault::none;
      break;
    case X509_V_ERR_CERT_HAS_EXPIRED:
      certificate_fault_ = TlsFault::expired;
      break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      certificate_fault_ = TlsFault::wrong_name;
      break;
    case X509_V_ERR_DANE_NO_MATCH:
      certificate_fault_ = TlsFault::tlsa_mismatch;
      break;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_UNTRUSTED:
      certificate_fault_ = TlsFault::untrusted;
      break;
    default:
      certificate_fault_ = TlsFault::certificate;
  }
}

TlsSession::Step TlsSession::step(int result) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_NONE:
      return Step::done;
    case SSL_ERROR_WANT_READ:
      return Step::want_read;
    case SSL_ERROR_WANT_WRITE:
      return Step::want_write;
    case SSL_ERROR_ZERO_RETURN:
      return Step::closed;
    case SSL_ERROR_SYSCALL:
      fault_ = Step::lost;
      break;
    default: {
      const auto code = ERR_peek_error();
      const bool eof = ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
      fault_ = eof ? Step::lost : Step::failed;
    }
  }
  broken_ = true;
  error_ = drain_errors();
  if (insisted_ && !established_) judge_certificate();
  if (certificate_fault_ != TlsFault::none && !established_) {
    const char* why = X509_verify_cert_error_string(SSL_get_verify_result(ssl_.get()));
    error_ = cleansed(std::string("certificate: ") + why);
  }
  if (error_.empty()) error_ = "connection lost";
  return fault_;
}

TlsSession::Step TlsSession::handshake() {
  if (broken_) return fault_;
  ERR_clear_error();
  const auto result = step(SSL_do_handshake(ssl_.get()));
  if (result == Step::done) {
    established_ = true;
    judge_certificate();
  }
  if (result == Step::closed) error_ = "connection closed";
  return result;
}

TlsSession::Step TlsSession::read(std::span<char> out, std::size_t& got) {
  got = 0;
  if (broken_) return fault_;
  ERR_clear_error();
  return step(SSL_read_ex(ssl_.get(), out.data(), out.size(), &got));
}

TlsSession::Step TlsSession::write(std::string_view octets, std::size_t& written) {
  written = 0;
  if (broken_) return fault_;
  ERR_clear_error();
  return step(SSL_write_ex(ssl_.get(), octets.data(), octets.size(), &written));
}

TlsSession::Step TlsSession::peek() {
  if (broken_) return fault_;
  char c = 0;
  std::size_t got = 0;
  ERR_clear_error();
  return step(SSL_peek_ex(ssl_.get(), &c, 1, &got));
}

void TlsSession::shutdown() {
  if (broken_ || !established_) return;
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

void TlsSession::abandon() {
  if (std::exchange(broken_, true)) return;
  fault_ = Step::failed;
  if (error_.empty()) error_ = "handshake not finished";
}

TlsInfo TlsSession::info() const {
  TlsInfo info;
  info.version = SSL_get_version(ssl_.get());
  info.cipher = SSL_get_cipher_name(ssl_.get());
  // TL-07: whatever the client calls us is opaque text to us.
  const char* name = SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name);
  if (name != nullptr) info.server_name = cleansed(name);
  X509* peer = SSL_get0_peer_certificate(ssl_.get());
  if (peer != nullptr && side_ == Side::server) info.client_certificate = subject_of(peer);
  info.verified = verify_ && peer != nullptr && certificate_fault_ == TlsFault::none;
  info.by_dane = info.verified && SSL_get0_dane_authority(ssl_.get(), nullptr, nullptr) >= 0;
  info.fault = certificate_fault_;
  return info;
}

}  // namespace net
