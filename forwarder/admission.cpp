#include "forwarder/admission.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <set>
#include <utility>

#include "auth/spf_domain.hpp"
#include "core/text.hpp"
#include "dns/settle.hpp"

namespace forwarder {
namespace {

using policy::Check;
using policy::RateKind;
using policy::Verdict;
using Settings = policy::AdmissionSettings;

// From the first RCPT on; the questions have left long before, and the next hop needs its time too (promise.md C.3.1).
constexpr core::Seconds kRcptPatience{6};
// At MAIL, where nothing else waits yet.
constexpr core::Seconds kSenderPatience{10};
constexpr core::Seconds kHeloPatience{10};

// What is kept of one connection.
struct ClientVisit final : Visit {
  std::shared_ptr<const Config> config;  // of when it began: `access` points into it
  policy::AccessRules::Decision access;
  std::shared_ptr<Blocklists::Inquiry> lists;
  std::optional<ReverseName> reverse;
};

ClientVisit* visit_of(const Client& client) {
  return dynamic_cast<ClientVisit*>(client.visit);
}
// [access] allow: past block lists and rates.
bool is_allowed(const Client& client) {
  const auto* visit = visit_of(client);
  return visit != nullptr && visit->access.allowed();
}
std::string access_of(const Client& client) {
  const auto* visit = visit_of(client);
  return visit != nullptr && visit->access.rule != nullptr ? visit->access.rule->to_string() : std::string();
}

// Could an exception that needs the sender's name still let this client in?
bool may_be_excepted_later(const std::vector<policy::Exception>& exceptions) {
  return std::ranges::any_of(exceptions, [](const policy::Exception& exception) {
    return exception.skip.has(Check::access) && !std::holds_alternative<core::Prefix>(exception.match);
  });
}

std::string client_key(const Client& client) {
  return std::string(core::client_network(client.address).bytes());
}

// In A-labels; what cannot be written in them is asked about as it is, and does not exist.
std::string sender_domain(const mail::ReversePath& sender) {
  const auto& domain = sender.mailbox.domain;
  if (sender.mailbox.is_literal()) return domain;
  return core::lower(auth::spf_domain(domain).value_or(domain));
}

bool refuses(const Verdict& verdict) {
  return verdict.kind != Verdict::Kind::accept;
}

core::Counter counter_of(std::string_view reason) {
  if (reason == "access") return core::Counter::access_blocked;
  if (reason == "dnsbl") return core::Counter::dnsbl_refused;
  if (reason.starts_with("rdns")) return core::Counter::rdns_refused;
  if (reason.starts_with("helo")) return core::Counter::helo_refused;
  if (reason.starts_with("sender-domain")) return core::Counter::sender_domain_refused;
  if (reason == "greylist") return core::Counter::greylisted;
  return core::Counter::rate_limited;
}

}  // namespace

Admission::Admission(const Means& means, core::Log log)
    : means_(means),
      log_(std::move(log)),
      lists_({means.executor, means.resolver, means.metrics, means.clock,
              means.state != nullptr ? &means.state->lists : nullptr},
             log_) {}

// ---- connect

Welcome Admission::welcome(const std::shared_ptr<const Config>& config, const Client& client) {
  Welcome welcome;
  auto visit = std::make_unique<ClientVisit>();
  visit->config = config;
  const auto skipped = policy::skipped_checks(config->auth.exceptions, {client.address, nullptr, {}});
  welcome.may_talk_early = skipped.has(Check::early_talker);
  if (config->access && !skipped.has(Check::access)) visit->access = config->access->decide(client.address);
  if (visit->access.blocked() && !may_be_excepted_later(config->auth.exceptions)) {
    const auto verdict = policy::refuse_access(client.address);
    means_.metrics->add(core::Counter::access_blocked);
    log_.info("access_blocked", {{"session", client.session_id},
                                 {"client_ip", client.address.to_string()},
                                 {"access", visit->access.rule->to_string()}});
    const auto text = config->help_url.empty() ? verdict.text : verdict.text + ". Refer to " + config->help_url;
    welcome.refusal = mail::make_refusal(verdict.code, verdict.enhanced, text, verdict.reason, client.session_id);
    return welcome;
  }
  if (!visit->access.allowed() && !skipped.has(Check::dnsbl)) visit->lists = lists_.ask_about(config, client.address);
  welcome.visit = std::move(visit);
  return welcome;
}

// ---- MAIL

net::Awaitable<Verdict> Admission::mail(std::shared_ptr<const Config> config, const Client& client,
                                        const mail::MailCommand& command) {
  const auto& settings = config->admission;
  const auto& sender = command.from;
  const auto skipped = policy::skipped_checks(config->auth.exceptions, {client.address, &sender, {}});
  const auto refused = [&](Verdict verdict) {
    means_.metrics->add(counter_of(verdict.reason));
    return verdict;
  };
  if (means_.state != nullptr && !is_allowed(client) && !skipped.has(Check::rate)) {
    auto& rates = means_.state->rates;
    const auto now = means_.clock->steady();
    if (!rates.take(RateKind::messages_of_client, client_key(client), settings.messages_per_client, now)) {
      co_return refused(policy::refuse_messages_rate(client.address));
    }
    if (!sender.null() && settings.messages_per_sender_domain.active()) {
      const auto domain = sender_domain(sender);
      if (!rates.take(RateKind::messages_of_sender_domain, domain, settings.messages_per_sender_domain, now)) {
        co_return refused(policy::refuse_sender_rate(domain));
      }
    }
  }
  if (settings.sender_domain == Settings::Sender::off || sender.null() || skipped.has(Check::sender_domain)) {
    co_return Verdict();
  }
  const auto domain = sender_domain(sender);
  dns::Lookup lookup;
  const auto evaluate = [&](dns::Lookup& known) { return policy::evaluate_sender_domain(domain, known); };
  const auto deadline = core::Deadline::after(kSenderPatience);
  const auto result = co_await dns::settle(*means_.resolver, lookup, evaluate, deadline);
  auto verdict = policy::decide_sender_domain(result, domain);
  if (refuses(verdict)) co_return refused(std::move(verdict));
  co_return verdict;
}

// ---- the transaction

// The HELO name's look-up beside the dialogue.
struct Inspection::HeloLookup {
  explicit HeloLookup(const boost::asio::any_io_executor& executor) : changed(executor) {}

  static net::Awaitable<void> run(std::shared_ptr<HeloLookup> self, dns::Resolver& resolver, std::string name) {
    dns::Lookup lookup;
    const auto evaluate = [&](dns::Lookup& known) { return policy::evaluate_helo(name, known); };
    self->result = co_await dns::settle(resolver, lookup, evaluate, core::Deadline::after(kHeloPatience));
    self->changed.notify();
  }

  net::Signal changed;
  std::optional<policy::HeloResult> result;
};

Inspection::Inspection(Admission& admission, Subject subject, core::Log log)
    : admission_(admission), subject_(std::move(subject)), log_(std::move(log)), helo_name_(subject_.client.helo) {
  const auto& means = admission_.means();
  const auto& settings = subject_.config->admission;
  const auto& client = subject_.client;
  if (settings.helo != Settings::Helo::off && !skips(Check::helo)) {
    helo_ = std::make_shared<HeloLookup>(means.executor);
    auto work = HeloLookup::run(helo_, *means.resolver, client.helo);
    boost::asio::co_spawn(means.executor, std::move(work), boost::asio::detached);
  }
  if (!is_allowed(client) && !skips(Check::dnsbl)) {
    std::vector<std::string> domains;
    if (!client.helo.empty()) domains.push_back(core::lower(client.helo));
    if (!subject_.sender.null() && !subject_.sender.mailbox.is_literal()) {
      auto domain = sender_domain(subject_.sender);
      if (std::ranges::find(domains, domain) == domains.end()) domains.push_back(std::move(domain));
    }
    domain_lists_ = admission_.lists().ask_about(subject_.config, domains);
  }
  const bool wants_name = settings.rdns != Settings::Rdns::off || settings.greylist.on;
  if (wants_name) static_cast<void>(reverse());
}

Inspection::~Inspection() {
  log_findings();
}

ReverseName Inspection::reverse() {
  const auto& means = admission_.means();
  auto* visit = visit_of(subject_.client);
  auto& kept = visit != nullptr ? visit->reverse : own_reverse_;
  if (!kept) kept.emplace(means.executor, *means.resolver, subject_.client.address);
  return *kept;
}

std::string Inspection::listed_by() const {
  return policy::dnsbl_names(listings_);
}

net::Awaitable<Verdict> Inspection::recipient() {
  const auto& means = admission_.means();
  const auto& settings = subject_.config->admission;
  auto verdict = co_await judge_client();
  if (!refuses(verdict) && means.state != nullptr && !is_allowed(subject_.client) && !skips(Check::rate)) {
    const auto key = client_key(subject_.client);
    if (!means.state->rates.take(RateKind::recipients_of_client, key, settings.recipients_per_client,
                                 means.clock->steady())) {
      verdict = policy::refuse_recipients_rate(subject_.client.address);
    }
  }
  if (refuses(verdict)) means.metrics->add(counter_of(verdict.reason));
  co_return verdict;
}

net::Awaitable<Verdict> Inspection::judge_client() {
  if (!verdict_) {
    co_await gather();
    verdict_ = decide();
    if (refuses(*verdict_)) log_findings();
  }
  co_return *verdict_;
}

// Waits for what was asked, as far as it may decide.
net::Awaitable<void> Inspection::gather() {
  const auto deadline = core::Deadline::after(kRcptPatience);
  const auto* visit = visit_of(subject_.client);
  // Pointers of our own: the visit may get others while we wait.
  const std::array<std::shared_ptr<Blocklists::Inquiry>, 2> inquiries{
      visit != nullptr && !skips(Check::dnsbl) ? visit->lists : nullptr, domain_lists_};
  for (const auto& inquiry : inquiries) {
    if (!inquiry) continue;
    static_cast<void>(co_await inquiry->wait(deadline));
    const auto& found = inquiry->findings();
    listings_.insert(listings_.end(), found.begin(), found.end());
  }
  // In the order of the configuration, whoever was asked first (interface.md §6.14).
  const auto& zones = subject_.config->admission.lists;
  const auto place = [&](const policy::DnsblFinding& finding) {
    return std::ranges::find(zones, finding.name, &policy::DnsblZone::name) - zones.begin();
  };
  std::ranges::sort(listings_, [&](const auto& a, const auto& b) {
    return std::pair(place(a), a.subject) < std::pair(place(b), b.subject);
  });
  const auto& settings = subject_.config->admission;
  while (helo_ && !helo_->result && settings.helo == Settings::Helo::reject) {
    if (!co_await helo_->changed.wait(deadline)) break;
  }
  const bool decides = settings.rdns == Settings::Rdns::defer || settings.rdns == Settings::Rdns::reject;
  if (!decides || skips(Check::rdns)) co_return;
  auto name = reverse();
  static_cast<void>(co_await name.wait(deadline));
}

policy::RdnsFinding Inspection::rdns_fault() const {
  const auto& settings = subject_.config->admission;
  const auto* visit = visit_of(subject_.client);
  const auto& name = visit != nullptr ? visit->reverse : own_reverse_;
  if (settings.rdns == Settings::Rdns::off || skips(Check::rdns) || !name) return {};
  return policy::find_rdns_fault(settings, name->result(), subject_.client.address, subject_.client.helo);
}

Verdict Inspection::decide() {
  const auto& settings = subject_.config->admission;
  const auto& client = subject_.client;
  const auto* visit = visit_of(client);
  if (visit != nullptr && visit->access.blocked() && !skips(Check::access))
    return policy::refuse_access(client.address);
  auto verdict = policy::decide_dnsbl(settings, client.address, listings_);
  if (!refuses(verdict)) verdict = policy::decide_rdns(settings, rdns_fault());
  if (!refuses(verdict) && helo_) {
    verdict = policy::decide_helo(settings, helo_->result.value_or(policy::HeloResult::unknown), client.helo);
  }
  return verdict;
}

// One event a transaction: what was found about the client, and what came of it. Of one that is let in when the
// transaction is over: what nobody waited for is known by then.
void Inspection::log_findings() {
  if (std::exchange(logged_, true) || !verdict_) return;
  const auto& verdict = *verdict_;
  const auto* visit = visit_of(subject_.client);
  const auto& kept = visit != nullptr ? visit->reverse : own_reverse_;
  const auto fault = rdns_fault();
  std::string_view rdns = fault.cause;
  if (rdns.empty() && kept && subject_.config->admission.rdns != Settings::Rdns::off) {
    rdns = policy::to_string(kept->result().state);
  }
  log_.info("admission",
            {{"client_ip", subject_.client.address.to_string()},
             {"helo", helo_name_},
             {"access", access_of(subject_.client)},
             {"dnsbl", listed_by()},
             {"dnsbl_score", policy::dnsbl_score(listings_)},
             {"rdns", rdns},
             {"ptr", kept ? kept->name() : std::string()},
             {"helo_check", helo_ ? policy::to_string(helo_->result.value_or(policy::HeloResult::unknown)) : ""},
             {"action", !refuses(verdict)                      ? "accept"
                        : verdict.kind == Verdict::Kind::defer ? "defer"
                                                               : "reject"},
             {"reason", verdict.reason}});
}

// Each domain that the recipient's mail goes on to counts once.
bool Inspection::within_destination_rates(const policy::Route& route) const {
  const auto limit = subject_.config->admission.recipients_per_destination;
  if (!limit.active()) return true;
  std::set<std::string> domains;
  for (const auto& destination : route.destinations) domains.insert(core::lower(destination.domain));
  const auto& means = admission_.means();
  return std::ranges::all_of(domains, [&](const std::string& domain) {
    return means.state->rates.take(RateKind::recipients_of_destination, domain, limit, means.clock->steady());
  });
}

net::Awaitable<Verdict> Inspection::greylist(std::string what) {
  const auto& means = admission_.means();
  const auto& settings = subject_.config->admission.greylist;
  if (means.state == nullptr || !settings.on || is_allowed(subject_.client) || skips(Check::greylist)) {
    co_return Verdict();
  }
  auto name = reverse();
  static_cast<void>(co_await name.wait(core::Deadline::after(kRcptPatience)));
  const auto origin = policy::greylist_origin(name.name(), subject_.client.address);
  const auto sender = subject_.sender.to_string();
  const auto left = means.state->greylist.wait_of({origin, sender, what}, settings, means.clock->steady());
  if (left.count() == 0) co_return Verdict();
  means.metrics->add(core::Counter::greylisted);
  // Not what is left: addresses of one rule share it, and so would show that they exist.
  co_return policy::refuse_greylisted(settings.delay);
}

Verdict Inspection::rule(const policy::Route& route) {
  const auto& means = admission_.means();
  if (means.state == nullptr || is_allowed(subject_.client) || skips(Check::rate)) return {};
  const auto limit = route.rate.value_or(subject_.config->admission.recipients_per_rule);
  if (!means.state->rates.take(RateKind::recipients_of_rule, route.rule, limit, means.clock->steady())) {
    means.metrics->add(core::Counter::rate_limited);
    return policy::refuse_rule_rate();
  }
  if (!within_destination_rates(route)) {
    means.metrics->add(core::Counter::rate_limited);
    return policy::refuse_destination_rate();
  }
  return {};
}

}  // namespace forwarder
