// TLS as a client. Four contexts, as what is demanded differs in what a context fixes: versions and ciphers, and
// whether there are roots to verify by.
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <utility>

#include "net/tls.hpp"
#include "net/tls_context.hpp"
#include "net/tls_session.hpp"

namespace net {
namespace {

using Verify = TlsDemand::Verify;

TlsContext make_client_context() {
  TlsContext context(SSL_CTX_new(TLS_client_method()));
  if (!context) return context;
  set_common_options(context.get());
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  return context;
}

// Old TLS is better than none (RFC 7435), and no certificate is insisted on anyway.
void allow_old(SSL_CTX* context) {
  SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
  SSL_CTX_set_cipher_list(context, "DEFAULT:@SECLEVEL=0");
  SSL_CTX_set_options(context, SSL_OP_LEGACY_SERVER_CONNECT);
}

}  // namespace

void FreeTlsContext::operator()(ssl_ctx_st* context) const {
  SSL_CTX_free(context);
}

void set_common_options(ssl_ctx_st* context) {
  SSL_CTX_set_mode(context,
                   SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
}

std::string openssl_reason() {
  const auto code = ERR_get_error();
  const char* text = code != 0 ? ERR_reason_error_string(code) : nullptr;
  ERR_clear_error();
  return text != nullptr ? text : "unknown error";
}

struct TlsClient::Impl {
  TlsContext open = make_client_context();
  TlsContext strong = make_client_context();     // encrypt, dane
  TlsContext watching = make_client_context();   // with roots, as open
  TlsContext verifying = make_client_context();  // with roots, as strong
  bool rooted = false;

  bool complete() const { return open && strong && watching && verifying; }

  SSL_CTX* for_demand(Verify verify) const {
    switch (verify) {
      case Verify::none:
        break;
      case Verify::watch:
        return rooted ? watching.get() : open.get();
      case Verify::encrypt:
      case Verify::dane:
        return strong.get();
      case Verify::roots:
        return verifying.get();
    }
    return open.get();
  }
};

TlsClient::TlsClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TlsClient::~TlsClient() = default;

std::shared_ptr<const TlsClient> TlsClient::make(Roots roots, const std::string& ca_file, std::string& error) {
  auto impl = std::make_unique<Impl>();
  if (!impl->complete()) {
    error = "TLS: " + openssl_reason();
    return nullptr;
  }
  allow_old(impl->open.get());
  allow_old(impl->watching.get());
  // Whose key a TLSA record names was chosen by the zone's owner: 1,024 bits are his business as long as TLS is new.
  SSL_CTX_set_cipher_list(impl->strong.get(), "DEFAULT:@SECLEVEL=1");
  if (SSL_CTX_dane_enable(impl->strong.get()) != 1) {
    error = "TLS: " + openssl_reason();
    return nullptr;
  }
  if (roots == Roots::load) {
    SSL_CTX* const c = impl->verifying.get();
    const int loaded =
        ca_file.empty() ? SSL_CTX_set_default_verify_paths(c) : SSL_CTX_load_verify_file(c, ca_file.c_str());
    if (loaded != 1) {
      error = (ca_file.empty() ? std::string("the system's certificates") : ca_file) + ": " + openssl_reason();
      return nullptr;
    }
    SSL_CTX_set1_cert_store(impl->watching.get(), SSL_CTX_get_cert_store(c));
    impl->rooted = true;
  }
  ERR_clear_error();
  return std::shared_ptr<const TlsClient>(new TlsClient(std::move(impl)));
}

std::vector<Tlsa> TlsClient::usable(const std::vector<Tlsa>& records) const {
  std::vector<Tlsa> good;
  const std::unique_ptr<SSL, decltype(&SSL_free)> probe(SSL_new(impl_->strong.get()), &SSL_free);
  if (!probe || SSL_dane_enable(probe.get(), "probe.invalid") <= 0) {
    ERR_clear_error();
    return good;
  }
  for (const auto& record : records) {
    if (TlsSession::add_tlsa(probe.get(), record)) good.push_back(record);
  }
  return good;
}

std::unique_ptr<TlsSession> TlsClient::session(int fd, const TlsDemand& demand, std::string& error) const {
  if (demand.verify == Verify::roots && !impl_->rooted) {
    error = "no certificate authorities are loaded";
    return nullptr;
  }
  auto session = std::make_unique<TlsSession>(impl_->for_demand(demand.verify), fd, TlsSession::Side::client);
  if (!session->demand(demand)) {
    error = demand.verify == Verify::dane ? "no usable TLSA record" : "the server's name cannot be verified";
    return nullptr;
  }
  return session;
}

}  // namespace net
