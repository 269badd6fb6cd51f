// onward setup: asks, or takes flags; writes configuration, keys and secrets, never over anything; checks them; says
// what to publish and what to do next.
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/config.hpp"
#include "app/config_files.hpp"
#include "app/dns_records.hpp"
#include "app/new_files.hpp"
#include "app/setup.hpp"
#include "app/terminal.hpp"
#include "auth/signing_key.hpp"
#include "core/random.hpp"
#include "core/text.hpp"

namespace app {
namespace {

using nlohmann::json;

constexpr const char* kSystemFolder = "/etc/onward";
constexpr int kTries = 3;
constexpr std::size_t kSecretOctets = 32;

struct Question {
  const char* name;  // of the flag
  std::string SetupOptions::* value;
  const char* text;
  std::string preset;  // "" : there must be an answer
};

// From the terminal; false: no usable answer.
bool ask(const Question& question, SetupOptions& options) {
  for (int i = 0; i < kTries; ++i) {
    fmt::print(stderr, "{}{}: ", question.text, question.preset.empty() ? "" : fmt::format(" [{}]", question.preset));
    std::string line;
    if (!std::getline(std::cin, line)) return false;
    auto answer = std::string(core::trim(line));
    if (answer.empty()) answer = question.preset;
    const auto wrong = answer.empty() ? std::optional<std::string>("is needed") : setup_problem(question.name, answer);
    if (!wrong) {
      options.*question.value = answer;
      return true;
    }
    fmt::print(stderr, "  {} {}\n", core::printable(answer), *wrong);
  }
  return false;
}

// Fills in what is missing. False: it has been said what is.
bool complete(SetupOptions& options) {
  const bool terminal = ::isatty(STDIN_FILENO) == 1;
  const std::array<Question, 4> questions{{
      {"hostname", &SetupOptions::hostname, "Name of this machine in DNS, for example mx.forward.example", ""},
      {"domain", &SetupOptions::domain, "Domain whose mail shall be forwarded", ""},
      {"local-part", &SetupOptions::local_part, "Local part to forward (* for all)", "*"},
      {"to", &SetupOptions::to, "Where its mail shall go", ""},
  }};
  for (const auto& question : questions) {
    auto& value = options.*question.value;
    if (!value.empty()) continue;
    if (terminal ? ask(question, options) : !question.preset.empty()) {
      if (value.empty()) value = question.preset;
      continue;
    }
    fmt::print(stderr, "onward: --{} is needed\n", question.name);
    return false;
  }
  return true;
}

bool judge(const SetupOptions& options) {
  bool good = true;
  const std::array<std::pair<const char*, const std::string*>, 8> values{{{"hostname", &options.hostname},
                                                                          {"domain", &options.domain},
                                                                          {"local-part", &options.local_part},
                                                                          {"to", &options.to},
                                                                          {"postmaster", &options.postmaster},
                                                                          {"srs-domain", &options.srs_domain},
                                                                          {"listen", &options.listen},
                                                                          {"user", &options.user}}};
  for (const auto& [name, value] : values) {
    const auto wrong = value->empty() ? std::nullopt : setup_problem(name, *value);
    if (!wrong) continue;
    fmt::print(stderr, "onward: --{} \"{}\" {}\n", name, core::printable(*value), *wrong);
    good = false;
  }
  if (options.certificate.empty() != options.key.empty()) {
    fmt::print(stderr, "onward: --certificate and --key belong together\n");
    good = false;
  }
  return good;
}

SetupAnswers answers_of(const SetupOptions& options, const std::string& folder) {
  SetupAnswers out;
  out.hostname = core::lower(options.hostname);
  out.domain = core::lower(options.domain);
  out.local_part = options.local_part;
  out.to = options.to;
  out.postmaster = options.postmaster;
  out.srs_domain = core::lower(options.srs_domain);
  out.listen = options.listen.empty() ? "[::]:25" : options.listen;
  const auto absolute = [](const std::string& path) {
    return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string();
  };
  out.certificate = absolute(options.certificate);
  out.key = absolute(options.key);
  const bool system = folder == kSystemFolder;
  out.state_dir = system ? "/var/lib/onward" : "state";
  out.admin_socket = system ? "/run/onward/admin.sock" : "admin.sock";
  if (!options.user.empty()) out.user = options.user;
  return out;
}

struct Written {
  std::vector<std::string> files;
  std::string wrong;  // "" : all is there
};

Written write_all(const SetupAnswers& answers, const std::string& main_file, NewFiles& files) {
  using Owner = NewFiles::Owner;
  Written out;
  const auto put = [&](std::string_view name, std::string_view content, mode_t mode, Owner owner) {
    if (!out.wrong.empty()) return;
    const auto path = path_beside(main_file, name);
    out.wrong = files.file(path, content, mode, owner);
    out.files.push_back(path);
  };
  const auto folder = std::filesystem::path(main_file).parent_path();
  for (const auto& [path, mode] :
       {std::pair{folder, mode_t{0755}}, {folder / "domains", mode_t{0755}}, {folder / "keys", mode_t{0700}}}) {
    if (out.wrong.empty()) out.wrong = files.folder(path.string(), mode, mode == 0700 ? Owner::account : Owner::us);
  }
  put(std::filesystem::path(main_file).filename().string(), setup_main_text(answers), 0644, Owner::us);
  put(setup_domain_file(answers), setup_domain_text(answers), 0644, Owner::us);
  std::array<std::uint8_t, kSecretOctets> octets{};
  core::SystemRandom random;
  random.fill(octets);
  const core::Secret secret(core::hex({reinterpret_cast<const char*>(octets.data()), octets.size()}) + "\n");
  put(kSetupSecrets, secret.view(), 0600, Owner::account);
  for (const auto& [name, type] :
       {std::pair{kSetupRsaKey, auth::NewKey::rsa2048}, {kSetupEd25519Key, auth::NewKey::ed25519}}) {
    const auto pem = auth::generate_key(type);
    if (!pem) {
      out.wrong = pem.error().text;
    } else {
      put(name, pem->view(), 0600, Owner::account);
    }
  }
  return out;
}

std::vector<std::string> next_steps(const SetupAnswers& answers, const std::string& main_file, bool system) {
  const auto option = system ? std::string() : " -c " + main_file;
  std::vector<std::string> out{"publish the records above, then: onward dns check" + option + " " + answers.domain};
  if (answers.certificate.empty()) out.push_back("get a certificate for " + answers.hostname + " and write [tls]");
  out.push_back(system ? "systemctl enable --now onward" : "onward serve" + option);
  return out;
}

void say(const std::vector<DnsRecord>& records, const Written& written, const std::vector<std::string>& steps) {
  for (const auto& file : written.files) fmt::print("wrote {}\n", file);
  fmt::print("\n{}\n", painted(STDOUT_FILENO, "Publish in DNS:", "1"));
  fmt::print("{}\n{}\n", as_zone(records), painted(STDOUT_FILENO, "Then:", "1"));
  for (std::size_t i = 0; i < steps.size(); ++i) fmt::print("  {}. {}\n", i + 1, steps[i]);
}

}  // namespace

int cmd_setup(const GlobalOptions& global, const SetupOptions& given) {
  auto options = given;
  if (!complete(options) || !judge(options)) return kExitUsage;
  const auto main_file = std::filesystem::absolute(global.config).lexically_normal().string();
  const auto folder = std::filesystem::path(main_file).parent_path().string();
  const bool system = folder == kSystemFolder;
  const auto account = find_account(options.user.empty() ? "onward" : options.user);
  if (::geteuid() == 0 && !account.exists) {
    fmt::print(stderr,
               "onward: there is no account \"{}\": make it (systemd-sysusers with conf/onward.sysusers, or adduser "
               "--system), or name another one with --user\n",
               options.user.empty() ? "onward" : options.user);
    return kExitProblem;
  }
  const auto answers = answers_of(options, folder);
  NewFiles files(account.ids);
  const auto written = write_all(answers, main_file, files);
  if (!written.wrong.empty()) {
    fmt::print(stderr, "onward: {}; nothing was changed\n", written.wrong);
    return kExitProblem;
  }
  LoadOptions load;
  load.check_user = true;
  const auto loaded = load_config(main_file, load);
  if (const auto* errors = std::get_if<std::vector<ConfigError>>(&loaded)) {
    for (const auto& error : *errors) fmt::print(stderr, "{}\n", error.to_string());
    fmt::print(stderr, "onward: nothing was changed\n");
    return kExitProblem;
  }
  files.keep();
  const auto& config = *std::get<std::shared_ptr<const Config>>(loaded);
  std::vector<core::IpAddress> addresses;
  for (const auto& text : options.addresses)
    addresses.push_back(core::IpAddress::parse(text).value_or(core::IpAddress()));
  const auto facts = dns_facts(config, addresses);
  auto records = domain_records(facts, answers.domain);
  for (const auto& record : own_records(facts)) {
    if (std::find(records.begin(), records.end(), record) == records.end()) records.push_back(record);
  }
  const auto steps = next_steps(answers, main_file, system);
  if (global.json) {
    const json out{{"config", main_file}, {"files", written.files}, {"records", as_json(records)}, {"next", steps}};
    fmt::print("{}\n", out.dump(2));
  } else {
    for (const auto& warning : config.warnings) fmt::print(stderr, "warning: {}\n", warning.to_string());
    say(records, written, steps);
  }
  return kExitOk;
}

}  // namespace app
