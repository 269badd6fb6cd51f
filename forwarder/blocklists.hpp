// Asks DNS block lists (policy/dnsbl.hpp) about clients and their domains: all lists at once, beside the dialogue, none
// that has not passed its self-test (RFC 5782 §5, interface.md §6.14), and never one that is out (threats DN-09). Whom
// DNS does not answer about is not listed.
//
// Threads: one shard's; the health of the zones is shared by all shards. What is still being asked when a connection
// ends lives on until its answers are in.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <string>
#include <vector>

#include "core/log.hpp"
#include "core/metrics.hpp"
#include "dns/resolver.hpp"
#include "forwarder/config.hpp"
#include "net/signal.hpp"
#include "policy/zone_health.hpp"

namespace forwarder {

class Blocklists {
 public:
  // All of it outlives the shard's sessions.
  struct Means {
    boost::asio::any_io_executor executor;
    dns::Resolver* resolver = nullptr;
    core::Metrics* metrics = nullptr;
    const core::Clock* clock = nullptr;
    policy::ZoneHealth* health = nullptr;
  };

  // The answers about one client or one message, shared by those who want them.
  class Inquiry {
   public:
    explicit Inquiry(const boost::asio::any_io_executor& executor) : changed_(executor) {}
    // Until all lists have answered; false at the deadline. One waiter at a time.
    net::Awaitable<bool> wait(core::Deadline deadline);
    // What lists them, in the order of the configuration; nothing as long as they are not all there.
    const std::vector<policy::DnsblFinding>& findings() const { return findings_; }

   private:
    friend class Blocklists;
    net::Signal changed_;
    bool known_ = false;
    std::vector<policy::DnsblFinding> findings_;
  };

  Blocklists(const Means& means, core::Log log);

  // Null: there is nothing to ask.
  std::shared_ptr<Inquiry> ask_about(const std::shared_ptr<const Config>& config, const core::IpAddress& client) const;
  // Lists of names: each about each of the domains (A-labels).
  std::shared_ptr<Inquiry> ask_about(const std::shared_ptr<const Config>& config,
                                     const std::vector<std::string>& domains) const;
  // Tests the zones that are due.
  void test(const std::shared_ptr<const Config>& config) const;

 private:
  struct Asked;
  std::shared_ptr<Inquiry> begin(const std::shared_ptr<const Config>& config, std::vector<Asked> questions) const;
  static net::Awaitable<void> run(Means means, core::Log log, std::shared_ptr<const Config> config,
                                  std::vector<Asked> questions, std::shared_ptr<Inquiry> inquiry);
  static net::Awaitable<void> test_zones(Means means, core::Log log, std::shared_ptr<const Config> config,
                                         std::vector<std::size_t> zones);

  Means means_;
  core::Log log_;
};

}  // namespace forwarder
