// onward serve: load, then run the daemon in the foreground.
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "app/commands.hpp"
#include "app/config.hpp"
#include "app/daemon.hpp"

namespace app {
namespace {

// The state folder, made when missing; as root it is given to the user the daemon becomes.
bool prepare_state_dir(const std::string& folder, std::string& error) {
  std::error_code failed;
  if (!std::filesystem::is_directory(folder, failed)) {
    std::filesystem::create_directories(folder, failed);
    if (failed) {
      error = fmt::format("{}: cannot make state_dir: {}", folder, failed.message());
      return false;
    }
    static_cast<void>(::chmod(folder.c_str(), 0700));
  }
  return true;
}

void give_to_user(const Config& config) {
  if (::geteuid() != 0 || config.user.empty()) return;
  const passwd* user = ::getpwnam(config.user.c_str());
  if (user == nullptr) return;  // Daemon::run says so
  static_cast<void>(::chown(config.state_dir.c_str(), user->pw_uid, user->pw_gid));
  static_cast<void>(::chown(config.token_file().c_str(), user->pw_uid, user->pw_gid));
}

}  // namespace

int cmd_serve(const GlobalOptions& global) {
  const std::string state_dir = read_state_dir(global.config);
  std::unique_ptr<srs::TokenFile> tokens;
  std::string error;
  if (!state_dir.empty()) {
    if (!prepare_state_dir(state_dir, error)) {
      fmt::print(stderr, "onward: {}\n", error);
      return kExitProblem;
    }
    auto opened = srs::TokenFile::open(state_dir + "/srs.tokens");
    if (!opened) {
      fmt::print(stderr, "onward: {}/srs.tokens: {}\n", state_dir, opened.error().message());
      return kExitProblem;
    }
    tokens = std::move(*opened);
  }
  LoadOptions options;
  options.tokens = tokens.get();
  auto loaded = load_config(global.config, options);
  if (const auto* errors = std::get_if<std::vector<ConfigError>>(&loaded)) {
    for (const auto& problem : *errors) fmt::print(stderr, "{}\n", problem.to_string());
    return kExitProblem;
  }
  auto config = std::get<std::shared_ptr<const Config>>(std::move(loaded));
  give_to_user(*config);
  Daemon daemon(std::move(config), std::move(tokens));
  return daemon.run();
}

}  // namespace app
