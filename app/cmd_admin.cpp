// onward reload, drain, stop: what is asked of a running daemon over the admin socket.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "app/admin_client.hpp"
#include "app/commands.hpp"
#include "app/config.hpp"

namespace app {
namespace {

using nlohmann::json;

// Asks; prints why not. The exit code through `code`.
std::optional<json> ask(const GlobalOptions& global, const char* command, int& code) {
  std::string error;
  const std::string socket = read_admin_socket(global.config);
  if (socket.empty()) {
    fmt::print(stderr, "onward: {}: cannot be read; try onward check\n", global.config);
    code = kExitProblem;
    return std::nullopt;
  }
  auto answer = ask_daemon(socket, json{{"command", command}}, error);
  if (!answer) {
    fmt::print(stderr, "onward: {}\n", error);
    code = kExitTryLater;
    return std::nullopt;
  }
  code = answer->value("ok", true) ? kExitOk : kExitProblem;
  return answer;
}

int simple(const GlobalOptions& global, const char* command, std::string_view done) {
  int code = kExitOk;
  const auto answer = ask(global, command, code);
  if (!answer) return code;
  if (global.json) {
    fmt::print("{}\n", answer->dump(2));
    return code;
  }
  for (const auto& error : answer->value("errors", json::array())) {
    fmt::print(stderr, "{}\n", error.get<std::string>());
  }
  for (const auto& warning : answer->value("warnings", json::array())) {
    fmt::print(stderr, "warning: {}\n", warning.get<std::string>());
  }
  if (code == kExitOk) fmt::print("{}\n", done);
  return code;
}

}  // namespace

int cmd_reload(const GlobalOptions& global) {
  return simple(global, "reload", "reloaded");
}
int cmd_drain(const GlobalOptions& global) {
  return simple(global, "drain", "draining");
}
int cmd_stop(const GlobalOptions& global) {
  return simple(global, "stop", "stopping");
}

}  // namespace app
