// Finds the MTA-STS policy in force for a destination domain (RFC 8461 §3): DNS says whether there is one and when it
// changed, HTTPS has it, the store keeps it. A fetch that fails never loosens what is known. One a shard; several
// messages for one domain wait for one fetch.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "core/log.hpp"
#include "core/metrics.hpp"
#include "dns/resolver.hpp"
#include "forwarder/config.hpp"
#include "forwarder/sts_store.hpp"
#include "net/signal.hpp"

namespace forwarder {

// What was found. `entry` null: no policy.
struct StsFound {
  std::shared_ptr<const StsEntry> entry;
  enum class Trouble { none, fetch, certificate, invalid } trouble = Trouble::none;
  std::string why;  // of the trouble, or why there is no policy
};

class StsFinder {
 public:
  struct Means {  // outlives the finder
    boost::asio::any_io_executor executor;
    dns::Resolver& resolver;
    core::Metrics& metrics;
    const core::Clock& clock;
    StsStore& store;
  };
  explicit StsFinder(Means means) : means_(std::move(means)) {}

  static constexpr core::Seconds kFetchPatience{10};  // interface.md [delivery] mta_sts
  static constexpr std::chrono::minutes kPause{5};    // after a fetch that failed (RFC 8461 §3.3)
  static constexpr std::size_t kMaxPauses = 10'000;

  // The policy to go by now. Waits for DNS and, when something is new, for HTTPS; the log says what was fetched.
  net::Awaitable<StsFound> find(std::shared_ptr<const Config> config, std::string domain, core::Log log,
                                core::Deadline deadline);
  // Fetches the policy of `domain` again, changed or not. For policies that would expire unseen.
  net::Awaitable<void> refresh(std::shared_ptr<const Config> config, std::string domain, core::Log log);

 private:
  struct Fetch {
    std::vector<net::Signal*> waiting;
    StsFound result;
    bool done = false;
  };
  net::Awaitable<StsFound> fetch(std::shared_ptr<const Config> config, std::string domain, std::string id,
                                 core::Log log, core::Deadline deadline);
  net::Awaitable<StsFound> fetch_once(std::shared_ptr<const Config> config, std::string domain, std::string id,
                                      core::Log log, core::Deadline deadline);
  bool paused(const std::string& domain);
  void pause(const std::string& domain);

  Means means_;
  std::map<std::string, std::shared_ptr<Fetch>> fetches_;
  std::map<std::string, core::Steady::time_point> pauses_;
};

}  // namespace forwarder
