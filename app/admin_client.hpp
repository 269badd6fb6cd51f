// The commands' end of the admin socket: one request, one answer, blocking, bounded in time.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace app {

// Nothing, and `error` in one line, when no daemon answers.
std::optional<nlohmann::json> ask_daemon(const std::string& socket_path, const nlohmann::json& request,
                                         std::string& error);

}  // namespace app
