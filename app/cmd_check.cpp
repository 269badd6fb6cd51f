// onward check: everything a start or a reload would look at, without starting. All mistakes at once.
#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/config.hpp"
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

}  // namespace

int cmd_check(const GlobalOptions& global) {
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
