// onward status, reload, drain, stop: what is asked of a running daemon over the admin socket.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "app/admin_client.hpp"
#include "app/commands.hpp"
#include "app/config.hpp"
#include "core/units.hpp"

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

void row(std::string_view name, std::string_view value) {
  fmt::print("{:<16}{}\n", name, value);
}

void print_status(const json& s) {
  const auto number = [&s](const char* key) { return s.value(key, std::uint64_t{0}); };
  row("version", s.value("version", std::string()));
  row("up", core::format_duration(core::Seconds(s.value("uptime_s", std::int64_t{0}))));
  row("sessions", std::to_string(number("sessions")));
  row("accepted", std::to_string(number("accepted_total")));
  row("forwarded", std::to_string(number("forwarded_total")));
  row("rejected", std::to_string(number("rejected_total")));
  row("deferred", std::to_string(number("deferred_total")));
  row("memory", fmt::format("{:.1f} of {:.1f} MiB", static_cast<double>(number("memory_bytes")) / 1048576.0,
                            static_cast<double>(number("memory_limit_bytes")) / 1048576.0));
  row("spilled", fmt::format("{:.1f} MiB", static_cast<double>(number("spill_bytes")) / 1048576.0));
  if (s.value("draining", false)) row("state", "draining");
  if (s.value("stress", false)) row("state", "stress: timeouts are short");
  const auto admission = s.value("admission", json::object());
  for (const auto& list : admission.value("dnsbl", json::array())) {
    row("block list", fmt::format("{:<24} {:<8} {} questions, {} listings, {} failures{}", list.value("name", ""),
                                  list.value("state", ""), list.value("questions", std::uint64_t{0}),
                                  list.value("listings", std::uint64_t{0}), list.value("failures", std::uint64_t{0}),
                                  list.contains("problem") ? ": " + list.value("problem", "") : std::string()));
  }
  for (const auto& rule : admission.value("access", json::array())) {
    row("access", fmt::format("{:<24} {:<8} {} hits", rule.value("match", ""), rule.value("action", ""),
                              rule.value("hits", std::uint64_t{0})));
  }
  const auto& upstream = s.at("upstream");
  for (const auto& [target, connections] : upstream.at("connections").items()) {
    row("upstream", fmt::format("{:<40} {:>3} connections", target, connections.get<unsigned>()));
  }
  for (const auto& target : upstream.at("ipv4_only")) {
    row("IPv6 refused", fmt::format("{} (IPv4 is used; reload forgets this)", target.get<std::string>()));
  }
  for (const auto& source : upstream.at("marked_sources")) {
    row("source refused", fmt::format("{} (another is used where there is one)", source.get<std::string>()));
  }
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

int cmd_status(const GlobalOptions& global) {
  int code = kExitOk;
  const auto answer = ask(global, "status", code);
  if (!answer) return code;
  if (global.json) {
    fmt::print("{}\n", answer->dump(2));
  } else {
    print_status(*answer);
  }
  return code;
}

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
