// The daemon's part in `onward check --diff`: it reads the files as a reload would, with its own eyes, and compares
// them with what it runs on.
#include <nlohmann/json.hpp>

#include "app/config_diff.hpp"
#include "app/daemon.hpp"

namespace app {

nlohmann::json Daemon::diff() const {
  LoadOptions options;
  options.tokens = tokens_.get();
  const auto loaded = load_config(config_->file, options);
  nlohmann::json answer{{"ok", false}, {"changes", nlohmann::json::array()}, {"warnings", nlohmann::json::array()}};
  if (const auto* errors = std::get_if<std::vector<ConfigError>>(&loaded)) {
    for (const auto& error : *errors) answer["errors"].push_back(error.to_string());
    return answer;
  }
  const auto& fresh = *std::get<std::shared_ptr<const Config>>(loaded);
  answer["ok"] = true;
  answer["changes"] = diff_sources(config_->sources, fresh.sources);
  answer["warnings"] = restart_needed(*config_, fresh);
  return answer;
}

}  // namespace app
