// The daemon's part in `onward status`: everything it knows of itself, as JSON (interface.md §3).
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>
#include <future>
#include <nlohmann/json.hpp>
#include <set>

#include "app/daemon.hpp"

namespace app {
namespace {

constexpr core::Seconds kAskUnit{2};
// Access rules that are told of, those with most hits.
constexpr std::size_t kAccessRulesTold = 100;

// {"accepted": {"1m": 12.0, ...}, ...}, messages (connections, recipients) a minute.
nlohmann::json rates_json(const RateKeeper& keeper) {
  static constexpr std::array<std::string_view, kRated.size()> kNames{
      "connections", "accepted", "forwarded", "queued", "rejected", "deferred", "queue_delivered", "queue_deferred"};
  static constexpr std::array<std::pair<const char*, int>, 3> kWindows{{{"1m", 1}, {"5m", 5}, {"15m", 15}}};
  auto out = nlohmann::json::object();
  for (const auto& [name, minutes] : kWindows) {
    const auto rates = keeper.per_minute(std::chrono::minutes(minutes));
    for (std::size_t i = 0; i < kNames.size(); ++i) {
      if (rates) out[std::string(kNames[i])][name] = (*rates)[i];
    }
  }
  return out;
}

// Seconds below which that share of all lies, since the start.
nlohmann::json timing_json(const core::Histogram& histogram) {
  return {{"count", histogram.count()},
          {"p50", histogram.quantile(0.5)},
          {"p95", histogram.quantile(0.95)},
          {"p99", histogram.quantile(0.99)}};
}

}  // namespace

std::uint64_t Daemon::sum(core::Counter counter) const {
  std::uint64_t total = metrics_.get(counter);
  for (const auto& unit : units_) total += unit->shard.metrics().get(counter);
  return total;
}

core::Histogram Daemon::sum(core::Timing timing) const {
  auto total = metrics_.timings().get(timing);
  for (const auto& unit : units_) total += unit->shard.metrics().timings().get(timing);
  return total;
}

void Daemon::take_sample() {
  RateKeeper::Values values{};
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = sum(kRated[i]);
  rates_.sample(core::Steady::now(), values);
}

// Access rules with hits, block lists and their health, how many clients and senders are being counted.
nlohmann::json Daemon::admission_status() {
  nlohmann::json out;
  const auto& forwarding = config_->forwarding;
  const auto now = clock_.steady();
  out["access"] = nlohmann::json::array();
  if (forwarding.access) {
    for (const auto& [rule, hits] : forwarding.access->hits(kAccessRulesTold)) {
      const bool allows = rule->action == policy::AccessAction::allow;
      out["access"].push_back({{"match", rule->to_string()}, {"action", allows ? "allow" : "block"}, {"hits", hits}});
    }
    for (const auto& database : {forwarding.access->countries(), forwarding.access->networks()}) {
      if (database) out["geoip"].push_back(database->description());
    }
  }
  out["dnsbl"] = nlohmann::json::array();
  for (const auto& list : admission_.lists.tell(forwarding.admission.lists, now)) {
    nlohmann::json one{{"name", list.name},
                       {"state", std::string(policy::to_string(list.state))},
                       {"questions", list.questions},
                       {"listings", list.listings},
                       {"failures", list.failures}};
    if (!list.problem.empty()) one["problem"] = list.problem;
    if (list.tested_ago.count() >= 0) one["tested_s_ago"] = list.tested_ago.count();
    out["dnsbl"].push_back(std::move(one));
  }
  out["rates"] = {{"counted", admission_.rates.in_use(now)}, {"capacity", admission_.rates.capacity()}};
  return out;
}

net::Awaitable<nlohmann::json> Daemon::status() {
  nlohmann::json out;
  const auto uptime = core::Steady::now() - started_;
  out["version"] = ONWARD_VERSION;
  out["hostname"] = config_->forwarding.hostname;
  out["uptime_s"] = std::chrono::duration_cast<core::Seconds>(uptime).count();
  out["sessions"] = connections_.total();
  out["sessions_limit"] = std::min<std::size_t>(config_->limits.connections, connections_.ceiling());
  out["stress"] = stress_.on();
  out["accepted_total"] = sum(core::Counter::messages_accepted);
  out["forwarded_total"] = sum(core::Counter::messages_forwarded);
  out["rejected_total"] = sum(core::Counter::messages_rejected);
  out["deferred_total"] = sum(core::Counter::messages_deferred);
  out["queued_total"] = sum(core::Counter::messages_queued);
  out["queue"] = co_await desk_->summary();
  out["memory_bytes"] = memory_.used();
  out["memory_limit_bytes"] = memory_.limit();
  out["spill_bytes"] = disk_.used();
  out["spill_limit_bytes"] = disk_.limit();
  out["pressure"] = std::max(memory_.pressure(), disk_.pressure());
  out["draining"] = shutting_down_;
  out["log_lines_dropped"] = sink_.dropped();
  auto& counters = out["counters"];
  for (std::size_t i = 0; i < static_cast<std::size_t>(core::Counter::count_); ++i) {
    const auto counter = static_cast<core::Counter>(i);
    counters[std::string(core::info(counter).name)] = sum(counter);
  }
  out["rates"] = rates_json(rates_);
  out["admission"] = admission_status();
  auto& timings = out["timings"];
  for (std::size_t i = 0; i < static_cast<std::size_t>(core::Timing::count_); ++i) {
    const auto timing = static_cast<core::Timing>(i);
    timings[std::string(core::info(timing).name)] = timing_json(sum(timing));
  }
  out["upstream"] = upstream_status();
  if (const auto& seen = dns_watch_.last()) {
    out["dns_check"] = {{"age_s", std::chrono::duration_cast<core::Seconds>(clock_.wall() - seen->time).count()},
                        {"names", seen->names},
                        {"failures", seen->summary.failures},
                        {"warnings", seen->summary.warnings},
                        {"score", seen->summary.score}};
  }
  co_return out;
}

nlohmann::json Daemon::upstream_status() {
  nlohmann::json out;
  out["connections"] = slots_.in_use();
  std::size_t kept = 0;
  std::set<std::string> ipv4_only, marked;
  for (auto& unit : units_) {
    // Asked on the shard's own thread; a shard that is busy for so long is news by itself.
    struct Told {
      std::size_t kept = 0;
      std::vector<std::string> ipv4_only, marked;
    };
    std::packaged_task<Told()> ask([one = unit.get()] {
      Told told;
      told.kept = one->engine.pool().size();
      told.ipv4_only = one->engine.ipv4_only_targets();
      for (const auto& source : one->engine.marked_sources().list()) told.marked.push_back(source.to_string());
      return told;
    });
    auto answer = boost::asio::post(unit->shard.executor(), std::move(ask));
    if (answer.wait_for(kAskUnit) != std::future_status::ready) {
      out["unresponsive_shard"] = true;
      continue;
    }
    auto told = answer.get();
    kept += told.kept;
    ipv4_only.insert(told.ipv4_only.begin(), told.ipv4_only.end());
    marked.insert(told.marked.begin(), told.marked.end());
  }
  out["kept"] = kept;
  out["ipv4_only"] = ipv4_only;
  out["marked_sources"] = marked;
  return out;
}

}  // namespace app
