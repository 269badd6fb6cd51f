// Gathers what decides about TLS with a destination's hosts (its MTA-STS policy, the TLSA records of each host, what is
// remembered) and has forwarder/tls_policy make the plan of it; tells what came of it for TLS reports. One for an
// attempt, or for `onward route`.
#pragma once

#include <memory>
#include <string>

#include "core/log.hpp"
#include "forwarder/opening.hpp"
#include "forwarder/sts_finder.hpp"
#include "forwarder/tls_policy.hpp"
#include "forwarder/transport.hpp"

namespace forwarder {

class TlsPlanner {
 public:
  struct Means {  // outlives the planner
    dns::Resolver& resolver;
    Transport& transport;
    StsFinder& sts;
  };
  TlsPlanner(Means means, std::shared_ptr<const Config> config, Target target, TlsWish wish)
      : means_(means), config_(std::move(config)), target_(std::move(target)), wish_(wish) {}

  TlsWish wish() const { return wish_; }
  // From now on the destination's policies are passed over ("TLS-Required: No"). False: they were, or must not be.
  bool lift();
  // Do the destination's own policies have a say (interface.md §6.30)?
  bool has_policies() const;

  // Once, before the first host: the domain's MTA-STS policy.
  net::Awaitable<void> find_policy(core::Log log, core::Deadline deadline);
  // The plan for one host of the destination with these addresses (all of it, as find_addresses() gave them).
  net::Awaitable<TlsPlan> plan(Host host, Addresses addresses, core::Deadline deadline);
  const StsFound& sts() const { return sts_; }

  // What became of TLS with the host that was planned for last. `endpoint`, `source`: null when nobody was connected
  // to.
  void report(const TlsSeen& seen, const Endpoint* endpoint, const core::IpAddress* source);

 private:
  TlsPolicyUsed policy_used() const;
  TlsFailure failure_of(const TlsSeen& seen) const;
  void tell(const TlsFailure& failure) const;

  Means means_;
  std::shared_ptr<const Config> config_;
  Target target_;
  TlsWish wish_;
  StsFound sts_;
  Host host_;  // planned for last
  Dane dane_;
};

}  // namespace forwarder
