// What would become of a destination, in words: for `onward route`. Asks DNS, but no mail host.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "core/random.hpp"
#include "dns/resolver.hpp"
#include "forwarder/config.hpp"
#include "forwarder/tls_planner.hpp"

namespace app {

struct ExplainMeans {  // outlives the call
  core::Random& random;
  forwarder::TlsPlanner::Means tls;
};

// {address, srs_sender, tls, mta_sts?, protocol, route?, error?, mx: [{host, preference, addresses: [..], tls, tls_why,
// error?}], our_spf: [{source, result}]}: hosts and addresses in the order they would be tried, what TLS with each must
// be and why, and what SPF will say there of our envelope sender from each address we may send from. `sender`: that
// envelope sender; nothing: a token that only the daemon makes. Fetches an MTA-STS policy that is not kept yet.
net::Awaitable<nlohmann::json> explain_destination(std::shared_ptr<const forwarder::Config> forwarding,
                                                   ExplainMeans means, mail::Mailbox destination,
                                                   std::optional<mail::ReversePath> sender);

// [{domain, selector, algorithm}]: our signatures on mail of the forwarded `domain`.
nlohmann::json explain_signatures(const forwarder::Config& forwarding, const std::string& domain);

}  // namespace app
