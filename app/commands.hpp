// The subcommands of `onward`: each takes its parsed options, prints, and returns an exit code (interface.md §3).
// Parsing of the command line is app/command_line.cpp; one cmd_*.cpp a subcommand.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace app {

inline constexpr int kExitOk = 0;
inline constexpr int kExitProblem = 1;    // a problem was found, or refused
inline constexpr int kExitUsage = 2;      // the command line is wrong
inline constexpr int kExitTryLater = 75;  // EX_TEMPFAIL: no daemon, or it is busy

struct GlobalOptions {
  std::string config = "/etc/onward/onward.toml";  // -c
  bool json = false;                               // --json
};

struct CheckOptions {
  bool diff = false;
  std::string against;  // --diff FILE; "" : the running daemon
};

struct RouteOptions {
  std::string address;
  std::string from;  // --from; "" : not given ("<>" is the null sender)
  std::string ip;    // --ip; "" : not given
};

struct KeygenOptions {
  std::string domain, selector;
  std::string type = "rsa2048";  // or ed25519
  std::string out;               // "" : SELECTOR.DOMAIN.pem in the current folder
};

struct AuthOptions {
  std::string ip, helo, mail_from;   // mail_from "" or "<>": the null sender
  std::optional<std::int64_t> time;  // Unix seconds to verify at
  std::string dns_server;            // HOST:PORT; "": /etc/resolv.conf
  std::string file;                  // the message; unused with spf_only
  bool spf_only = false;
};

// Which messages of the queue are meant, and what else its commands want to know.
struct QueueFilter {
  std::string id, to, sender, rcpt, state, older;  // older: "2h"
  std::string reason, lasts;                       // of a hold, of a hold rule
  bool all = false;
};

struct LogOptions {
  std::string since, rcpt, from, id, status;  // since: "1h"
  std::size_t most = 100;
  bool follow = false;
};

struct TryOptions {
  std::string ip, helo, from;  // from "" or "<>": the null sender
  std::vector<std::string> to;
  std::string file;  // the message; "-": standard input
};

struct DnsOptions {
  std::string domain;  // "" : our own names
  bool all = false;
  std::string format = "zone";         // records: or json, cloudflare
  std::vector<std::string> addresses;  // our public ones, behind NAT
};

struct SetupOptions {  // "" : to be asked, or the default
  std::string hostname, domain, local_part, to, postmaster, srs_domain, listen, certificate, key, user;
  std::vector<std::string> addresses;  // our public ones, behind NAT
};

struct StatusOptions {
  bool watch = false;
  std::string interval = "2s";
};

struct ImportOptions {
  std::string system;  // "postfix", "csv", "cloudflare"
  std::vector<std::string> files;
  std::string domain, origin;  // of what names none
  std::string out;             // folder; "" : print
};

int cmd_serve(const GlobalOptions& global);
int cmd_check(const GlobalOptions& global, const CheckOptions& options);
int cmd_route(const GlobalOptions& global, const RouteOptions& options);
int cmd_try(const GlobalOptions& global, const TryOptions& options);
int cmd_auth(const GlobalOptions& global, const AuthOptions& options);
int cmd_srs_encode(const GlobalOptions& global, const std::string& address);
int cmd_srs_decode(const GlobalOptions& global, const std::string& address);
int cmd_dkim_keygen(const GlobalOptions& global, const KeygenOptions& options);
int cmd_dns_records(const GlobalOptions& global, const DnsOptions& options);
int cmd_dns_check(const GlobalOptions& global, const DnsOptions& options);
int cmd_setup(const GlobalOptions& global, const SetupOptions& options);
int cmd_import(const GlobalOptions& global, const ImportOptions& options);
int cmd_queue_list(const GlobalOptions& global, const QueueFilter& filter);
int cmd_queue_show(const GlobalOptions& global, const QueueFilter& filter);
// retry, hold, release, fail, delete
int cmd_queue_touch(const GlobalOptions& global, const std::string& verb, const QueueFilter& filter);
// list, add, remove
int cmd_queue_rule(const GlobalOptions& global, const std::string& verb, const QueueFilter& filter);
int cmd_log(const GlobalOptions& global, const LogOptions& options);
int cmd_trace(const GlobalOptions& global, const std::string& id);
// fingerprint "": the newest ones
int cmd_ledger(const GlobalOptions& global, const std::string& fingerprint, std::size_t most);
// show, send; domain "": all
int cmd_tlsrpt(const GlobalOptions& global, const std::string& verb, const std::string& domain);
int cmd_recover(const GlobalOptions& global);
int cmd_status(const GlobalOptions& global, const StatusOptions& options);
int cmd_reload(const GlobalOptions& global);
int cmd_drain(const GlobalOptions& global);
int cmd_stop(const GlobalOptions& global);

// The whole program: parses argv and runs the subcommand. Used by main.cpp only.
int run_command_line(int argc, const char* const* argv);

}  // namespace app
