// The whole configuration as one immutable snapshot: onward.toml, the domain files, and everything they name (keys,
// secrets, certificates, alias tables) read, checked and made ready (interface.md §2, §6). load_config() says every
// mistake it finds, not the first only; a snapshot exists only when there is none (OP-01).
// Who owns what: the snapshot owns all; sessions and transactions keep it alive by its shared_ptr.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "app/config_error.hpp"
#include "core/ip.hpp"
#include "core/log.hpp"
#include "dns/resolver.hpp"
#include "forwarder/config.hpp"
#include "net/proxy_header.hpp"
#include "smtpd/settings.hpp"
#include "srs/token_store.hpp"

namespace app {

// [[listener]]. `address` as net::Listener::open takes it: "host:port", "fd:N", "systemd", "systemd:NAME".
struct ListenerConfig {
  std::string address;
  smtpd::TlsMode tls = smtpd::TlsMode::starttls;
  net::ProxyMode proxy = net::ProxyMode::off;
  std::vector<core::Prefix> proxies;  // who may hand connections on; not empty when proxy is not off
  // Of this listener alone: sessions are not resumed across listeners (TL-06). Null without [tls], or with tls =
  // "none".
  std::shared_ptr<const net::TlsServer> server;
  std::string where;  // file:line
};

// [https]: serves the MTA-STS policy of the forwarded domains.
struct HttpsConfig {
  std::string listen;  // "host:port"; "" off
  std::shared_ptr<const net::TlsServer> server;
  std::string where;  // file:line
};

struct LogConfig {
  core::LogFormat format = core::LogFormat::json;
  core::LogLevel level = core::LogLevel::info;
  core::Milliseconds activity{std::chrono::hours(24 * 30)};  // how long `onward log` can look back
};

// A file that the configuration was made of, for app/config_diff.
struct ConfigSource {
  enum class Kind { settings, domain, opaque } kind = Kind::opaque;
  std::string path;
  std::string content;  // the TOML text; of opaque ones (keys, certificates, tables) a digest
};

// Budgets of the whole process; limits of one session or message are in smtpd::Settings and forwarder::Config.
struct Limits {
  std::uint64_t memory = 512ULL << 20;  // octets of message data in RAM
  std::uint64_t spill = 10ULL << 30;    // octets of spill files
  std::uint64_t spill_above = 256ULL << 10;
  unsigned connections = 10'000;
  std::uint32_t ledger = 1'000'000;  // fingerprints
};

struct Config {
  std::string file;  // onward.toml as it was named
  std::vector<ConfigSource> sources;
  std::string state_dir = "/var/lib/onward";
  std::string admin_socket = "/run/onward/admin.sock";
  std::string user = "onward";  // to drop to when started as root
  unsigned threads = 0;         // shards; 0: one a core
  std::string metrics_listen;   // "host:port"; "" off

  std::vector<ListenerConfig> listeners;
  HttpsConfig https;
  std::vector<std::string> tls_files;  // certificates and keys: read again when one of them changes
  LogConfig log;
  Limits limits;
  smtpd::Settings smtp;  // smtp.tls: the first listener's, or null
  forwarder::Config
      forwarding;  // complete, but for `listeners`: the ones that are "host:port" with a port other than 0
  dns::ResolverSettings dns;

  std::size_t domains = 0;    // forwarded ones
  std::size_t addresses = 0;  // exact rules and aliases
  std::vector<ConfigWarning> warnings;

  // Where MTA-STS policies of destinations are kept, one file a domain.
  std::string policy_folder() const { return state_dir + "/mta-sts"; }
  // Where the Rewriter's TokenFile is (interface.md §6.25).
  std::string token_file() const { return state_dir + "/srs.tokens"; }
};

struct LoadOptions {
  // Which parts to make ready; the text of onward.toml is checked as a whole in any case.
  enum class Parts {
    all,
    srs_only,  // for `onward srs`: no domain files, keys, certificates
  } parts = Parts::all;
  // Where long senders are kept. The caller owns it and keeps it over reloads; it outlives every snapshot. Null:
  // senders that do not fit are an error (commands beside the daemon).
  srs::TokenStore* tokens = nullptr;
  // As root: is everything that a reload reads again readable by `user`, and does `user` exist (interface.md §6.26)?
  bool check_user = false;
};

using LoadResult = std::variant<std::shared_ptr<const Config>, std::vector<ConfigError>>;

// Blocking file I/O. Errors are in the order of the files and lines they are about.
LoadResult load_config(const std::string& path, const LoadOptions& options);

// state_dir is needed before load_config can be given a TokenStore: reads onward.toml alone. "" when there is a mistake
// in it; load_config will say which.
std::string read_state_dir(const std::string& path);
// For the commands that talk to a daemon: what onward.toml says, mistakes elsewhere in it or not. "" when it is no
// TOML.
std::string read_admin_socket(const std::string& path);

}  // namespace app
