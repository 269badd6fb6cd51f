#include "forwarder/blocklists.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <set>

#include "dns/settle.hpp"

namespace forwarder {
namespace {

using policy::DnsblZone;
using policy::Listing;
using State = policy::ZoneHealth::State;

// For all questions about one client together, the self-tests of new zones included.
constexpr core::Seconds kPatience{6};

void note_news(const core::Log& log, const DnsblZone& zone, policy::ZoneHealth& health, core::Metrics& metrics,
               core::Steady::time_point now) {
  if (health.state(zone, now) == State::broken) {
    metrics.add(core::Counter::dnsbl_outages);
    log.warn("dnsbl_out", {{"dnsbl", zone.name}, {"problem", health.problem(zone)}});
  } else {
    log.info("dnsbl_good", {{"dnsbl", zone.name}});
  }
}

}  // namespace

// One question: about which subject, to which of the configuration's zones.
struct Blocklists::Asked {
  std::size_t zone = 0;
  dns::Question question;
  std::string subject;
};

net::Awaitable<bool> Blocklists::Inquiry::wait(core::Deadline deadline) {
  while (!known_) {
    if (!co_await changed_.wait(deadline)) break;
  }
  co_return known_;
}

Blocklists::Blocklists(const Means& means, core::Log log) : means_(means), log_(std::move(log)) {}

std::shared_ptr<Blocklists::Inquiry> Blocklists::ask_about(const std::shared_ptr<const Config>& config,
                                                           const core::IpAddress& client) const {
  std::vector<Asked> questions;
  const auto& zones = config->admission.lists;
  for (std::size_t i = 0; i < zones.size(); ++i) {
    if (zones[i].kind != DnsblZone::Kind::ip) continue;
    questions.push_back({i, policy::question_about(zones[i], client), client.to_string()});
  }
  return begin(config, std::move(questions));
}

std::shared_ptr<Blocklists::Inquiry> Blocklists::ask_about(const std::shared_ptr<const Config>& config,
                                                           const std::vector<std::string>& domains) const {
  std::vector<Asked> questions;
  const auto& zones = config->admission.lists;
  for (std::size_t i = 0; i < zones.size(); ++i) {
    if (zones[i].kind != DnsblZone::Kind::domain) continue;
    for (const auto& domain : domains) {
      auto question = policy::question_about(zones[i], domain);
      if (question) questions.push_back({i, std::move(*question), domain});
    }
  }
  return begin(config, std::move(questions));
}

std::shared_ptr<Blocklists::Inquiry> Blocklists::begin(const std::shared_ptr<const Config>& config,
                                                       std::vector<Asked> questions) const {
  if (questions.empty() || means_.health == nullptr) return nullptr;
  auto inquiry = std::make_shared<Inquiry>(means_.executor);
  auto work = run(means_, log_, config, std::move(questions), inquiry);
  boost::asio::co_spawn(means_.executor, std::move(work), boost::asio::detached);
  return inquiry;
}

net::Awaitable<void> Blocklists::run(Means means, core::Log log, std::shared_ptr<const Config> config,
                                     std::vector<Asked> questions, std::shared_ptr<Inquiry> inquiry) {
  const auto& zones = config->admission.lists;
  auto& health = *means.health;
  std::set<std::size_t> untested;
  for (const auto& asked : questions) {
    if (health.state(zones[asked.zone], means.clock->steady()) == State::untested) untested.insert(asked.zone);
  }
  if (!untested.empty()) {
    std::vector<std::size_t> list(untested.begin(), untested.end());
    co_await test_zones(means, log, config, std::move(list));
  }
  std::erase_if(questions, [&](const Asked& asked) {
    return health.state(zones[asked.zone], means.clock->steady()) != State::good;
  });
  dns::Lookup lookup;
  for (const auto& asked : questions) static_cast<void>(lookup.ask(asked.question));
  co_await dns::fetch(*means.resolver, lookup, core::Deadline::after(kPatience));
  for (auto& asked : questions) {
    const auto& zone = zones[asked.zone];
    const auto* answer = lookup.ask(asked.question);
    // A flood of clients must not look like a list that is dead.
    if (answer != nullptr && answer->error == dns::kTooManyInFlight) continue;
    const auto listing = answer != nullptr ? policy::judge_listing(zone, *answer) : Listing::silent;
    const auto now = means.clock->steady();
    if (listing == Listing::silent || listing == Listing::wrong) means.metrics->add(core::Counter::dnsbl_failures);
    if (health.note_answer(zone, listing, now)) note_news(log, zone, health, *means.metrics, now);
    if (listing != Listing::yes) continue;
    inquiry->findings_.push_back({zone.name, std::move(asked.subject), zone.weight, zone.kind});
  }
  inquiry->known_ = true;
  inquiry->changed_.notify();
}

void Blocklists::test(const std::shared_ptr<const Config>& config) const {
  if (means_.health == nullptr) return;
  std::vector<std::size_t> due;
  const auto& zones = config->admission.lists;
  for (std::size_t i = 0; i < zones.size(); ++i) {
    if (means_.health->test_due(zones[i], means_.clock->steady())) due.push_back(i);
  }
  if (due.empty()) return;
  auto work = test_zones(means_, log_, config, std::move(due));
  boost::asio::co_spawn(means_.executor, std::move(work), boost::asio::detached);
}

// All questions of all zones at once. Several sessions may do this side by side at the start: the resolver asks equal
// questions once.
net::Awaitable<void> Blocklists::test_zones(Means means, core::Log log, std::shared_ptr<const Config> config,
                                            std::vector<std::size_t> zones) {
  dns::Lookup lookup;
  for (const auto index : zones) {
    for (const auto& question : policy::self_test_questions(config->admission.lists[index])) {
      static_cast<void>(lookup.ask(question));
    }
  }
  co_await dns::fetch(*means.resolver, lookup, core::Deadline::after(kPatience));
  for (const auto index : zones) {
    const auto& zone = config->admission.lists[index];
    std::vector<dns::Answer> answers;
    for (const auto& question : policy::self_test_questions(zone)) {
      const auto* answer = lookup.ask(question);
      answers.push_back(answer != nullptr ? *answer : dns::Answer());
    }
    const auto not_asked = [](const dns::Answer& answer) { return answer.error == dns::kTooManyInFlight; };
    if (std::ranges::any_of(answers, not_asked)) continue;
    const auto now = means.clock->steady();
    const bool news = means.health->note_test(zone, policy::self_test_problem(zone, answers), now);
    if (news) note_news(log, zone, *means.health, *means.metrics, now);
  }
}

}  // namespace forwarder
