// links: queue
// The delivery ledger: what a DOT and its 2XX cost (claim, two writes, settle), what a look-up of an unknown message
// costs, what an entry takes in memory, how long a full file takes to open. Prints one JSON object.
// Usage: ledger_bench [LIMIT [FILE]]
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "core/clock.hpp"
#include "queue/ledger.hpp"

namespace {

double resident() {
  std::ifstream statm("/proc/self/statm");
  std::size_t total = 0, pages = 0;
  statm >> total >> pages;
  return static_cast<double>(pages) * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

queue::Copy copy_of(std::uint64_t number) {
  queue::Copy copy;
  copy.fingerprint.exact = core::sha256(std::to_string(number));
  copy.fingerprint.restamped = core::sha256("restamped" + std::to_string(number));
  copy.trace = "abcdefghij-1";
  return copy;
}

void deliver(queue::Ledger& ledger, const queue::Copy& copy) {
  auto claimed = ledger.claim({&copy, 1});
  auto* flight = std::get_if<queue::Flight>(&claimed);
  if (flight == nullptr) std::abort();
  flight->journal_dot();
  mail::Outcome outcome;
  outcome.fate = mail::Fate::delivered;
  flight->settle(0, outcome);
}

// Nanoseconds for each of `count` pairs; the fingerprints are made beforehand.
double pairs(queue::Ledger& ledger, std::uint64_t first, std::uint64_t count) {
  std::vector<queue::Copy> copies;
  copies.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) copies.push_back(copy_of(first + i));
  const auto begin = std::chrono::steady_clock::now();
  for (const auto& copy : copies) deliver(ledger, copy);
  return seconds_since(begin) / static_cast<double>(count) * 1e9;
}

}  // namespace

int main(int argc, char** argv) {
  const auto limit = static_cast<std::uint32_t>(argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 1'000'000);
  const std::string path = argc > 2 ? argv[2] : "/tmp/onward-ledger-bench." + std::to_string(::getpid());
  const core::SystemClock clock;
  constexpr std::uint64_t kSample = 100'000;
  const auto open = [&] {
    auto opened = queue::Ledger::open(path, limit, clock);
    if (!opened) {
      fmt::print(stderr, "{}\n", opened.error().text);
      std::exit(1);
    }
    return std::move(opened->ledger);
  };

  auto ledger = open();
  const auto before = resident();
  for (std::uint64_t i = 0; i < limit; ++i) deliver(*ledger, copy_of(i));
  const auto per_entry = (resident() - before) / static_cast<double>(ledger->stats().entries);
  const auto full = pairs(*ledger, limit, kSample);  // each drops the oldest 2XX

  std::vector<queue::Copy> unknown;
  for (std::uint64_t i = 0; i < kSample; ++i) unknown.push_back(copy_of(3'000'000'000U + i));
  auto begin = std::chrono::steady_clock::now();
  for (const auto& copy : unknown) {
    if (ledger->peek(copy).what != queue::Finding::What::nothing) std::abort();
  }
  const auto peek = seconds_since(begin) / kSample * 1e9;

  const auto cores = std::max(1U, std::thread::hardware_concurrency());
  std::vector<std::thread> threads;
  std::vector<double> each(cores);
  for (unsigned t = 0; t < cores; ++t) {
    threads.emplace_back([&, t] { each[t] = pairs(*ledger, 4'000'000'000U + t * kSample, kSample); });
  }
  for (auto& thread : threads) thread.join();
  const auto shared = std::accumulate(each.begin(), each.end(), 0.0) / cores / cores;

  ledger.reset();
  begin = std::chrono::steady_clock::now();
  ledger = open();
  const auto reopen = seconds_since(begin);
  const auto entries = ledger->stats().entries;
  ledger.reset();
  ::unlink(path.c_str());

  const auto memory_only = queue::Ledger::in_memory(limit, clock);
  const auto in_memory = pairs(*memory_only, 0, kSample);
  fmt::print(
      "{{\"limit\": {}, \"entries\": {}, \"dot_2xx_ns\": {:.0f}, \"dot_2xx_all_cores_ns\": {:.0f}, "
      "\"dot_2xx_in_memory_ns\": {:.0f}, \"peek_ns\": {:.0f}, \"octets_per_entry\": {:.0f}, \"open_s\": {:.2f}}}\n",
      limit, entries, full, shared, in_memory, peek, per_entry, reopen);
  return 0;
}
