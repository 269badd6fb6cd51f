// TLS contexts, built once: what a listener offers and how we behave as a client. No OpenSSL type leaves net/.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/error.hpp"

namespace net {

class TlsSession;  // net/tls_session.hpp

struct CertificateFiles {
  std::string certificate;  // PEM chain
  std::string key;          // PEM
};

struct TlsServerSettings {
  std::vector<CertificateFiles> pairs;  // the first is the default; others by SNI and key type
  std::string min_version = "1.2";      // 1.1 | 1.2 | 1.3
  std::string ciphers, ciphersuites;
  std::string listener_name;  // session id context: no resumption across listeners (TL-06)
};

// Immutable once made; shared by the sessions of a configuration snapshot. A client's SNI selects, of each key type,
// the first pair whose certificate names it (exactly or by wildcard); without a match, the first pair and pairs of
// other key types that share a name with it. Client certificates are asked for and logged, never required or trusted.
class TlsServer {
 public:
  // Reads and checks the pairs: unreadable, empty, mismatched, expired. The error text names the file and what is wrong
  // (TL-09).
  static std::shared_ptr<const TlsServer> make(const TlsServerSettings& settings, std::string& error);
  ~TlsServer();

 private:
  friend class Stream;
  std::unique_ptr<TlsSession> session(int fd) const;
  struct Impl;
  explicit TlsServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class TlsClient {
 public:
  enum class Verify { none, required };
  // `ca_file` empty: the system's roots, loaded only when `verify` is required (38 ms).
  static std::shared_ptr<const TlsClient> make(Verify verify, const std::string& ca_file, std::string& error);
  ~TlsClient();

 private:
  friend class Stream;
  // Null, with `error`, when `server_name` cannot be verified.
  std::unique_ptr<TlsSession> session(int fd, const std::string& server_name, std::string& error) const;
  struct Impl;
  explicit TlsClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace net
