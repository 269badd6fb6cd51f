// onward queue, log, trace, ledger: what the daemon's desk (app/queue_desk) knows, as tables for people or JSON for
// scripts. Bulk work is asked for step by step, with its progress on a terminal.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "app/admin_client.hpp"
#include "app/commands.hpp"
#include "app/config.hpp"
#include "app/table.hpp"
#include "core/text.hpp"
#include "core/units.hpp"

namespace app {
namespace {

using nlohmann::json;

constexpr std::chrono::milliseconds kFollowPause{500};
constexpr std::size_t kListed = 10'000;  // messages that `queue list` prints without --all

class Daemon {
 public:
  explicit Daemon(const GlobalOptions& global) : socket_(read_admin_socket(global.config)), config_(global.config) {}

  // Asks; prints why not. `code` is the exit code then.
  std::optional<json> ask(const json& request, int& code) const {
    if (socket_.empty()) {
      fmt::print(stderr, "onward: {}: cannot be read; try onward check\n", config_);
      code = kExitProblem;
      return std::nullopt;
    }
    std::string error;
    auto answer = ask_daemon(socket_, request, error);
    if (!answer) {
      fmt::print(stderr, "onward: {}\n", error);
      code = kExitTryLater;
      return std::nullopt;
    }
    if (!answer->value("ok", false)) {
      fmt::print(stderr, "onward: {}\n", answer->value("error", std::string("refused")));
      code = kExitProblem;
      return std::nullopt;
    }
    return answer;
  }

 private:
  std::string socket_, config_;
};

std::string dump(const json& value, int indent = 2) {
  return value.dump(indent, ' ', false, json::error_handler_t::replace);
}

json filter_json(const QueueFilter& filter, const char* command) {
  json request{{"command", command}};
  const auto add = [&](const char* key, const std::string& value) {
    if (!value.empty()) request[key] = value;
  };
  add("id", filter.id);
  add("to", filter.to);
  add("sender", filter.sender);
  add("rcpt", filter.rcpt);
  add("state", filter.state);
  add("reason", filter.reason);
  if (!filter.older.empty()) {
    request["older_ms"] = core::parse_duration(filter.older).value_or(core::Milliseconds(0)).count();
  }
  return request;
}

std::optional<std::string> problem_of(const QueueFilter& filter) {
  for (const auto* time : {&filter.older, &filter.lasts}) {
    if (!time->empty() && !core::parse_duration(*time)) return "\"" + *time + "\" is no time; write for example 2h";
  }
  return std::nullopt;
}

int usage(const std::string& text) {
  fmt::print(stderr, "onward: {}\n", text);
  return kExitUsage;
}

// "2026-11-28T20:10:11.123Z" for a table.
std::string short_time(const std::string& text) {
  return text.size() >= 19 ? text.substr(0, 10) + " " + text.substr(11, 8) : text;
}

void print_jobs(const json& jobs) {
  Table table({"ID", "QUEUE", "CREATED", "NEXT", "TRIES", "SIZE", "SENDER", "RECIPIENTS"});
  for (const auto& job : jobs) {
    std::string to;
    for (const auto& one : job["recipients"]) {
      if (!to.empty()) to += ", ";
      to += one["address"].get<std::string>();
      if (one["destination"] != one["address"]) to += " > " + one["destination"].get<std::string>();
    }
    const auto queue = job["queue"].get<std::string>();
    const auto colour = queue == "hold"       ? Table::Colour::yellow
                        : queue == "deferred" ? Table::Colour::red
                                              : Table::Colour::green;
    table.add({job["id"], queue, short_time(job["created"]), short_time(job["next_attempt"]),
               std::to_string(job["attempts"].get<unsigned>()), core::format_size(job["size"].get<std::uint64_t>()),
               "<" + job["sender"].get<std::string>() + ">", to},
              colour);
  }
  table.print();
}

void line(std::string_view name, const std::string& text) {
  if (!text.empty()) fmt::print("{:<14} {}\n", name, core::printable(text));
}

void print_job(const json& job) {
  const auto text = [&](const json& from, const char* key) { return from.value(key, std::string()); };
  line("id", text(job, "id"));
  line("queue", text(job, "queue"));
  line("created", short_time(text(job, "created")));
  line("expires", short_time(text(job, "expires")));
  line("sender", "<" + text(job, "sender") + ">");
  line("size", core::format_size(job.value("size", std::uint64_t{0})));
  line("message-id", text(job, "message_id"));
  line("subject", text(job, "subject"));
  line("client", text(job, "client_ip"));
  for (const auto& one : job["recipients"]) {
    fmt::print("\n");
    line("recipient", "<" + text(one, "address") + ">");
    line("destination", "<" + text(one, "destination") + ">");
    line("rule", text(one, "rule"));
    line("state", text(one, "state") + ", " + text(one, "queue"));
    line("tries", std::to_string(one.value("attempts", 0U)));
    line("next", short_time(text(one, "next_attempt")));
    line("held", text(one, "hold_reason"));
    line("last host", text(one, "last_host"));
    line("last reply", text(one, "last_reply"));
  }
}

void print_rows(const json& rows) {
  Table table({"TIME", "ID", "STATUS", "FROM", "TO", "DESTINATION", "REPLY"});
  for (const auto& row : rows) {
    const auto status = row["status"].get<std::string>();
    const bool good = status == "forwarded" || status == "delivered" || status == "queued" || status == "dropped";
    auto said = row["upstream"]["reply"].get<std::string>();
    if (said.empty()) said = row["reply"].get<std::string>();
    if (said.empty()) said = row["error"].get<std::string>();
    table.add({short_time(row["time"]), row["id"], status, "<" + row["mail_from"].get<std::string>() + ">",
               row["rcpt_to"], row["destination"], said},
              good                   ? Table::Colour::green
              : status == "deferred" ? Table::Colour::yellow
                                     : Table::Colour::red);
  }
  table.print();
}

}  // namespace

int cmd_queue_list(const GlobalOptions& global, const QueueFilter& filter) {
  if (const auto wrong = problem_of(filter)) return usage(*wrong);
  const Daemon daemon(global);
  auto request = filter_json(filter, "queue.list");
  json jobs = json::array();
  int code = kExitOk;
  for (std::int64_t after = 0;;) {
    request["after"] = after;
    const auto answer = daemon.ask(request, code);
    if (!answer) return code;
    for (const auto& job : (*answer)["jobs"]) jobs.push_back(job);
    after = (*answer)["after"];
    if (after == 0 || (jobs.size() >= kListed && !filter.all)) break;
  }
  if (global.json) {
    fmt::print("{}\n", dump(jobs));
  } else if (jobs.empty()) {
    fmt::print("the queue is empty\n");
  } else {
    print_jobs(jobs);
    if (jobs.size() >= kListed && !filter.all) fmt::print("more than {} messages; --all shows them\n", kListed);
  }
  return kExitOk;
}

int cmd_queue_show(const GlobalOptions& global, const QueueFilter& filter) {
  int code = kExitOk;
  const auto answer = Daemon(global).ask(filter_json(filter, "queue.show"), code);
  if (!answer) return code;
  if (global.json) {
    fmt::print("{}\n", dump((*answer)["job"]));
  } else {
    print_job((*answer)["job"]);
  }
  return kExitOk;
}

int cmd_queue_touch(const GlobalOptions& global, const std::string& verb, const QueueFilter& filter) {
  if (const auto wrong = problem_of(filter)) return usage(*wrong);
  const bool named = !filter.id.empty() || !filter.to.empty() || !filter.sender.empty() || !filter.rcpt.empty() ||
                     !filter.state.empty() || !filter.older.empty();
  if (!named && !filter.all)
    return usage("name a message, narrow with --to, --sender, --rcpt, --state or --older, or say --all");
  const Daemon daemon(global);
  auto request = filter_json(filter, ("queue." + verb).c_str());
  const bool show = ::isatty(2) != 0 && !global.json;
  std::uint64_t recipients = 0;
  int code = kExitOk;
  for (std::int64_t after = 0;;) {
    request["after"] = after;
    const auto answer = daemon.ask(request, code);
    if (!answer) return code;
    recipients += (*answer)["recipients"].get<std::uint64_t>();
    after = (*answer)["after"];
    if (show && after != 0) fmt::print(stderr, "\r{} recipients ...", recipients);
    if (after == 0) break;
  }
  if (show) fmt::print(stderr, "\r");
  if (recipients == 0 && !filter.id.empty()) {
    fmt::print(stderr, "onward: {}: no such message in the queue, or nothing of it to {}\n", filter.id, verb);
    return kExitProblem;
  }
  if (global.json) {
    fmt::print("{}\n", dump(json{{"ok", true}, {"recipients", recipients}}));
  } else {
    fmt::print("{}: {} recipient{}\n", verb, recipients, recipients == 1 ? "" : "s");
  }
  return kExitOk;
}

int cmd_queue_rule(const GlobalOptions& global, const std::string& verb, const QueueFilter& filter) {
  if (const auto wrong = problem_of(filter)) return usage(*wrong);
  auto request = filter_json(filter, verb == "add"      ? "queue.rule_add"
                                     : verb == "remove" ? "queue.rule_remove"
                                                        : "queue.rules");
  if (verb == "add" && !filter.lasts.empty()) request["lasts_ms"] = core::parse_duration(filter.lasts)->count();
  if (verb == "remove") {
    const auto number = core::parse_number(filter.id);
    if (!number) return usage("\"" + filter.id + "\" is no number of a rule; onward queue rules list has them");
    request["rule"] = *number;
    request.erase("id");
  }
  int code = kExitOk;
  const auto answer = Daemon(global).ask(request, code);
  if (!answer) return code;
  if (global.json) {
    fmt::print("{}\n", dump(*answer));
    return kExitOk;
  }
  if (verb == "add")
    fmt::print("hold rule {} holds what comes from now on; onward queue hold holds what is there\n",
               (*answer)["rule"].get<std::int64_t>());
  if (verb == "remove") fmt::print("removed; what it held is released\n");
  if (verb != "list") return kExitOk;
  Table table({"RULE", "TO", "SENDER", "RECIPIENT", "EXPIRES", "REASON"});
  for (const auto& rule : (*answer)["rules"]) {
    table.add({std::to_string(rule["rule"].get<std::int64_t>()), rule["to"], rule["sender"], rule["rcpt"],
               short_time(rule["expires"]), rule["reason"]});
  }
  table.print();
  return kExitOk;
}

int cmd_log(const GlobalOptions& global, const LogOptions& options) {
  json request{{"command", "log"}, {"most", options.most}};
  const auto add = [&](const char* key, const std::string& value) {
    if (!value.empty()) request[key] = value;
  };
  add("rcpt", options.rcpt);
  add("from", options.from);
  add(options.id.starts_with('<') ? "message_id" : "id", options.id);
  add("status", options.status);
  if (!options.since.empty()) {
    const auto since = core::parse_duration(options.since);
    if (!since) return usage("\"" + options.since + "\" is no time; write for example 1h");
    const auto now = std::chrono::duration_cast<core::Milliseconds>(core::Wall::now().time_since_epoch());
    request["since"] = (now - *since).count();
  }
  const Daemon daemon(global);
  const auto print = [&](const json& rows) {
    if (rows.empty()) return;
    if (global.json) {
      for (const auto& row : rows) fmt::print("{}\n", dump(row, -1));
    } else {
      print_rows(rows);
    }
    std::fflush(stdout);
  };
  int code = kExitOk;
  auto answer = daemon.ask(request, code);
  if (!answer) return code;
  print((*answer)["rows"]);
  while (options.follow) {
    std::this_thread::sleep_for(kFollowPause);
    request["after"] = std::max<std::int64_t>((*answer)["after"].get<std::int64_t>(), 0);
    request.erase("since");
    answer = daemon.ask(request, code);
    if (!answer) return code;
    print((*answer)["rows"]);
  }
  return kExitOk;
}

int cmd_trace(const GlobalOptions& global, const std::string& id) {
  int code = kExitOk;
  const auto answer = Daemon(global).ask(json{{"command", "trace"}, {"id", id}}, code);
  if (!answer) return code;
  if (global.json) {
    fmt::print("{}\n", dump(*answer));
    return kExitOk;
  }
  for (const auto& row : (*answer)["log"]) {
    const auto text = [&](const char* key) { return row.value(key, std::string()); };
    fmt::print("{}  {}  {}\n", short_time(text("time")), text("id"), text("status"));
    line("  client", text("client_ip") + "  " + text("helo"));
    line("  from", "<" + text("mail_from") + ">");
    line("  to", "<" + text("rcpt_to") + ">" + (text("destination").empty() ? "" : " > <" + text("destination") + ">"));
    line("  message-id", text("message_id"));
    line("  subject", text("subject"));
    line("  verdicts",
         fmt::format("spf {}  dkim {}  dmarc {}  arc {}", text("spf"), text("dkim"), text("dmarc"), text("arc")));
    line("  our reply", text("reply"));
    const auto& upstream = row["upstream"];
    line("  upstream",
         upstream.value("host", "") + " " + upstream.value("address", "") + " " + upstream.value("tls", ""));
    line("  its reply", upstream.value("reply", ""));
    line("  error", text("error"));
  }
  for (const auto& job : (*answer)["queue"]) {
    fmt::print("\nin the queue:\n");
    print_job(job);
  }
  for (const auto& entry : (*answer)["ledger"]) {
    fmt::print("\nledger: {} {} ({})\n", entry["fingerprint"].get<std::string>(), entry["state"].get<std::string>(),
               entry["kind"].get<std::string>());
  }
  return kExitOk;
}

int cmd_ledger(const GlobalOptions& global, const std::string& fingerprint, std::size_t most) {
  json request{{"command", fingerprint.empty() ? "ledger.list" : "ledger.show"}, {"most", most}};
  if (!fingerprint.empty()) request["fingerprint"] = fingerprint;
  int code = kExitOk;
  const auto answer = Daemon(global).ask(request, code);
  if (!answer) return code;
  if (global.json) {
    fmt::print("{}\n", dump((*answer)["entries"]));
    return kExitOk;
  }
  Table table({"FINGERPRINT", "STATE", "KIND", "ID", "MADE", "AGE", "UNKNOWN"});
  for (const auto& row : (*answer)["entries"]) {
    table.add({row["fingerprint"], row["state"], row["kind"], row["id"], short_time(row["made"]),
               core::format_duration(core::Seconds(row["age_s"].get<std::int64_t>())),
               std::to_string(row["unknown"].get<unsigned>())});
  }
  table.print();
  return kExitOk;
}

}  // namespace app
