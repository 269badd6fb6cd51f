// onward srs encode / decode: what the daemon would make of a sender, and of a bounce address.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/config.hpp"

namespace app {
namespace {

using nlohmann::json;

// The configuration, and the tokens that a daemon keeps for long senders (read only, beside it).
struct Loaded {
  std::unique_ptr<srs::TokenFile> tokens;
  std::shared_ptr<const Config> config;  // null: its mistakes have been printed
};

Loaded load(const GlobalOptions& global) {
  Loaded out;
  if (const auto state_dir = read_state_dir(global.config); !state_dir.empty()) {
    auto opened = srs::TokenFile::open(state_dir + "/srs.tokens", srs::TokenFile::Access::read_only);
    if (opened) out.tokens = std::move(*opened);  // else there are none, or not for our eyes
  }
  LoadOptions options;
  options.parts = LoadOptions::Parts::srs_only;
  options.tokens = out.tokens.get();
  auto loaded = load_config(global.config, options);
  if (auto* config = std::get_if<std::shared_ptr<const Config>>(&loaded)) {
    out.config = std::move(*config);
  } else {
    for (const auto& error : std::get<std::vector<ConfigError>>(loaded)) fmt::print(stderr, "{}\n", error.to_string());
  }
  return out;
}

void say(const GlobalOptions& global, const std::string& address, const std::string& result) {
  if (global.json) {
    fmt::print("{}\n", json{{"address", address}, {"result", result}}.dump());
  } else {
    fmt::print("{}\n", result);
  }
}

int fail(const GlobalOptions& global, const std::string& address, std::string_view why) {
  if (global.json) fmt::print("{}\n", json{{"address", address}, {"error", std::string(why)}}.dump());
  fmt::print(stderr, "onward: {}: {}\n", address, why);
  return kExitProblem;
}

}  // namespace

int cmd_srs_encode(const GlobalOptions& global, const std::string& address) {
  const auto sender = mail::parse_mailbox(address, mail::Utf8::yes);
  if (!sender) return fail(global, address, "no mail address");
  const auto loaded = load(global);
  const auto& config = loaded.config;
  if (!config) return kExitProblem;
  const auto result = config->forwarding.srs->forward(mail::ReversePath{*sender}, core::Wall::now());
  if (!result) return fail(global, address, "does not fit: the daemon would make a token for it");
  say(global, address, result->to_string());
  return kExitOk;
}

int cmd_srs_decode(const GlobalOptions& global, const std::string& address) {
  const auto mailbox = mail::parse_mailbox(address, mail::Utf8::yes);
  if (!mailbox) return fail(global, address, "no mail address");
  const auto loaded = load(global);
  const auto& config = loaded.config;
  if (!config) return kExitProblem;
  if (!config->forwarding.srs->owns(*mailbox)) {
    return fail(global, address, "no SRS address at " + config->forwarding.srs->domain());
  }
  const auto original = config->forwarding.srs->reverse(mailbox->local, core::Wall::now());
  if (!original) return fail(global, address, srs::to_string(original.error()));
  say(global, address, original->to_string());
  return kExitOk;
}

}  // namespace app
