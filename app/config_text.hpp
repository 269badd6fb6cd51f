// What the files say, checked value by value but not yet made ready: no file that they name has been read. Reads from
// memory, so that it can be tested and fuzzed without files. Paths are still as written.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/config.hpp"
#include "app/toml_reader.hpp"
#include "policy/routes.hpp"

namespace app {

struct KeyText {
  std::string selector;
  Text file;
};

// onward.toml
struct MainText {
  Config config;  // all plain values; nothing that needs files
  std::vector<Text> domain_globs;
  std::optional<mail::Mailbox> postmaster;

  struct Tls {
    bool present = false;
    unsigned line = 0;
    net::TlsServerSettings settings;
  } tls;
  struct Srs {
    Text domain, secrets_file, accept_sha1_secrets;
    core::Milliseconds max_age = std::chrono::hours(24 * 21);
    srs::Hash hash = srs::Hash::sha256;
  } srs;
  struct Dkim {
    std::string domain;
    std::vector<KeyText> keys;
  } dkim;
  struct Access {
    std::vector<policy::AccessRule> rules;
    std::vector<unsigned> lines;  // of each rule
    Text country, asn;            // MMDB files; "": none
  } access;
  Text tls_ca_file;   // "" : the system's roots
  Text https_listen;  // "" : off
  bool arc_seal = true, arc_written = false;
  unsigned arc_line = 0, dmarc_discovery_line = 0;
};
MainText parse_main(std::string_view text, const std::string& file, Report& report);

// domains/*.toml
struct DomainText {
  policy::DomainSpec spec;
  std::vector<KeyText> dkim;
  Text aliases;  // "" : none
  struct Expectation {
    Text rcpt;
    std::vector<std::string> to;
  };
  std::vector<Expectation> expectations;
};
DomainText parse_domain(std::string_view text, const std::string& file, Report& report);

// The parts of parse_main, one a file.
void read_delivery(Section& root, MainText& out);  // [delivery], [[route]]
void read_policy(Section& root, MainText& out);    // [arc], [access], [[dnsbl]], [policy], [queue]
void read_identity(Section& root, MainText& out);  // [tls], [srs], [dkim]
void read_service(Section& root, MainText& out);  // top level, [[listener]], [limits], [dns], [https], [metrics], [log]
std::vector<KeyText> read_keys(Section& section, std::string_view key);

}  // namespace app
