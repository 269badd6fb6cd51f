// What would become of a destination, in words: for `onward route`. Asks DNS, but no mail host.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "core/random.hpp"
#include "dns/resolver.hpp"
#include "forwarder/admission.hpp"
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

// What admission says of a client, by the daemon's own code with a memory that begins here. Outlives everything that it
// has begun on the executor: run that to its end.
class ClientExplainer {
 public:
  ClientExplainer(boost::asio::any_io_executor executor, dns::Resolver& resolver);
  // {access, as_number?, country?, dnsbl: [{name, weight, state, listed, problem?}], dnsbl_score, rdns, ptr, replies:
  // {connect?, mail?, rcpt?}}; `sender`: for what is decided at MAIL. The HELO name is not known here and not judged;
  // rates and greylisting are the daemon's. To be called once.
  net::Awaitable<nlohmann::json> explain(std::shared_ptr<const forwarder::Config> forwarding, core::IpAddress address,
                                         std::optional<mail::ReversePath> sender);

 private:
  core::NullSink nowhere_;
  core::Log log_;
  core::SystemRandom random_;
  core::Metrics metrics_;
  core::SystemClock clock_;
  forwarder::AdmissionState state_{random_};
  forwarder::Admission admission_;
};

// [{domain, selector, algorithm}]: our signatures on mail of the forwarded `domain`.
nlohmann::json explain_signatures(const forwarder::Config& forwarding, const std::string& domain);

}  // namespace app
