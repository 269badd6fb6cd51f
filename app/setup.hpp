// From nothing to a configuration: what `onward setup` asks, and the texts of the files it writes. Pure; the writing is
// app/new_files, the asking app/cmd_setup.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace app {

struct SetupAnswers {
  std::string hostname;          // "mx.forward.example"
  std::string domain;            // the first forwarded domain
  std::string to;                // where its mail goes; also postmaster's, unless that is said
  std::string local_part;        // local part of the first rule; "*": a catch-all
  std::string postmaster;        // "" : to
  std::string srs_domain;        // "" : hostname
  std::string listen;            // "[::]:25"
  std::string certificate, key;  // "" : no [tls] yet
  std::string user = "onward";
  std::string state_dir, admin_socket;
};

// What is wrong with one answer, in a sentence; nothing: fine. `name` as the flag is called: "hostname", "domain", ...
std::optional<std::string> setup_problem(std::string_view name, const std::string& value);

inline constexpr std::string_view kSetupSelectorRsa = "ow1";
inline constexpr std::string_view kSetupSelectorEd25519 = "ow1e";

// Relative to the folder of onward.toml.
inline constexpr std::string_view kSetupSecrets = "keys/srs.secrets";
inline constexpr std::string_view kSetupRsaKey = "keys/ow1.rsa.pem";
inline constexpr std::string_view kSetupEd25519Key = "keys/ow1.ed25519.pem";
std::string setup_domain_file(const SetupAnswers& answers);  // "domains/example.org.toml"

std::string setup_main_text(const SetupAnswers& answers);
std::string setup_domain_text(const SetupAnswers& answers);

// "text" in TOML, quoted.
std::string toml_string(std::string_view text);

}  // namespace app
