// What would become of a destination, in words: for `onward route`. Asks DNS, but no mail host.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "core/random.hpp"
#include "dns/resolver.hpp"
#include "forwarder/config.hpp"

namespace app {

// {address, srs_sender, tls, protocol, route?, error?, mx: [{host, preference, addresses: [..], error?}], our_spf:
// [{source, result}]}: hosts and addresses in the order they would be tried, and what SPF will say there of our
// envelope sender from each address we may send from. `sender`: that envelope sender; nothing: a token that only the
// daemon makes.
net::Awaitable<nlohmann::json> explain_destination(const forwarder::Config& forwarding, dns::Resolver& resolver,
                                                   core::Random& random, mail::Mailbox destination,
                                                   std::optional<mail::ReversePath> sender);

// [{domain, selector, algorithm}]: our signatures on mail of the forwarded `domain`.
nlohmann::json explain_signatures(const forwarder::Config& forwarding, const std::string& domain);

}  // namespace app
