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

// A folder of the daemon's own (0700), made when missing.
bool prepare_folder(const std::string& folder, std::string_view key, std::string& error) {
  std::error_code failed;
  if (std::filesystem::is_directory(folder, failed)) return true;
  std::filesystem::create_directories(folder, failed);
  if (failed) {
    error = fmt::format("{}: cannot make {}: {}", folder, key, failed.message());
    return false;
  }
  static_cast<void>(::chmod(folder.c_str(), 0700));
  return true;
}

// As root, what the daemon writes belongs to the user that it becomes.
void give_to_user(const Config& config, const std::string& admin_folder) {
  if (::geteuid() != 0 || config.user.empty()) return;
  const passwd* user = ::getpwnam(config.user.c_str());
  if (user == nullptr) return;  // Daemon::run says so
  for (const auto& path : {config.state_dir, config.token_file(), admin_folder}) {
    static_cast<void>(::chown(path.c_str(), user->pw_uid, user->pw_gid));
  }
}

}  // namespace

int cmd_serve(const GlobalOptions& global) {
  const std::string state_dir = read_state_dir(global.config);
  std::unique_ptr<srs::TokenFile> tokens;
  std::string error;
  if (!state_dir.empty()) {
    if (!prepare_folder(state_dir, "state_dir", error)) {
      fmt::print(stderr, "onward: {}\n", error);
      return kExitProblem;
    }
    auto opened = srs::TokenFile::open(state_dir + "/srs.tokens");
    if (!opened && opened.error() == boost::system::errc::resource_unavailable_try_again) {  // DU-08
      fmt::print(stderr, "onward: {}: another onward uses this state_dir\n", state_dir);
      return kExitTryLater;
    }
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
  const auto admin_folder = std::filesystem::path(config->admin_socket).parent_path().string();
  const bool own_folder = !std::filesystem::exists(admin_folder);
  if (!prepare_folder(admin_folder, "the folder of admin_socket", error)) {
    fmt::print(stderr, "onward: {}\n", error);
    return kExitProblem;
  }
  give_to_user(*config, own_folder ? admin_folder : config->state_dir);
  Daemon daemon(std::move(config), std::move(tokens));
  return daemon.run();
}

}  // namespace app
