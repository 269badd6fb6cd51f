// One open session with a next hop: stream, client dialogue, and where it leads. Connected here, opened by
// forwarder/opening (greeting, EHLO, STARTTLS), kept between transactions by the Pool. Owned by exactly one of: an
// attempt, the pool.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/log.hpp"
#include "core/metrics.hpp"
#include "forwarder/dialogue.hpp"
#include "forwarder/next_hop.hpp"
#include "forwarder/slots.hpp"
#include "forwarder/trouble.hpp"
#include "net/stream.hpp"

namespace forwarder {

// Our source addresses that a destination has refused as such (interface.md §6.22): for an hour another one of the pool
// is used where there is another.
class SourceMarks {
 public:
  void mark(const core::IpAddress& source);
  bool marked(const core::IpAddress& source) const;
  void clear() { until_.clear(); }
  std::vector<core::IpAddress> list() const;

 private:
  std::map<core::IpAddress, core::Steady::time_point> until_;  // only addresses of our own: as bounded as they are
};

struct Upstream {
  Upstream(std::unique_ptr<net::Stream> s, ClientDialogue::Kind kind, std::string helo_name)
      : stream(std::move(s)), dialogue(kind, helo_name), helo(std::move(helo_name)) {}

  std::unique_ptr<net::Stream> stream;
  ClientDialogue dialogue;
  std::string helo;
  std::string key;  // the target's
  std::string host;
  Endpoint endpoint;
  Slots::Connection connection;
  core::Steady::time_point opened = core::Steady::now();
  core::Steady::time_point idle_since{};
  unsigned transactions = 0;
  unsigned generation = 0;  // of the pool when it was opened
  std::string verified_by;  // "dane", "mta-sts", "verified"; "" when nobody insisted on the server's certificate
  TlsWish wish = TlsWish::ordinary;  // under which it was opened

  // Writes what the dialogue wants to say and reads until no reply is awaited any more. One deadline for the whole
  // exchange (UP-02). Errors leave dialogue.stage() at what must be blamed.
  net::Awaitable<core::Result<void>> exchange(core::Deadline deadline);

  bool is_ipv6() const { return endpoint.address.is_v6(); }
  // "TLSv1.3 TLS_AES_256_GCM_SHA384 dane"; "" in clear text.
  std::string tls_text() const {
    if (!stream->tls()) return {};
    return stream->tls()->to_string() + (verified_by.empty() ? "" : " " + verified_by);
  }
  // May a transaction with this wish use a session that was opened for another one? What policies had no say in, or
  // what does not know REQUIRETLS, is for nobody else.
  bool suits(TlsWish other) const {
    return other == TlsWish::optional || wish == other || (other == TlsWish::ordinary && wish == TlsWish::required);
  }
  // What `judge` is told when `reply` or `error` came.
  Trouble trouble(Stage stage, const mail::Reply* reply, core::Error error) const;
};

// The first address that connects: the preferred family's addresses in turn, the other family's from `race_after` on or
// when the preferred ones have failed (interface.md [delivery], DN-13). What was tried is taken off the lists.
struct Connected {
  std::unique_ptr<net::Stream> stream;
  Endpoint endpoint;
  core::Error error;  // of the last address tried, when there is no stream
};
struct RaceMeans {  // outlives the race
  const DeliverySettings& delivery;
  const SourceMarks& marks;
  core::Random& random;
  core::Metrics& metrics;
};
net::Awaitable<Connected> race(RaceMeans means, Addresses& addresses, core::Deadline deadline);

}  // namespace forwarder
