// The hosts and addresses one attempt can turn to, in order, and what the last of them said: opens a session with the
// next one that lets us. Remembers for the whole shard which destinations refuse our IPv6 addresses, and which of our
// addresses are refused as such. Owned by one attempt.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/log.hpp"
#include "forwarder/opening.hpp"
#include "forwarder/tls_planner.hpp"
#include "forwarder/upstream.hpp"

namespace forwarder {

// Destinations that have refused our IPv6 address: for an hour IPv4 is used at once (interface.md §6.8). Bounded.
class FamilyMemory {
 public:
  bool ipv6_refused(const std::string& target) const;
  void remember(const std::string& target);
  void clear() { until_.clear(); }
  std::vector<std::string> list() const;

 private:
  std::map<std::string, core::Steady::time_point> until_;
};

class Candidates {
 public:
  // What the shard lends and the attempt shares; all of it outlives the candidates.
  struct Means {
    dns::Resolver& resolver;
    core::Random& random;
    core::Metrics& metrics;
    SourceMarks& marks;
    FamilyMemory& families;
    Transport& transport;
    StsFinder& sts;
    const bool& abandoned;  // true: stop as soon as possible
    net::Signal& changed;   // notified when a host was reached
  };
  Candidates(Means means, std::shared_ptr<const Config> config, Target target, TlsWish wish, const core::Log& log);

  // A session that has said EHLO; null when no candidate is left, and last_word() says why.
  net::Awaitable<std::unique_ptr<Upstream>> open_next(core::Deadline deadline);

  // A session ended in a failure that is its host's: another candidate is next; what it said may stay the last word.
  void failed(const Upstream& upstream, const Judgement& judgement);
  // A session that served was given back in order: the next one may be with any of them again, from the first on.
  void begin_anew();
  // Nothing came of it in time, and nobody has said anything.
  void timed_out();

  // Once IPv6 is refused, sessions over it are of no use.
  bool ipv4_only() const { return ipv4_only_; }
  // A connection stood at some time: a silent destination is slow, not unreachable.
  bool reached() const { return reached_; }
  // From now on the destination's TLS policies are passed over ("TLS-Required: No"), and every host is tried anew.
  void lift_tls_policy();
  const std::optional<Judgement>& last_word() const { return last_; }
  const std::string& last_host() const { return last_host_; }
  std::string last_address() const { return last_endpoint_ ? last_endpoint_->to_string() : std::string(); }

 private:
  net::Awaitable<void> find_all(core::Deadline deadline);
  net::Awaitable<void> next_host(core::Deadline deadline);
  net::Awaitable<void> open(Connected connected, core::Deadline deadline, std::unique_ptr<Upstream>& result);
  void refuse_host();
  void note(const Judgement& judgement, std::string host, const Endpoint& endpoint);
  void draw_conclusions(const core::IpAddress& source);
  void give_up(const Unroutable& unroutable);

  Means means_;
  std::shared_ptr<const Config> config_;
  Target target_;
  TlsPlanner tls_;
  const core::Log& log_;
  bool hosts_known_ = false, ipv4_only_ = false, reached_ = false;
  std::vector<Host> hosts_;
  std::size_t next_host_ = 0;
  std::string host_name_;
  TlsPlan plan_;              // for the current host
  bool tls_lacking_ = false;  // a host was passed over for a policy that "TLS-Required: No" lifts
  Addresses addresses_;       // of the current host, not tried yet
  Addresses all_;             // of the current host
  Addresses seen_;            // why addresses of all hosts were left out
  std::optional<Judgement> last_;
  std::string last_host_;
  std::optional<Endpoint> last_endpoint_;
};

}  // namespace forwarder
