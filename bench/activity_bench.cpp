// links: queue
// The activity log with a million rows: how fast they are written, and how long each kind of look-up takes. Prints one
// JSON object. Target: every look-up < 100 ms. Usage: activity_bench [FOLDER [ROWS]]
// For bench/log_bench: activity_bench fill FILE ROWS makes a log of the last four weeks, and prints by what its middle
// row can be found.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "core/random.hpp"
#include "queue/activity.hpp"

namespace {

using Steady = std::chrono::steady_clock;
constexpr std::int64_t kBegin = 1'700'000'000'000, kStep = 100;
constexpr std::string_view kBusySender = "news@bulk.example";
constexpr core::Milliseconds kFourWeeks{std::chrono::hours(24 * 28)};

double seconds_since(Steady::time_point begin) {
  return std::chrono::duration<double>(Steady::now() - begin).count();
}

queue::Activity make_row(std::uint64_t i, core::Random& random) {
  queue::Activity row;
  row.session = fmt::format("s{:09}", i / 3);
  row.id = fmt::format("s{:09}-{}", i / 3, i % 3 + 1);
  row.message_id = fmt::format("<{:016x}@sender{}.example>", random.next(), i % 5000);
  row.client_ip = "192.0.2.1";
  row.helo = "mx.sender.example";
  const bool busy = i % 4 == 1;  // one sender with a fourth of all mail, none of which is ever put off
  row.mail_from =
      busy ? std::string(kBusySender) : fmt::format("user{}@sender{}.example", random.below(100'000), i % 5000);
  row.rcpt_to = fmt::format("name{}@example.org", random.below(50'000));
  row.destination = "somebody@inbox.example";
  row.subject = "A subject of the usual length, more or less";
  row.size = 10'000;
  row.status = random.below(1000) == 0          ? "bounced"
               : random.below(10) == 0          ? "rejected"
               : !busy && random.below(50) == 0 ? "deferred"
                                                : "forwarded";
  row.spf = row.dkim = row.dmarc = "pass";
  row.arc = "none";
  row.reply = "250 2.0.0 OK";
  row.upstream_host = "mx.inbox.example";
  row.upstream_address = "[2001:db8::25]:25";
  row.upstream_tls = "TLSv1.3 TLS_AES_256_GCM_SHA384";
  row.upstream_reply = "250 2.0.0 OK queued as 4F1A2B3C4D";
  return row;
}

std::unique_ptr<queue::ActivityLog> open_log(const std::string& path, const core::Clock& clock) {
  queue::ActivityLog::Settings settings;
  settings.path = path;
  settings.keep = std::chrono::hours(24 * 36500);
  auto opened = queue::ActivityLog::open(settings, clock);
  if (!opened) {
    fmt::print(stderr, "{}\n", opened.error().text);
    std::exit(1);
  }
  return std::move(*opened);
}

// The row in the middle.
queue::Activity fill(queue::ActivityLog& log, std::uint64_t rows, std::int64_t begin, std::int64_t step) {
  core::SeededRandom random(1);
  queue::Activity middle;
  for (std::uint64_t i = 0; i < rows; ++i) {
    auto row = make_row(i, random);
    row.time = begin + static_cast<std::int64_t>(i) * step;
    if (i == rows / 2) middle = row;
    while (!log.record(row)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return middle;
}

int fill_file(const std::string& path, std::uint64_t rows) {
  const core::SystemClock clock;
  const auto log = open_log(path, clock);
  const auto now = std::chrono::duration_cast<core::Milliseconds>(core::Wall::now().time_since_epoch());
  const auto step = kFourWeeks.count() / static_cast<std::int64_t>(std::max<std::uint64_t>(rows, 1));
  const auto middle = fill(*log, rows, (now - kFourWeeks).count(), step);
  log->close();
  fmt::print(R"({{"id": "{}", "session": "{}", "message_id": "{}", "from": "{}", "rcpt": "{}"}}{})", middle.id,
             middle.session, middle.message_id, middle.mail_from, middle.rcpt_to, '\n');
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view(argv[1]) == "fill") return fill_file(argv[2], std::strtoull(argv[3], nullptr, 10));
  const std::string parent = argc > 1 ? argv[1] : ".";
  const auto rows = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1'000'000;
  std::string folder = parent + "/activity-bench-XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) {
    std::perror("mkdtemp");
    return 1;
  }
  const core::SystemClock clock;
  boost::asio::io_context context{1};  // outlives the log
  const auto path = folder + "/activity.db";
  auto opened = open_log(path, clock);
  auto& log = *opened;
  const auto begin = Steady::now();
  const auto middle = fill(log, rows, kBegin, kStep);
  // The slowest of several turns each; the first waits for the last rows to be written.
  std::string times;
  double slowest = 0;
  const auto measure = [&](std::string_view name, queue::ActivityQuery query) {
    double worst = 0;
    std::size_t found = 0;
    for (int turn = 0; turn < 3; ++turn) {
      auto job = [&]() -> boost::asio::awaitable<void> {
        const auto asked = Steady::now();
        const auto result = co_await log.query(query);
        worst = std::max(worst, seconds_since(asked) * 1000);
        found = result ? result->size() : 0;
      };
      context.restart();
      boost::asio::co_spawn(context, job, boost::asio::detached);
      context.run();
    }
    if (name.empty()) return;
    times += fmt::format(", \"{}_ms\": {:.1f}, \"{}_rows\": {}", name, worst, name, found);
    slowest = std::max(slowest, worst);
  };
  measure("", {});
  const double fill = seconds_since(begin);
  measure("newest", {});
  measure("id", {.id = middle.id});
  measure("session", {.id = middle.session});
  measure("message_id", {.message_id = middle.message_id});
  measure("rcpt", {.rcpt_to = middle.rcpt_to});
  measure("from", {.mail_from = middle.mail_from});
  measure("status", {.status = "bounced"});
  measure("status_and_rcpt", {.rcpt_to = middle.rcpt_to, .status = "bounced"});
  measure("busy_from", {.mail_from = std::string(kBusySender)});
  measure("busy_from_and_bounced", {.mail_from = std::string(kBusySender), .status = "bounced"});
  measure("busy_from_and_deferred", {.mail_from = std::string(kBusySender), .status = "deferred"});
  measure("status_since", {.status = "forwarded", .since = middle.time});
  measure("time", {.since = middle.time, .until = middle.time + 3'600'000});
  measure("follow", {.after = static_cast<std::int64_t>(rows) - 100});
  const auto octets = std::filesystem::file_size(path);
  opened.reset();
  std::filesystem::remove_all(folder);
  fmt::print("{{\"rows\": {}, \"rows_per_s\": {:.0f}, \"database_mb\": {:.0f}{}}}\n", rows,
             static_cast<double>(rows) / fill, static_cast<double>(octets) / 1e6, times);
  return slowest < 100 ? 0 : 1;
}
