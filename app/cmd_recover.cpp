// onward recover: checks the queue in state_dir, and saves what a damaged one still holds. Needs the daemon to be
// stopped.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/config.hpp"
#include "queue/sqlite_store.hpp"

namespace app {

int cmd_recover(const GlobalOptions& global) {
  const auto folder = read_state_dir(global.config);
  if (folder.empty()) {
    fmt::print(stderr, "onward: {}: cannot be read; try onward check\n", global.config);
    return kExitProblem;
  }
  const core::SystemClock clock;
  const auto recovery = queue::recover_store(folder, queue::posix_files(), clock);
  if (global.json) {
    const nlohmann::json out{{"needed", recovery.needed},           {"error", recovery.error},
                             {"messages", recovery.messages},       {"recipients", recovery.recipients},
                             {"quarantined", recovery.quarantined}, {"lost", recovery.lost}};
    fmt::print("{}\n", out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  } else if (!recovery.error.empty()) {
    fmt::print(stderr, "onward: {}\n", recovery.error);
  } else if (!recovery.needed) {
    fmt::print("the queue in {} is in order; nothing was changed\n", folder);
  } else {
    fmt::print("{} messages with {} recipients were saved\n", recovery.messages, recovery.recipients);
    if (recovery.quarantined > 0) {
      fmt::print("{} of them are held: their octets are damaged or missing (onward queue list --state hold)\n",
                 recovery.quarantined);
    }
    for (const auto& lost : recovery.lost) fmt::print("lost: {}\n", lost);
  }
  return recovery.error.empty() && recovery.lost.empty() ? kExitOk : kExitProblem;
}

}  // namespace app
