#include "net/tls.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "core/text.hpp"
#include "net/ticket_keys.hpp"
#include "net/tls_context.hpp"
#include "net/tls_session.hpp"
#include "net/x509.hpp"

namespace net {
namespace {

void free_chain(STACK_OF(X509) * chain) {
  sk_X509_pop_free(chain, X509_free);
}

using Chain = std::unique_ptr<STACK_OF(X509), FreeBy<free_chain>>;
using Key = std::unique_ptr<EVP_PKEY, FreeBy<EVP_PKEY_free>>;

constexpr long kMaxClientCertificate = 32 * 1024;  // octets of the client's chain (TL-06)

struct Pair {
  Certificate certificate;
  Chain chain;
  Key key;
  int key_type = 0;
  std::set<std::string> names;  // lower case; wildcards as "*.example.org"
};

// A name as certificates may carry and SNI may ask for; anything else selects nothing (TL-07).
bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= 253 && std::all_of(name.begin(), name.end(), [](char c) {
    return core::is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '*';
  });
}

// Of a pair's names those that SNI may ask for.
std::set<std::string> plain_names_of(X509* certificate) {
  auto names = names_of(certificate);
  std::erase_if(names, [](const std::string& name) { return !is_plain_name(name); });
  ERR_clear_error();
  return names;
}

Bio open_file(const std::string& path, std::string& error) {
  errno = 0;
  Bio file(BIO_new_file(path.c_str(), "r"));
  if (!file) error = path + ": " + (errno != 0 ? std::strerror(errno) : "cannot be opened");
  ERR_clear_error();
  return file;
}

bool read_certificates(const std::string& path, Pair& pair, std::string& error) {
  const Bio file = open_file(path, error);
  if (!file) return false;
  pair.certificate.reset(PEM_read_bio_X509_AUX(file.get(), nullptr, no_passphrase, nullptr));
  if (!pair.certificate) {
    error = path + ": no certificate in it (" + openssl_reason() + ")";
    return false;
  }
  pair.chain.reset(sk_X509_new_null());
  while (X509* next = PEM_read_bio_X509(file.get(), nullptr, no_passphrase, nullptr)) {
    sk_X509_push(pair.chain.get(), next);
  }
  const auto code = ERR_peek_last_error();
  if (ERR_GET_LIB(code) != ERR_LIB_PEM || ERR_GET_REASON(code) != PEM_R_NO_START_LINE) {
    error = path + ": a certificate of the chain cannot be read (" + openssl_reason() + ")";
    return false;
  }
  ERR_clear_error();
  if (X509_cmp_current_time(X509_get0_notAfter(pair.certificate.get())) < 0) {
    error = path + ": the certificate has expired";
    return false;
  }
  if (X509_cmp_current_time(X509_get0_notBefore(pair.certificate.get())) > 0) {
    error = path + ": the certificate is not valid yet";
    return false;
  }
  return true;
}

bool read_key(const std::string& path, Pair& pair, std::string& error) {
  const Bio file = open_file(path, error);
  if (!file) return false;
  pair.key.reset(PEM_read_bio_PrivateKey(file.get(), nullptr, no_passphrase, nullptr));
  if (!pair.key) {
    error = path + ": no private key in it that can be read without a pass phrase (" + openssl_reason() + ")";
    return false;
  }
  pair.key_type = EVP_PKEY_get_base_id(pair.key.get());
  return true;
}

bool read_pair(const CertificateFiles& files, Pair& pair, std::string& error) {
  if (!read_certificates(files.certificate, pair, error) || !read_key(files.key, pair, error)) return false;
  if (X509_check_private_key(pair.certificate.get(), pair.key.get()) != 1) {
    ERR_clear_error();
    error = files.key + ": is not the key of the certificate in " + files.certificate;
    return false;
  }
  pair.names = plain_names_of(pair.certificate.get());
  return true;
}

int accept_any_certificate(int, X509_STORE_CTX*) {
  return 1;
}

bool set_min_version(SSL_CTX* context, const std::string& version) {
  const int number = version == "1.1"   ? TLS1_1_VERSION
                     : version == "1.2" ? TLS1_2_VERSION
                     : version == "1.3" ? TLS1_3_VERSION
                                        : 0;
  return number != 0 && SSL_CTX_set_min_proto_version(context, number) == 1;
}

TlsContext make_server_context(const TlsServerSettings& settings, std::string& error) {
  TlsContext context(SSL_CTX_new(TLS_server_method()));
  if (!context) {
    error = "TLS: " + openssl_reason();
    return nullptr;
  }
  SSL_CTX* const c = context.get();
  set_common_options(c);
  if (!set_min_version(c, settings.min_version)) {
    error = "tls.min_version: \"" + settings.min_version + "\" is none of 1.1, 1.2, 1.3";
    return nullptr;
  }
  // TLS 1.1 signs with SHA-1, which OpenSSL 3 allows at security level 0 only.
  std::string ciphers = settings.ciphers;
  if (settings.min_version == "1.1") ciphers = (ciphers.empty() ? "DEFAULT" : ciphers) + ":@SECLEVEL=0";
  if (!ciphers.empty() && SSL_CTX_set_cipher_list(c, ciphers.c_str()) != 1) {
    error = "tls.ciphers: " + openssl_reason();
    return nullptr;
  }
  if (!settings.ciphersuites.empty() && SSL_CTX_set_ciphersuites(c, settings.ciphersuites.c_str()) != 1) {
    error = "tls.ciphersuites: " + openssl_reason();
    return nullptr;
  }
  if (!settings.ciphers.empty() || !settings.ciphersuites.empty()) {
    SSL_CTX_set_options(c, SSL_OP_CIPHER_SERVER_PREFERENCE);
  }
  SSL_CTX_set_dh_auto(c, 1);
  // Tickets only: their keys are this listener's own, so no other listener (and no former configuration) takes them;
  // the session id context says the same once more (TL-06). No session is kept in memory.
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(c, 1);
  SSL_CTX_set_timeout(c, static_cast<long>(TicketKeys::kLifetime.count()));
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_Digest(settings.listener_name.data(), settings.listener_name.size(), digest.data(), &size, EVP_sha256(), nullptr);
  SSL_CTX_set_session_id_context(c, digest.data(), std::min(size, unsigned{SSL_MAX_SID_CTX_LENGTH}));
  SSL_CTX_set_verify(c, SSL_VERIFY_PEER, accept_any_certificate);
  SSL_CTX_set_max_cert_list(c, kMaxClientCertificate);
  return context;
}

}  // namespace

struct TlsServer::Impl {
  std::vector<Pair> pairs;
  std::map<std::vector<std::size_t>, TlsContext> contexts;  // by the pairs in them
  std::map<std::string, SSL_CTX*> by_name;
  SSL_CTX* fallback = nullptr;
  TicketKeys ticket_keys;  // of this listener, whatever certificate is chosen

  // The first pair of each key type among those that `matches` names.
  template <class F>
  std::vector<std::size_t> select(F matches) const {
    std::vector<std::size_t> chosen;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      const bool taken = std::any_of(chosen.begin(), chosen.end(),
                                     [&](std::size_t other) { return pairs[other].key_type == pairs[i].key_type; });
      if (!taken && matches(i)) chosen.push_back(i);
    }
    return chosen;
  }

  SSL_CTX* context_with(const std::vector<std::size_t>& chosen, const TlsServerSettings& settings, std::string& error) {
    auto& context = contexts[chosen];
    if (context) return context.get();
    context = make_server_context(settings, error);
    if (!context) return nullptr;
    for (const std::size_t i : chosen) {
      const Pair& pair = pairs[i];
      if (SSL_CTX_use_cert_and_key(context.get(), pair.certificate.get(), pair.key.get(), pair.chain.get(), 1) != 1) {
        error = settings.pairs[i].certificate + ": " + openssl_reason();
        return nullptr;
      }
    }
    SSL_CTX_set_tlsext_servername_callback(context.get(), &Impl::on_server_name);
    SSL_CTX_set_tlsext_servername_arg(context.get(), this);
    ticket_keys.use_in(context.get());
    return context.get();
  }

  static int on_server_name(SSL* ssl, int*, void* self) {
    const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (name == nullptr || !is_plain_name(name)) return SSL_TLSEXT_ERR_NOACK;
    const auto& by_name = static_cast<const Impl*>(self)->by_name;
    const std::string host = core::lower(name);
    auto found = by_name.find(host);
    if (found == by_name.end()) found = by_name.find(wildcard_of(host));
    if (found == by_name.end()) return SSL_TLSEXT_ERR_NOACK;
    SSL_set_SSL_CTX(ssl, found->second);
    return SSL_TLSEXT_ERR_OK;
  }
};

TlsServer::TlsServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TlsServer::~TlsServer() = default;

std::shared_ptr<const TlsServer> TlsServer::make(const TlsServerSettings& settings, std::string& error) {
  auto impl = std::make_unique<Impl>();
  if (settings.pairs.empty()) {
    error = "TLS: no certificate is given";
    return nullptr;
  }
  for (const auto& files : settings.pairs) {
    if (!read_pair(files, impl->pairs.emplace_back(), error)) return nullptr;
  }
  const auto& pairs = impl->pairs;
  const auto shares_a_name = [&](std::size_t i) {
    return i == 0 || std::any_of(pairs[0].names.begin(), pairs[0].names.end(),
                                 [&](const std::string& name) { return covers(pairs[i].names, name); });
  };
  impl->fallback = impl->context_with(impl->select(shares_a_name), settings, error);
  if (impl->fallback == nullptr) return nullptr;
  for (const auto& pair : pairs) {
    for (const auto& name : pair.names) {
      const auto chosen = impl->select([&](std::size_t i) { return covers(pairs[i].names, name); });
      SSL_CTX* context = impl->context_with(chosen, settings, error);
      if (context == nullptr) return nullptr;
      impl->by_name.emplace(name, context);
    }
  }
  return std::shared_ptr<const TlsServer>(new TlsServer(std::move(impl)));
}

bool TlsServer::has_certificate_for(std::string_view name) const {
  const auto host = core::lower(name);
  return std::ranges::any_of(impl_->pairs, [&](const Pair& pair) { return covers(pair.names, host); });
}

std::unique_ptr<TlsSession> TlsServer::session(int fd) const {
  return std::make_unique<TlsSession>(impl_->fallback, fd, TlsSession::Side::server);
}

}  // namespace net
