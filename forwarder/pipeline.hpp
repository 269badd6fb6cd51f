// One message from MAIL to the answer, in session: verify, decide, rewrite, attempt, answer.
//
// The invariant: **we say 250 only after the upstream said 250 or after fsync; until then the sender owns the
// message.** (At this stage there is no queue, so the first half only.) A connection lost after our final dot and
// before the upstream's reply is neither: outcome unknown (RFC 1047), logged as dup_possible, counted, answered 451.
//
// Threads: a Pipeline and its transactions live on one shard; the configuration snapshot is shared and immutable.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "auth/dkim_verify.hpp"
#include "core/budget.hpp"
#include "core/clock.hpp"
#include "core/log.hpp"
#include "core/metrics.hpp"
#include "core/random.hpp"
#include "dns/resolver.hpp"
#include "forwarder/admission.hpp"
#include "forwarder/config.hpp"
#include "forwarder/durable.hpp"
#include "forwarder/engine.hpp"
#include "forwarder/handler.hpp"
#include "forwarder/intake.hpp"

namespace forwarder {

class Pipeline final : public Handler {
 public:
  // What the shard lends; all of it outlives the pipeline and its transactions.
  struct Means {
    boost::asio::any_io_executor executor;
    Engine* engine = nullptr;
    dns::Resolver* resolver = nullptr;
    net::Spool* spool = nullptr;
    core::Budget* memory = nullptr;
    core::Budget* disk = nullptr;
    core::Metrics* metrics = nullptr;
    const core::Clock* clock = nullptr;
    auth::DkimLibrary* dkim_library = nullptr;
    AdmissionState* admission = nullptr;  // null: nothing is counted or remembered of clients
    Durable* durable = nullptr;
  };
  Pipeline(Means means, std::shared_ptr<const Config> config, core::Log log);

  Welcome welcome(const Client& client) override { return admission_.welcome(config_, client); }
  net::Awaitable<MailVerdict> mail(const Client& client, mail::MailCommand command, unsigned number) override;

  // Transactions that begin from now on use `config`.
  void set_config(std::shared_ptr<const Config> config) {
    config_ = std::move(config);
    our_spf_.clear();
  }

  const std::shared_ptr<const Config>& config() const { return config_; }
  const Means& means() const { return means_; }
  Admission& admission() { return admission_; }
  // The self-tests of block lists that are due now.
  void test_lists() { admission_.test_lists(config_); }
  // SPF of our own envelope sender `from` (our host name for the null one) when it comes from `source`: what the next
  // hop will find. Kept for some minutes.
  net::Awaitable<auth::SpfResult> spf_of_us(core::IpAddress source, mail::ReversePath from, core::Deadline deadline);
  // RL-08: forged SRS addresses a client has tried. True: too many, it must go.
  bool count_forged_srs(const core::IpAddress& client);

 private:
  net::Awaitable<std::optional<mail::Reply>> admit(const Client& client, const mail::MailCommand& command,
                                                   const std::string& id);

  Means means_;
  std::shared_ptr<const Config> config_;
  core::Log log_;
  Admission admission_;
  struct Forgeries {
    unsigned count = 0;
    core::Steady::time_point since{};
  };
  std::unordered_map<core::IpAddress, Forgeries> forgeries_;  // by client network; bounded
  struct OurSpf {
    auth::SpfResult result;
    core::Steady::time_point until{};
  };
  std::map<std::pair<core::IpAddress, std::string>, OurSpf> our_spf_;  // by source and sender's domain; bounded
};

}  // namespace forwarder
