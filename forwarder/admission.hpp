// Who may talk to us, and how much: access rules, block lists, reverse DNS, HELO, the sender's domain, rates and
// greylisting (interface.md [access], [[dnsbl]], [policy], [limits]). All judging is policy's; this is the I/O around
// it, and the state that all shards share.
//
// The order of things: when a client connects, access rules decide, and the block lists are asked. At MAIL the message
// counts for its rates and the sender's domain is looked at, the rest of the questions leave. At RCPT, before the rules
// are looked at and before any next hop hears of the client (promise.md C.3.1), the answers are awaited and decide: a
// client that is refused learns nothing about which addresses exist. Then, for a recipient that does, the rates of the
// rule and of its destinations, and greylisting.
//
// Threads: an Admission, its visits and inspections live on one shard; AdmissionState is shared and thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "dns/resolver.hpp"
#include "forwarder/blocklists.hpp"
#include "forwarder/config.hpp"
#include "forwarder/handler.hpp"
#include "forwarder/reverse_name.hpp"
#include "policy/repeats.hpp"
#include "policy/zone_health.hpp"

namespace forwarder {

// What is remembered of clients, over all shards and reloads. Bounded.
struct AdmissionState {
  explicit AdmissionState(core::Random& random) : rates(random), greylist(random), repeats(random) {}
  policy::Rates rates;
  policy::Greylist greylist;
  policy::Repeats repeats;  // LP-04
  policy::ZoneHealth lists;
};

class Inspection;

class Admission {
 public:
  // All of it outlives the shard's sessions.
  struct Means {
    boost::asio::any_io_executor executor;
    dns::Resolver* resolver = nullptr;
    core::Metrics* metrics = nullptr;
    const core::Clock* clock = nullptr;
    AdmissionState* state = nullptr;  // null: no rates, no greylisting, no block lists
  };
  Admission(const Means& means, core::Log log);

  // Before the banner.
  Welcome welcome(const std::shared_ptr<const Config>& config, const Client& client);
  // MAIL: what refuses the message before anything is begun for it; accept: go on. Waits for DNS, some seconds at most.
  net::Awaitable<policy::Verdict> mail(std::shared_ptr<const Config> config, const Client& client,
                                       const mail::MailCommand& command);
  // The self-tests of block lists that are due.
  void test_lists(const std::shared_ptr<const Config>& config) const { lists_.test(config); }

  const Means& means() const { return means_; }
  const Blocklists& lists() const { return lists_; }

 private:
  Means means_;
  core::Log log_;
  Blocklists lists_;
};

// One transaction's checks, from MAIL on.
class Inspection {
 public:
  // What is inspected. `admission` and `client` outlive the inspection.
  struct Subject {
    std::shared_ptr<const Config> config;
    const Client& client;
    const mail::ReversePath& sender;
    policy::Checks skipped;
  };
  // Asks at once what will be wanted at RCPT.
  Inspection(Admission& admission, Subject subject, core::Log log);
  ~Inspection();
  Inspection(const Inspection&) = delete;

  // RCPT, before the rules are looked at. Counts the recipient.
  net::Awaitable<policy::Verdict> recipient();
  // RCPT, for every address of our domains, before what the rules say of it. `what`: the rule that it falls under, the
  // address itself when there is none. Waits for the client's name.
  net::Awaitable<policy::Verdict> greylist(std::string what);
  // RCPT, for a recipient that `route` forwards, before a next hop is asked: the rates.
  policy::Verdict rule(const policy::Route& route);
  // The client's name: its look-up, begun now if it was not.
  ReverseName reverse();

  // "zen, dbl": block lists that list the client, as far as it is known; for logs.
  std::string listed_by() const;
  int score() const { return policy::dnsbl_score(listings_); }

 private:
  net::Awaitable<policy::Verdict> judge_client();
  net::Awaitable<void> gather();
  policy::Verdict decide();
  bool within_destination_rates(const policy::Route& route) const;
  policy::RdnsFinding rdns_fault() const;
  void log_findings();
  bool skips(policy::Check check) const { return subject_.skipped.has(check); }

  Admission& admission_;
  Subject subject_;
  core::Log log_;
  const std::string helo_name_;  // the client's may be another one when the transaction is over
  std::shared_ptr<Blocklists::Inquiry> domain_lists_;
  struct HeloLookup;
  std::shared_ptr<HeloLookup> helo_;
  std::optional<ReverseName> own_reverse_;  // without a visit to keep it
  std::vector<policy::DnsblFinding> listings_;
  std::optional<policy::Verdict> verdict_;  // about the client; the same for all recipients
  bool logged_ = false;
};

}  // namespace forwarder
