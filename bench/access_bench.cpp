// links: policy
// A hundred thousand access rules: how long they take to build, what they cost in memory, how fast an address is
// found, and the same for the tables of rates. Prints one JSON object. Usage: access_bench [COUNT]
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <vector>

#include "policy/access.hpp"
#include "policy/rates.hpp"

namespace {

double resident_mb() {
  std::ifstream statm("/proc/self/statm");
  std::size_t total = 0, resident = 0;
  statm >> total >> resident;
  return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1e6;
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

core::IpAddress address(std::uint64_t bits, bool six) {
  if (!six) {
    return core::IpAddress::v4({static_cast<std::uint8_t>(bits >> 24), static_cast<std::uint8_t>(bits >> 16),
                                static_cast<std::uint8_t>(bits >> 8), static_cast<std::uint8_t>(bits)});
  }
  std::array<std::uint8_t, 16> octets{0x20, 0x01};
  for (unsigned i = 0; i < 8; ++i) octets[2 + i] = static_cast<std::uint8_t>(bits >> (56 - 8 * i));
  return core::IpAddress::v6(octets);
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t count = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 100'000;
  core::SeededRandom random(1);
  std::vector<policy::AccessRule> rules;
  for (std::size_t i = 0; i < count; ++i) {
    const bool six = i % 4 == 3;
    // All lengths that occur in such lists.
    const auto length = static_cast<unsigned>(six ? 20 + random.below(45) : 8 + random.below(25));
    rules.push_back({core::Prefix{address(random.next(), six).masked(length), length},
                     i % 2 == 0 ? policy::AccessAction::allow : policy::AccessAction::block});
  }
  const auto before = resident_mb();
  auto begin = std::chrono::steady_clock::now();
  const policy::AccessRules access(std::move(rules), nullptr, nullptr);
  const double built = seconds_since(begin);
  const auto memory = resident_mb() - before;

  constexpr std::size_t kLookups = 1'000'000;
  double seconds[2] = {0, 0};
  std::size_t found = 0;
  for (const bool six : {false, true}) {
    begin = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < kLookups; ++i) {
      found += access.find(address(random.next(), six)).rule != nullptr ? 1 : 0;
    }
    seconds[six ? 1 : 0] = seconds_since(begin);
  }

  policy::Rates rates(random);
  begin = std::chrono::steady_clock::now();
  std::size_t taken = 0;
  const core::Steady::time_point now{std::chrono::hours(1)};
  for (std::size_t i = 0; i < kLookups; ++i) {
    const auto client = address(random.next(), false);
    taken += rates.take(policy::RateKind::messages_of_client, client.bytes(), {300, core::Seconds(60)}, now) ? 1 : 0;
  }
  const double rate = seconds_since(begin);
  fmt::print(
      "{{\"rules\": {}, \"build_s\": {:.2f}, \"memory_mb\": {:.0f}, \"ipv4_ns\": {:.0f}, \"ipv6_ns\": {:.0f}, "
      "\"found\": {}, \"rate_ns\": {:.0f}, \"taken\": {}}}\n",
      access.size(), built, memory, seconds[0] / kLookups * 1e9, seconds[1] / kLookups * 1e9, found,
      rate / kLookups * 1e9, taken);
  return 0;
}
