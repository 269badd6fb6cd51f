// The asynchronous resolver: every DNS question of the program goes through this interface.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/ip.hpp"
#include "core/metrics.hpp"
#include "core/random.hpp"
#include "dns/answer.hpp"
#include "net/stream.hpp"

namespace dns {

class Resolver {
 public:
  virtual ~Resolver() = default;
  // Never fails otherwise than by Status::failure. A name that cannot be asked for (an empty or overlong label, an
  // octet that is not printable ASCII) is nx_domain without a query; case and a trailing dot do not matter. CNAMEs are
  // followed (at most 8, DN-03). The answer is in by the deadline.
  virtual net::Awaitable<Answer> resolve(Question question, core::Deadline deadline) = 0;
};

// When the AD bit of an answer counts: from a resolver on this host, always, never (threats DN-10).
enum class TrustAd { loopback, always, never };

struct ResolverSettings {
  std::vector<core::HostPort> servers;  // addresses, port 0 is 53; empty: `resolv_conf`, else 127.0.0.1
  core::Milliseconds timeout{5000};     // per attempt
  unsigned attempts = 2;                // per server
  std::size_t cache_entries = 50'000;
  std::size_t in_flight = 2000;  // DN-06
  TrustAd trust_ad = TrustAd::loopback;
  std::string resolv_conf = "/etc/resolv.conf";  // its timeout and attempts count where those above are the defaults
};

// ldns as codec, our own sockets: a fresh random id and port per query (DN-01), UDP with EDNS0 1232, TCP on truncation,
// several servers in turn, cache with TTL and negative TTL, equal questions asked once. One instance a shard, used on
// its thread. A waiter that gives up does not end the question others wait for. Destroyed with questions under way:
// their waiters get Status::failure.
class LdnsResolver final : public Resolver {
 public:
  LdnsResolver(boost::asio::any_io_executor executor, ResolverSettings settings, core::Random& random,
               core::Metrics& metrics, const core::Clock& clock);
  ~LdnsResolver() override;
  net::Awaitable<Answer> resolve(Question question, core::Deadline deadline) override;
  void flush_cache();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// Answers out of a table; for tests and the conformance suites. Unlisted name: nx_domain; listed name, other type:
// no_data.
class ZoneResolver final : public Resolver {
 public:
  void add(std::string name, Type type, Answer answer);
  void add_a(const std::string& name, const std::string& address);  // A or AAAA by its form
  void add_mx(const std::string& name, std::uint16_t preference, const std::string& host);
  void add_txt(const std::string& name, const std::string& text);
  void fail(const std::string& name, Type type);  // failure, as of SERVFAIL
  // From now on what is added, and what is not there, is authenticated.
  void sign() { signed_ = true; }
  net::Awaitable<Answer> resolve(Question question, core::Deadline deadline) override;
  std::size_t questions() const { return questions_; }

 private:
  std::map<std::pair<std::string, Type>, Answer> table_;
  std::size_t questions_ = 0;
  bool signed_ = false;
  Answer& entry(const std::string& name, Type type);
};

}  // namespace dns
