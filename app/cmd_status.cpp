// onward status: what the daemon is doing, once or, with --watch, again and again in place. Ctrl-C ends the watch.
#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>

#include "app/admin_client.hpp"
#include "app/commands.hpp"
#include "app/config.hpp"
#include "app/status_text.hpp"
#include "core/units.hpp"

namespace app {
namespace {

using nlohmann::json;

constexpr core::Milliseconds kShortest{200};
constexpr core::Milliseconds kLongest{std::chrono::hours(1)};

Screen screen_now() {
  Screen screen;
  screen.style = terminal_style();
  winsize size{};
  if (::isatty(STDOUT_FILENO) == 1 && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) {
    screen.width = size.ws_col;
    screen.height = size.ws_row;
  }
  return screen;
}

// In place on a terminal; otherwise one after the other with an empty line between.
void draw(const json& status) {
  auto screen = screen_now();
  if (screen.width == 0) {
    fmt::print("{}\n", status_text(status, screen));
  } else {
    if (screen.height > 1) --screen.height;  // the cursor's line
    fmt::print("\x1b[H\x1b[2J{}", status_text(status, screen));
  }
  std::fflush(stdout);
}

// A change of the window's size ends the wait (poll is interrupted).
void wait(core::Milliseconds time) {
  static_cast<void>(::poll(nullptr, 0, static_cast<int>(time.count())));
}

// Nothing, and said on stderr: there is no answer.
std::optional<json> ask_status(const std::string& socket) {
  std::string error;
  auto answer = ask_daemon(socket, json{{"command", "status"}}, error);
  if (!answer) fmt::print(stderr, "onward: {}\n", error);
  return answer;
}

int watch(const std::string& socket, core::Milliseconds every, const GlobalOptions& global) {
  struct sigaction action{};
  action.sa_handler = [](int) {};
  static_cast<void>(::sigaction(SIGWINCH, &action, nullptr));
  for (;;) {
    const auto answer = ask_status(socket);
    if (!answer) return kExitTryLater;
    if (global.json) {
      fmt::print("{}\n", answer->dump(-1, ' ', false, json::error_handler_t::replace));
      std::fflush(stdout);
    } else {
      draw(*answer);
    }
    if (std::ferror(stdout) != 0) return kExitProblem;
    wait(every);
  }
}

}  // namespace

int cmd_status(const GlobalOptions& global, const StatusOptions& options) {
  const auto every = core::parse_duration(options.interval);
  if (!every || *every < kShortest || *every > kLongest) {
    fmt::print(stderr, "onward: --interval: write a time from 200ms to 1h, for example 2s\n");
    return kExitUsage;
  }
  const std::string socket = read_admin_socket(global.config);
  if (socket.empty()) {
    fmt::print(stderr, "onward: {}: cannot be read; try onward check\n", global.config);
    return kExitProblem;
  }
  if (options.watch) return watch(socket, *every, global);
  const auto answer = ask_status(socket);
  if (!answer) return kExitTryLater;
  if (global.json) {
    fmt::print("{}\n", answer->dump(2, ' ', false, json::error_handler_t::replace));
  } else {
    auto screen = screen_now();
    screen.height = 0;
    fmt::print("{}", status_text(*answer, screen));
  }
  return kExitOk;
}

}  // namespace app
