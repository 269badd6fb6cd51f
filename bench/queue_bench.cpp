// links: queue
// The durable queue on this disk: puts a second from many callers at once, how many share one fsync, and what the disk
// itself can do (fdatasync a second, one after the other). Then a queue of 100,000 messages: how long it takes to open,
// and until the first work is leased. Prints one JSON object. Targets: 2,000 puts/s where the disk allows, open < 2 s,
// first lease < 5 s. Usage: queue_bench [FOLDER [SECONDS [CALLERS [OCTETS [MESSAGES]]]]]
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "queue/sqlite_store.hpp"

namespace {

using Steady = std::chrono::steady_clock;

double seconds_since(Steady::time_point begin) {
  return std::chrono::duration<double>(Steady::now() - begin).count();
}

// Appends of 4 KiB, each synced.
double raw_syncs(const std::string& folder, double seconds) {
  const auto path = folder + "/raw";
  const int fd = ::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) return 0;
  const std::string block(4096, 'x');
  std::uint64_t count = 0;
  const auto begin = Steady::now();
  for (; seconds_since(begin) < seconds; ++count) {
    if (::pwrite(fd, block.data(), block.size(), static_cast<off_t>(count * block.size())) < 0) break;
    if (::fdatasync(fd) != 0) break;
  }
  const double rate = static_cast<double>(count) / seconds_since(begin);
  ::close(fd);
  ::unlink(path.c_str());
  return rate;
}

queue::NewMessage make_message(const queue::Store& store, std::uint64_t number, std::uint64_t octets) {
  queue::NewMessage message;
  message.envelope.id = fmt::format("bench-{}", number);
  message.envelope.sender.mailbox = {"bob", "sender.example"};
  message.envelope.srs_sender.mailbox = {"SRS0=abcd=XY=sender.example=bob", "forward.example"};
  message.envelope.message_id = fmt::format("<{}@sender.example>", number);
  message.envelope.subject = "Measured";
  message.envelope.client_ip = "192.0.2.1";
  message.envelope.helo = "mx.sender.example";
  message.envelope.size = octets;
  message.envelope.header_size = 200;
  message.envelope.expires = store.now() + 432'000'000;
  queue::Recipient recipient;
  recipient.address.mailbox = {"sales", "example.org"};
  recipient.rule = "example.org/sales";
  recipient.domain = "example.org";
  recipient.destination = {fmt::format("user{}", number % 1000), fmt::format("mailbox{}.example", number % 300)};
  recipient.hop = recipient.destination.domain;
  recipient.fingerprint.fill(static_cast<std::uint8_t>(number | 1));
  message.recipients.push_back(std::move(recipient));
  return message;
}

struct Load {
  queue::Store& store;
  std::uint64_t octets = 0;
  Steady::time_point end{};
  std::uint64_t most = 0;  // 0: until `end`
  std::uint64_t next = 0, done = 0, failed = 0;
  std::vector<double> latencies{};
};

// One caller: puts one message after the other.
boost::asio::awaitable<void> caller(Load& load) {
  while (load.most == 0 ? Steady::now() < load.end : load.next < load.most) {
    auto message = make_message(load.store, load.next++, load.octets);
    queue::TextSource source(std::string(load.octets, 'x'));
    const auto begin = Steady::now();
    const auto receipt = co_await load.store.put(std::move(message), source);
    load.latencies.push_back(seconds_since(begin) * 1000);
    ++(receipt.ok() ? load.done : load.failed);
  }
}

// The store's threads hand their answers over to it; it outlives the store.
using Context = boost::asio::io_context;

void run(Context& context, Load& load, unsigned callers) {
  context.restart();
  for (unsigned i = 0; i < callers; ++i) boost::asio::co_spawn(context, caller(load), boost::asio::detached);
  context.run();
}

std::unique_ptr<queue::Store> open(queue::StoreSettings settings, const core::Clock& clock) {
  auto opened = queue::open_store(std::move(settings), queue::posix_files(), clock);
  if (auto* const failure = std::get_if<queue::OpenFailure>(&opened)) {
    fmt::print(stderr, "{}\n", failure->text);
    std::exit(1);
  }
  return std::move(std::get<std::unique_ptr<queue::Store>>(opened));
}

double lease_some(Context& context, queue::Store& store, std::size_t& leased) {
  context.restart();
  const auto begin = Steady::now();
  auto job = [&]() -> boost::asio::awaitable<void> {
    queue::LeaseRequest request;
    request.most = 100;
    request.lease_for = std::chrono::minutes(30);
    const auto got = co_await store.lease_due(std::move(request));
    leased = got ? got->work.size() : 0;
  };
  boost::asio::co_spawn(context, job, boost::asio::detached);
  context.run();
  return seconds_since(begin);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string parent = argc > 1 ? argv[1] : ".";
  const double seconds = argc > 2 ? std::strtod(argv[2], nullptr) : 5;
  const auto callers = static_cast<unsigned>(argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 200);
  const auto octets = argc > 4 ? std::strtoull(argv[4], nullptr, 10) : 10'000;
  const auto messages = argc > 5 ? std::strtoull(argv[5], nullptr, 10) : 100'000;
  std::string folder = parent + "/queue-bench-XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) {
    std::perror("mkdtemp");
    return 1;
  }
  const core::SystemClock clock;
  std::atomic<std::uint64_t> commits{0};
  queue::StoreSettings settings;
  settings.folder = folder;
  settings.most_messages = 10'000'000;
  settings.at_point = [&](std::string_view point) {
    if (point == "queue.after_commit") commits.fetch_add(1, std::memory_order_relaxed);
  };

  Context context{1};
  const double raw_before = raw_syncs(folder, 1);
  auto store = open(settings, clock);
  Load load{
      .store = *store, .octets = octets, .end = Steady::now() + std::chrono::milliseconds(std::lround(seconds * 1000))};
  const auto begin = Steady::now();
  run(context, load, callers);
  const double took = seconds_since(begin);
  const auto syncs = commits.load();
  std::sort(load.latencies.begin(), load.latencies.end());
  const double median = load.latencies[load.latencies.size() / 2];
  const double p99 = load.latencies[load.latencies.size() * 99 / 100];
  const double raw_after = raw_syncs(folder, 1);

  Load fill{.store = *store, .octets = 2'000, .most = load.next + messages, .next = load.next};
  run(context, fill, 500);
  store.reset();
  const auto opening = Steady::now();
  store = open(settings, clock);
  const double open_seconds = seconds_since(opening);
  std::size_t leased = 0;
  const double lease_seconds = lease_some(context, *store, leased);
  store.reset();
  std::filesystem::remove_all(folder);

  const double rate = static_cast<double>(load.done) / took;
  fmt::print(
      "{{\"puts_per_s\": {:.0f}, \"octets\": {}, \"callers\": {}, \"failed\": {}, \"fsyncs_per_s\": {:.0f}, "
      "\"messages_per_fsync\": {:.1f}, \"median_ms\": {:.1f}, \"p99_ms\": {:.1f}, \"raw_fdatasync_per_s\": [{:.0f}, "
      "{:.0f}], \"queued\": {}, \"open_s\": {:.2f}, \"first_lease_s\": {:.3f}, \"leased\": {}}}\n",
      rate, octets, callers, load.failed + fill.failed, static_cast<double>(syncs) / took,
      static_cast<double>(load.done) / static_cast<double>(std::max<std::uint64_t>(syncs, 1)), median, p99, raw_before,
      raw_after, load.done + fill.done, open_seconds, lease_seconds, leased);
  return rate >= 2000 && open_seconds < 2 && lease_seconds < 5 && leased == 100 ? 0 : 1;
}
