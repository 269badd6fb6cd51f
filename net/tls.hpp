// TLS contexts, built once: what a listener offers and how we behave as a client. No OpenSSL type leaves net/.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "net/tlsa.hpp"

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
  // Does a certificate name it, exactly or by wildcard?
  bool has_certificate_for(std::string_view name) const;

 private:
  friend class Stream;
  std::unique_ptr<TlsSession> session(int fd) const;
  struct Impl;
  explicit TlsServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// What one session as a client must satisfy.
struct TlsDemand {
  enum class Verify {
    none,     // any certificate, and old versions and ciphers too: better than clear text (RFC 7435)
    watch,    // as none; TlsInfo says whether the certificate would have passed `roots`
    encrypt,  // any certificate, but TLS 1.2 or newer
    roots,    // a chain to a root, the name among the certificate's alternative names, TLS 1.2 or newer
    dane,     // one of `tlsa` (RFC 7672), TLS 1.2 or newer
  } verify = Verify::none;
  std::string server_name;              // SNI, and the name that is verified; for dane the TLSA base domain
  std::vector<std::string> also_named;  // dane, usage 2 only: names that are as good (RFC 7672 §3.2.2)
  std::vector<Tlsa> tlsa;
};

// Immutable once made; shared by everybody who connects.
class TlsClient {
 public:
  enum class Roots { none, load };
  // `ca_file`: PEM; empty: the system's roots. Loading takes some 40 ms. Without roots every `roots` demand fails.
  static std::shared_ptr<const TlsClient> make(Roots roots, const std::string& ca_file, std::string& error);
  ~TlsClient();

  // Those of the records that a handshake can go by (TL-05): the others have parameters or data that OpenSSL does not
  // take. Usages 0 and 1 are not for mail (RFC 7672 §3.1.3) and are not among them.
  std::vector<Tlsa> usable(const std::vector<Tlsa>& records) const;

 private:
  friend class Stream;
  // Null, with `error`, when the demand cannot be met whatever the server says.
  std::unique_ptr<TlsSession> session(int fd, const TlsDemand& demand, std::string& error) const;
  struct Impl;
  explicit TlsClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace net
