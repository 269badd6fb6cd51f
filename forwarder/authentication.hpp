// SPF, DKIM, ARC and DMARC of one message, while it passes: SPF's questions leave at MAIL, those for the keys as soon
// as the header is there, the body is taken as it arrives, and the verdicts are in a bounded time after the final dot
// (promise.md C.3.3, threats DN-08). All judging is auth::Verifier's; this is the I/O around it.
//
// Threads: one shard's. What is still being asked when a transaction ends lives on until its answers are in.
#pragma once

#include <memory>
#include <string_view>

#include "auth/verify.hpp"
#include "core/clock.hpp"
#include "dns/resolver.hpp"

namespace forwarder {

class Authentication {
 public:
  // All of it outlives the shard's transactions.
  struct Means {
    boost::asio::any_io_executor executor;
    dns::Resolver* resolver = nullptr;
    auth::DkimLibrary* library = nullptr;
    core::Metrics* metrics = nullptr;
  };
  // Begins with SPF at once.
  Authentication(const Means& means, const auth::VerifySettings& settings, auth::SpfInput envelope);
  ~Authentication();

  // Null: not known by the deadline.
  net::Awaitable<const auth::SpfResult*> spf(core::Deadline deadline);
  // As far as it is known now.
  const auth::SpfResult* spf_so_far() const;

  // Once, when the header is there; then any slices of the body.
  void headers(const mail::Headers& headers);
  void body(std::string_view slice);

  // After the last octet, once. What DNS has not answered by the deadline counts as failed.
  net::Awaitable<auth::Results> finish(core::Deadline deadline);
  // After finish(): what the next hop's DMARC check will say.
  net::Awaitable<auth::DmarcResult> forecast(auth::Future future, core::Deadline deadline);

  const auth::Authors& authors() const;
  const auth::SpfInput& envelope() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// SPF of `sender` (HELO's, for the null one) as seen by somebody whom `source` connects to: what a next hop will find.
net::Awaitable<auth::SpfResult> spf_of_us(dns::Resolver& resolver, auth::SpfInput input, core::Deadline deadline);

}  // namespace forwarder
