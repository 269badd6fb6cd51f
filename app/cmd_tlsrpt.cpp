// onward tlsrpt: what the daemon has seen of TLS with destinations, and sending the reports of it.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "app/admin_client.hpp"
#include "app/commands.hpp"
#include "app/config.hpp"
#include "app/table.hpp"

namespace app {
namespace {

using nlohmann::json;

void print_results(const json& results) {
  Table table({"DAY", "DESTINATION", "POLICY", "GOOD", "FAILED", "WHY"});
  for (const auto& one : results) {
    for (const auto& policy : one["policies"]) {
      const auto& summary = policy["summary"];
      const auto failed = summary["total-failure-session-count"].get<std::uint64_t>();
      std::string why;
      for (const auto& detail : policy.value("failure-details", json::array())) {
        why += fmt::format("{}{} {}", why.empty() ? "" : ", ", detail["failed-session-count"].get<std::uint64_t>(),
                           detail["result-type"].get<std::string>());
        const auto host = detail.value("receiving-mx-hostname", std::string());
        if (!host.empty()) why += " at " + host;
      }
      table.add(
          {one["day"].get<std::string>(), one["domain"].get<std::string>(),
           policy["policy"]["policy-type"].get<std::string>(),
           std::to_string(summary["total-successful-session-count"].get<std::uint64_t>()), std::to_string(failed), why},
          failed == 0 ? Table::Colour::none : Table::Colour::yellow);
    }
  }
  table.print();
}

}  // namespace

int cmd_tlsrpt(const GlobalOptions& global, const std::string& verb, const std::string& domain) {
  const auto socket = read_admin_socket(global.config);
  if (socket.empty()) {
    fmt::print(stderr, "onward: {}: cannot be read; try onward check\n", global.config);
    return kExitProblem;
  }
  std::string error;
  const auto answer = ask_daemon(socket, json{{"command", "tlsrpt." + verb}, {"domain", domain}}, error);
  if (!answer) {
    fmt::print(stderr, "onward: {}\n", error);
    return kExitTryLater;
  }
  if (!answer->value("ok", false)) {
    fmt::print(stderr, "onward: {}\n", answer->value("error", std::string("refused")));
    return kExitTryLater;
  }
  if (global.json) {
    fmt::print("{}\n", answer->value("results", json::array()).dump(2));
  } else if (verb == "show") {
    print_results((*answer)["results"]);
  } else {
    fmt::print("done; the log says what was sent to whom\n");
  }
  return kExitOk;
}

}  // namespace app
