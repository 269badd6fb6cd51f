// One open session with a next hop: stream, client dialogue, and where it leads. Opened here (connect, greeting, EHLO,
// STARTTLS), kept between transactions by the Pool. Owned by exactly one of: an attempt, the pool.
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

  // Writes what the dialogue wants to say and reads until no reply is awaited any more. One deadline for the whole
  // exchange (UP-02). Errors leave dialogue.stage() at what must be blamed.
  net::Awaitable<core::Result<void>> exchange(core::Deadline deadline);

  bool is_ipv6() const { return endpoint.address.is_v6(); }
  std::string tls_text() const { return stream->tls() ? stream->tls()->to_string() : std::string(); }
  // What `judge` is told when `reply` or `error` came.
  Trouble trouble(Stage stage, const mail::Reply* reply, core::Error error) const;
};

// How to open a session.
struct OpenSettings {
  Protocol protocol = Protocol::smtp;
  UpstreamTls tls = UpstreamTls::opportunistic;
  const DeliverySettings* delivery = nullptr;  // of the Config, which outlives the call
  std::string hostname;
  std::shared_ptr<const net::TlsClient> tls_client;
};

// A session that said EHLO, or why there is none.
struct Opened {
  std::unique_ptr<Upstream> upstream;
  Judgement judgement;     // when there is no upstream
  Endpoint endpoint;       // that was tried last
  core::IpAddress source;  // our own address there
};

// Says the greeting, EHLO and, when offered and wanted, STARTTLS on a connected stream to `endpoint` of `host`. A
// failed handshake under "opportunistic" connects once more and stays plain; octets behind the 220 of STARTTLS do not
// (TL-03).
net::Awaitable<Opened> open_session(OpenSettings settings, std::unique_ptr<net::Stream> stream, std::string host,
                                    Endpoint endpoint, core::Metrics& metrics, core::Deadline deadline);

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
