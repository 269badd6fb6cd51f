// What the two halves of TLS (net/tls.cpp, net/tls_client.cpp) share. Private to net/; no OpenSSL header here.
#pragma once

#include <memory>
#include <string>

struct ssl_ctx_st;

namespace net {

struct FreeTlsContext {
  void operator()(ssl_ctx_st* context) const;
};
using TlsContext = std::unique_ptr<ssl_ctx_st, FreeTlsContext>;

// Small buffers when idle, no renegotiation, no compression.
void set_common_options(ssl_ctx_st* context);

// The oldest reason in OpenSSL's queue of errors, which is empty afterwards.
std::string openssl_reason();

}  // namespace net
