// onward check: everything a start or a reload would look at, without starting. All mistakes at once.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "app/admin_client.hpp"
#include "app/commands.hpp"
#include "app/config.hpp"
#include "app/config_diff.hpp"
#include "app/terminal.hpp"

namespace app {
namespace {

using nlohmann::json;

json as_json(const std::vector<ConfigError>& problems) {
  json out = json::array();
  for (const auto& p : problems) {
    out.push_back({{"file", p.file}, {"line", p.line}, {"key", p.key}, {"message", p.message}});
  }
  return out;
}

std::string counted(std::size_t n, std::string_view what) {
  return fmt::format("{} {}{}", n, what, n == 1 ? "" : what.ends_with('s') ? "es" : "s");
}

int print_diff(const GlobalOptions& global, const json& answer) {
  const auto each = [&answer](const char* key) { return answer.value(key, json::array()); };
  const bool good = answer.value("ok", false);
  if (global.json) {
    fmt::print("{}\n", answer.dump(2, ' ', false, json::error_handler_t::replace));
    return good ? kExitOk : kExitProblem;
  }
  for (const auto& error : each("errors")) fmt::print(stderr, "{}\n", error.get<std::string>());
  if (!good) return kExitProblem;
  for (const auto& change : each("changes")) fmt::print("{}\n", change.get<std::string>());
  for (const auto& warning : each("warnings")) {
    fmt::print(stderr, "{} {}\n", painted(STDERR_FILENO, "warning:", "33"), warning.get<std::string>());
  }
  if (each("changes").empty()) fmt::print("a reload would change nothing\n");
  return kExitOk;
}

// What a reload would change: the daemon compares, or we do, with another file as the old state.
int check_diff(const GlobalOptions& global, const std::string& against) {
  if (against.empty()) {
    const auto socket = read_admin_socket(global.config);
    std::string error;
    const auto answer = socket.empty() ? std::nullopt : ask_daemon(socket, json{{"command", "diff"}}, error);
    if (answer) return print_diff(global, *answer);
    fmt::print(stderr, "onward: {}\n", socket.empty() ? global.config + ": cannot be read; try onward check" : error);
    return socket.empty() ? kExitProblem : kExitTryLater;
  }
  json answer{{"ok", false}, {"changes", json::array()}, {"errors", json::array()}, {"warnings", json::array()}};
  std::shared_ptr<const Config> configs[2];
  // What they name is compared by its path.
  const auto whole = [](const std::string& file) {
    return std::filesystem::absolute(file).lexically_normal().string();
  };
  const std::string files[2] = {whole(against), whole(global.config)};
  for (int i = 0; i < 2; ++i) {
    auto loaded = load_config(files[i], LoadOptions());
    if (const auto* errors = std::get_if<std::vector<ConfigError>>(&loaded)) {
      for (const auto& e : *errors) answer["errors"].push_back(e.to_string());
    } else {
      configs[i] = std::get<std::shared_ptr<const Config>>(std::move(loaded));
    }
  }
  if (configs[0] && configs[1]) {
    auto before = configs[0]->sources;
    before.front().path = configs[1]->sources.front().path;  // onward.toml itself: the same file by another name
    answer["ok"] = true;
    answer["changes"] = diff_sources(before, configs[1]->sources);
    answer["warnings"] = restart_needed(*configs[0], *configs[1]);
  }
  return print_diff(global, answer);
}

}  // namespace

int cmd_check(const GlobalOptions& global, const CheckOptions& choice) {
  if (choice.diff) return check_diff(global, choice.against);
  LoadOptions options;
  options.check_user = true;
  const auto loaded = load_config(global.config, options);
  if (const auto* errors = std::get_if<std::vector<ConfigError>>(&loaded)) {
    if (global.json) {
      const json out{{"ok", false}, {"errors", as_json(*errors)}, {"warnings", json::array()}};
      fmt::print("{}\n", out.dump(2, ' ', false, json::error_handler_t::replace));
    } else {
      for (const auto& e : *errors) fmt::print(stderr, "{}\n", e.to_string());
      fmt::print(stderr, "{}\n", painted(STDERR_FILENO, counted(errors->size(), "mistake") + " found", "1;31"));
    }
    return kExitProblem;
  }
  const auto& config = *std::get<std::shared_ptr<const Config>>(loaded);
  if (global.json) {
    const json out{{"ok", true},
                   {"errors", json::array()},
                   {"warnings", as_json(config.warnings)},
                   {"domains", config.domains},
                   {"addresses", config.addresses}};
    fmt::print("{}\n", out.dump(2, ' ', false, json::error_handler_t::replace));
    return kExitOk;
  }
  for (const auto& warning : config.warnings) {
    fmt::print(stderr, "{} {}\n", painted(STDERR_FILENO, "warning:", "33"), warning.to_string());
  }
  fmt::print("{}: {}, {}\n", painted(STDOUT_FILENO, "configuration ok", "32"), counted(config.domains, "domain"),
             counted(config.addresses, "address"));
  return kExitOk;
}

}  // namespace app
