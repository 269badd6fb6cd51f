#include "policy/zone_health.hpp"

#include <utility>

namespace policy {
namespace {

// A zone of names and one of addresses are tested differently.
std::string key_of(const DnsblZone& zone) {
  return (zone.kind == DnsblZone::Kind::ip ? "ip " : "domain ") + zone.zone;
}

}  // namespace

std::string_view to_string(ZoneHealth::State state) {
  switch (state) {
    case ZoneHealth::State::untested:
      return "untested";
    case ZoneHealth::State::good:
      return "good";
    case ZoneHealth::State::broken:
      return "broken";
  }
  return "untested";
}

ZoneHealth::Entry& ZoneHealth::entry(const DnsblZone& zone) {
  return entries_[key_of(zone)];
}

const ZoneHealth::Entry* ZoneHealth::find(const DnsblZone& zone) const {
  const auto found = entries_.find(key_of(zone));
  return found == entries_.end() ? nullptr : &found->second;
}

ZoneHealth::State ZoneHealth::state_of(const Entry& entry, Time now) {
  return entry.state == State::broken && now >= entry.out_until ? State::untested : entry.state;
}

ZoneHealth::State ZoneHealth::state(const DnsblZone& zone, Time now) const {
  const std::lock_guard lock(mutex_);
  const auto* known = find(zone);
  return known == nullptr ? State::untested : state_of(*known, now);
}

std::string ZoneHealth::problem(const DnsblZone& zone) const {
  const std::lock_guard lock(mutex_);
  const auto* known = find(zone);
  return known == nullptr ? std::string() : known->problem;
}

bool ZoneHealth::test_due(const DnsblZone& zone, Time now) const {
  const std::lock_guard lock(mutex_);
  const auto* known = find(zone);
  if (known == nullptr) return true;
  const auto state = state_of(*known, now);
  return state == State::untested || (state == State::good && now - known->tested >= kTestEvery);
}

bool ZoneHealth::note_test(const DnsblZone& zone, std::string problem, Time now) {
  const std::lock_guard lock(mutex_);
  auto& known = entry(zone);
  const auto before = known.state;
  known.state = problem.empty() ? State::good : State::broken;
  known.tested = now;
  known.ever_tested = true;
  known.silences = 0;
  if (!problem.empty()) known.out_until = now + kOut;
  known.problem = std::move(problem);
  return known.state != before;
}

bool ZoneHealth::note_answer(const DnsblZone& zone, Listing answer, Time now) {
  const std::lock_guard lock(mutex_);
  auto& known = entry(zone);
  ++known.questions;
  switch (answer) {
    case Listing::yes:
      ++known.listings;
      [[fallthrough]];
    case Listing::no:
      known.silences = 0;
      return false;
    case Listing::silent:
      ++known.failures;
      if (++known.silences < kSilences) return false;
      known.problem = "it does not answer";
      break;
    case Listing::wrong:
      ++known.failures;
      known.problem = "it answers what no list means: it refuses our resolver, or its domain is gone";
      break;
  }
  const bool news = known.state != State::broken;
  known.state = State::broken;
  known.silences = 0;
  known.out_until = now + kOut;
  return news;
}

std::vector<ZoneHealth::Told> ZoneHealth::tell(const std::vector<DnsblZone>& zones, Time now) {
  const std::lock_guard lock(mutex_);
  std::map<std::string, Entry, std::less<>> kept;
  std::vector<Told> out;
  for (const auto& zone : zones) {
    Told told;
    told.name = zone.name;
    if (const auto* known = find(zone)) {
      told.state = state_of(*known, now);
      if (told.state == State::broken) told.problem = known->problem;
      told.questions = known->questions;
      told.listings = known->listings;
      told.failures = known->failures;
      if (known->ever_tested) told.tested_ago = std::chrono::duration_cast<core::Seconds>(now - known->tested);
      kept.emplace(key_of(zone), *known);
    }
    out.push_back(std::move(told));
  }
  entries_ = std::move(kept);
  return out;
}

std::size_t ZoneHealth::broken(const std::vector<DnsblZone>& zones, Time now) const {
  std::size_t count = 0;
  for (const auto& zone : zones) count += state(zone, now) == State::broken ? 1 : 0;
  return count;
}

}  // namespace policy
