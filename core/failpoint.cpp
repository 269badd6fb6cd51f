#include "core/failpoint.hpp"

#ifdef ONWARD_FAILPOINTS

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <limits>
#include <optional>
#include <string>
#include <thread>

#include "core/text.hpp"
#include "core/units.hpp"

namespace core {
namespace failpoint {

std::atomic<bool> armed{false};

}  // namespace failpoint

namespace {

constexpr std::size_t kPoints = static_cast<std::size_t>(FailPoint::count_);

constexpr std::array<FailPointInfo, kPoints> kTable{{
#define ONWARD_FAILPOINT_ROW(name, number, where) {#name, number, where},
    ONWARD_FAILPOINT_TABLE(ONWARD_FAILPOINT_ROW)
#undef ONWARD_FAILPOINT_ROW
}};

struct Errno {
  std::string_view name;
  int number;
};
constexpr std::array<Errno, 13> kErrnos{{{"EACCES", EACCES},
                                         {"ECONNREFUSED", ECONNREFUSED},
                                         {"ECONNRESET", ECONNRESET},
                                         {"EDQUOT", EDQUOT},
                                         {"EINTR", EINTR},
                                         {"EIO", EIO},
                                         {"EMFILE", EMFILE},
                                         {"ENFILE", ENFILE},
                                         {"ENOMEM", ENOMEM},
                                         {"ENOSPC", ENOSPC},
                                         {"EPIPE", EPIPE},
                                         {"EROFS", EROFS},
                                         {"ETIMEDOUT", ETIMEDOUT}}};

struct Action {
  enum class Kind { none, kill, stop, delay, error } kind = Kind::none;
  std::uint64_t from = 1, to = std::numeric_limits<std::uint64_t>::max();  // which hits
  Milliseconds delay{0};
  int error = 0;
};

struct Point {
  Action action;
  std::atomic<std::uint64_t> hits{0};
};
std::array<Point, kPoints> points;

Problem bad(std::string_view part, std::string_view what) {
  return {"ONWARD_FAILPOINTS: " + std::string(part) + ": " + std::string(what)};
}

std::optional<Problem> parse_hits(std::string_view part, std::string_view text, Action& action) {
  const bool onwards = text.ends_with('+');
  if (onwards) text.remove_suffix(1);
  const auto number = parse_number(text);
  if (!number || *number == 0) return bad(part, "@ wants the number of a hit, from 1 on");
  action.from = *number;
  if (!onwards) action.to = *number;
  return std::nullopt;
}

std::optional<Problem> parse_action(std::string_view part, std::string_view text, Action& action) {
  const auto colon = std::min(text.find(':'), text.size());
  const auto word = text.substr(0, colon);
  const auto argument = text.substr(std::min(colon + 1, text.size()));
  if (word == "kill" && colon == text.size()) {
    action.kind = Action::Kind::kill;
  } else if (word == "stop" && colon == text.size()) {
    action.kind = Action::Kind::stop;
  } else if (word == "delay") {
    const auto delay = parse_duration(argument);
    if (!delay) return bad(part, "delay wants a time, as in delay:200ms");
    action.kind = Action::Kind::delay;
    action.delay = *delay;
  } else if (word == "errno") {
    const auto found = std::ranges::find(kErrnos, argument, &Errno::name);
    if (found == kErrnos.end()) return bad(part, "errno wants a name that is known here, as in errno:ENOSPC");
    action.kind = Action::Kind::error;
    action.error = found->number;
  } else {
    return bad(part, "the action must be kill, stop, delay:TIME or errno:NAME");
  }
  return std::nullopt;
}

std::optional<Problem> parse_part(std::string_view part, std::array<Action, kPoints>& actions) {
  const auto equals = part.find('=');
  const auto found = std::ranges::find(kTable, part.substr(0, equals), &FailPointInfo::name);
  if (equals == std::string_view::npos || found == kTable.end()) return bad(part, "names no failpoint");
  auto& action = actions[static_cast<std::size_t>(found - kTable.begin())];
  if (action.kind != Action::Kind::none) return bad(part, "is armed already");
  auto text = part.substr(equals + 1);
  if (const auto at = text.find('@'); at != std::string_view::npos) {
    if (auto problem = parse_hits(part, text.substr(at + 1), action)) return problem;
    text = text.substr(0, at);
  }
  return parse_action(part, text, action);
}

// A line as the log's, so that whoever reads the log of a killed process sees why.
void say(std::string_view name, std::string_view action) {
  std::string line = "{\"event\":\"failpoint\",\"name\":\"";
  line += name;
  line += "\",\"action\":\"";
  line += action;
  line += "\"}\n";
  static_cast<void>(!::write(STDERR_FILENO, line.data(), line.size()));
}

}  // namespace

std::span<const FailPointInfo> failpoints() {
  return kTable;
}

Explained<void> arm_failpoints(std::string_view plan) {
  std::array<Action, kPoints> actions;
  if (!plan.empty()) {
    for (const auto part : split(plan, ',')) {
      if (auto problem = parse_part(part, actions)) return std::move(*problem);
    }
  }
  for (std::size_t i = 0; i < kPoints; ++i) {
    points[i].action = actions[i];
    points[i].hits = 0;
  }
  failpoint::armed = !plan.empty();
  return {};
}

std::uint64_t failpoint_hits(FailPoint point) {
  return points[static_cast<std::size_t>(point)].hits.load(std::memory_order_relaxed);
}

Error failpoint::reached(FailPoint where) {
  const auto index = static_cast<std::size_t>(where);
  auto& point = points[index];
  const auto hit = point.hits.fetch_add(1, std::memory_order_relaxed) + 1;
  const auto& action = point.action;
  if (hit < action.from || hit > action.to) return {};
  switch (action.kind) {
    case Action::Kind::none:
      break;
    case Action::Kind::kill:
      say(kTable[index].name, "kill");
      static_cast<void>(std::raise(SIGKILL));
      break;
    case Action::Kind::stop:
      say(kTable[index].name, "stop");
      // The process, not this thread.
      static_cast<void>(::kill(::getpid(), SIGSTOP));
      break;
    case Action::Kind::delay:
      std::this_thread::sleep_for(action.delay);
      break;
    case Action::Kind::error:
      return {action.error, boost::system::system_category()};
  }
  return {};
}

}  // namespace core

#else

namespace core {

std::span<const FailPointInfo> failpoints() {
  return {};
}

Explained<void> arm_failpoints(std::string_view plan) {
  if (plan.empty()) return {};
  return Problem{"failpoints are not compiled into this program"};
}

std::uint64_t failpoint_hits(FailPoint) {
  return 0;
}

}  // namespace core

#endif
