// Which block lists can be believed now (threats DN-09): a zone that fails its self-test, answers nonsense, or does not
// answer three times in a row is out for five minutes, and then tested again before it counts. Shared by all shards,
// survives reloads, thread-safe; as many entries as zones are configured.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.hpp"
#include "policy/dnsbl.hpp"

namespace policy {

class ZoneHealth {
 public:
  using Time = core::Steady::time_point;
  static constexpr std::chrono::minutes kOut{5};
  static constexpr std::chrono::minutes kTestEvery{30};
  static constexpr unsigned kSilences = 3;

  enum class State { untested, good, broken };
  State state(const DnsblZone& zone, Time now) const;
  // Why it is broken, or was last.
  std::string problem(const DnsblZone& zone) const;
  // Untested, tested long ago, or out and due to be tried again.
  bool test_due(const DnsblZone& zone, Time now) const;

  // News are for the log; true: the zone's state has changed with this call.
  // A self-test's result; "": it works.
  bool note_test(const DnsblZone& zone, std::string problem, Time now);
  // An answer to a real question.
  bool note_answer(const DnsblZone& zone, Listing answer, Time now);

  struct Told {
    std::string name;
    State state = State::untested;
    std::string problem;  // of a broken one
    std::uint64_t questions = 0, listings = 0, failures = 0;
    core::Seconds tested_ago{-1};  // -1: never
  };
  // In the order of `zones`; what is known of other zones is forgotten.
  std::vector<Told> tell(const std::vector<DnsblZone>& zones, Time now);
  std::size_t broken(const std::vector<DnsblZone>& zones, Time now) const;

 private:
  struct Entry {
    State state = State::untested;
    std::string problem;
    Time tested{}, out_until{};
    bool ever_tested = false;
    unsigned silences = 0;
    std::uint64_t questions = 0, listings = 0, failures = 0;
  };
  static State state_of(const Entry& entry, Time now);
  Entry& entry(const DnsblZone& zone);
  const Entry* find(const DnsblZone& zone) const;

  mutable std::mutex mutex_;
  std::map<std::string, Entry, std::less<>> entries_;  // by kind and zone
};
std::string_view to_string(ZoneHealth::State state);

}  // namespace policy
