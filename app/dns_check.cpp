#include "app/dns_check.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/dns_checks.hpp"
#include "app/dns_records.hpp"
#include "core/text.hpp"
#include "dns/settle.hpp"
#include "net/signal.hpp"

namespace app {
namespace {

using checks::Result;
using checks::Subject;

constexpr std::size_t kAtATime = 8;  // domains that are checked side by side

// Runs checks over one Lookup; a check that lacks answers makes the whole report wait for the next round, but the
// others still get to ask.
class Collector {
 public:
  explicit Collector(dns::Lookup& lookup) : lookup_(lookup) {}
  void run(const Subject& subject, std::initializer_list<Result (*)(const Subject&, dns::Lookup&)> list) {
    for (const auto check : list) keep(check(subject, lookup_));
  }
  void keep(Result result) {
    complete_ = complete_ && result.has_value();
    if (result && !result->name.empty()) report_.checks.push_back(std::move(*result));
  }
  dns::Lookup& lookup() { return lookup_; }
  std::optional<DnsReport> finish(const std::string& domain) {
    if (!complete_) return std::nullopt;
    report_.domain = domain;
    return std::move(report_);
  }

 private:
  dns::Lookup& lookup_;
  DnsReport report_;
  bool complete_ = true;
};

void run_host(const Subject& like, Collector& out) {
  const Subject host{like.facts, like.facts.hostname, "host-", true, like.now};
  out.run(host, {checks::host_address, checks::host_proxy, checks::ptr, checks::ptr_forward, checks::certificate});
  // The name in our EHLO is the sender of what has no sender (RFC 7208 §2.4).
  out.run(host, {checks::spf, checks::spf_lookups, checks::spf_egress, checks::spf_all, checks::dnssec, checks::tlsa});
  if (!like.facts.block_lists.empty()) out.run(host, {checks::dnsbl_usable, checks::dnsbl});
}

void run_mail_domain(const Subject& subject, Collector& out) {
  out.run(subject, {checks::mx, checks::mx_foreign, checks::mx_address, checks::mx_proxy});
  out.run(subject, {checks::spf, checks::spf_lookups, checks::spf_egress, checks::spf_all, checks::spf_foreign});
}

void run_forwarded(const Subject& subject, Collector& out) {
  run_mail_domain(subject, out);
  std::vector<PublishedKey> keys;
  if (const auto own = subject.facts.domain_keys.find(subject.domain); own != subject.facts.domain_keys.end()) {
    keys = own->second;
  }
  if (subject.domain == subject.facts.signing_domain()) {
    keys.insert(keys.end(), subject.facts.keys.begin(), subject.facts.keys.end());
  }
  if (!keys.empty()) out.keep(checks::dkim(subject, keys, out.lookup()));
  out.run(subject,
          {checks::dmarc, checks::dmarc_reports, checks::mta_sts, checks::tls_rpt, checks::dnssec, checks::ttl});
}

// Everything of ours that is not the report's own domain.
void run_own(const Subject& like, Collector& out) {
  const auto& facts = like.facts;
  run_host(like, out);
  if (!facts.srs_domain.empty() && facts.srs_domain != like.domain) {
    run_mail_domain({facts, facts.srs_domain, "srs-", true, like.now}, out);
  }
  if (const auto signing = facts.signing_domain(); !signing.empty() && signing != like.domain) {
    const Subject signer{facts, signing, "signer-", false, like.now};
    out.keep(checks::dkim(signer, facts.keys, out.lookup()));
    out.run(signer, {checks::dmarc});
  }
}

struct Batch {
  Batch(boost::asio::any_io_executor executor, std::size_t size) : done(std::move(executor)), reports(size) {}
  net::Signal done;
  std::vector<DnsReport> reports;
  std::size_t next = 0, left = 0;
};

net::Awaitable<void> work_off(std::shared_ptr<Batch> batch, dns::Resolver& resolver, const DnsFacts& facts,
                              core::Deadline deadline) {
  while (batch->next < facts.domains.size()) {
    const std::size_t at = batch->next++;
    std::string domain = facts.domains[at];
    batch->reports[at] = co_await check_dns(resolver, facts, std::move(domain), CheckScope::domain, deadline);
  }
  if (--batch->left == 0) batch->done.notify();
}

}  // namespace

std::string_view to_string(CheckStatus status) {
  switch (status) {
    case CheckStatus::pass:
      return "pass";
    case CheckStatus::warn:
      return "warn";
    case CheckStatus::fail:
      break;
  }
  return "fail";
}

std::size_t DnsReport::count(CheckStatus status) const {
  return static_cast<std::size_t>(
      std::count_if(checks.begin(), checks.end(), [status](const Check& check) { return check.status == status; }));
}

CheckStatus DnsReport::worst() const {
  if (count(CheckStatus::fail) > 0) return CheckStatus::fail;
  return count(CheckStatus::warn) > 0 ? CheckStatus::warn : CheckStatus::pass;
}

unsigned DnsReport::score() const {
  if (checks.empty()) return 0;
  const auto halves = 2 * count(CheckStatus::pass) + count(CheckStatus::warn);
  return static_cast<unsigned>(100 * halves / (2 * checks.size()));
}

std::optional<DnsReport> check_dns(const DnsFacts& facts, const std::string& domain, CheckScope scope,
                                   core::Wall::time_point now, dns::Lookup& lookup) {
  Collector out(lookup);
  const bool own = scope == CheckScope::own;
  const Subject subject{facts, own ? facts.hostname : domain, "", domain == facts.srs_domain, now};
  if (!own && (facts.has_domain(domain) || domain == facts.srs_domain || domain == facts.signing_domain())) {
    run_forwarded(subject, out);
  }
  if (own || scope == CheckScope::whole) run_own(subject, out);
  return out.finish(subject.domain);
}

net::Awaitable<DnsReport> check_dns(dns::Resolver& resolver, const DnsFacts& facts, std::string domain,
                                    CheckScope scope, core::Deadline deadline) {
  dns::Lookup lookup;
  const auto now = core::Wall::now();
  auto evaluate = [&](dns::Lookup& known) { return check_dns(facts, domain, scope, now, known); };
  auto report = co_await dns::settle(resolver, lookup, evaluate, deadline);
  co_return report;
}

net::Awaitable<std::vector<DnsReport>> check_all_dns(dns::Resolver& resolver, const DnsFacts& facts,
                                                     core::Deadline deadline) {
  const auto executor = co_await boost::asio::this_coro::executor;
  std::string hostname = facts.hostname;
  auto own = co_await check_dns(resolver, facts, std::move(hostname), CheckScope::own, deadline);
  auto batch = std::make_shared<Batch>(executor, facts.domains.size());
  batch->left = std::min(kAtATime, facts.domains.size());
  for (std::size_t i = std::min(kAtATime, facts.domains.size()); i > 0; --i) {
    auto work = work_off(batch, resolver, facts, deadline);
    boost::asio::co_spawn(executor, std::move(work), boost::asio::detached);
  }
  // Every question has its deadline, so the workers end by themselves: nothing may go before they have.
  while (batch->left > 0) static_cast<void>(co_await batch->done.wait(core::Deadline::never()));
  std::vector<DnsReport> out;
  out.push_back(std::move(own));
  for (auto& report : batch->reports) out.push_back(std::move(report));
  co_return out;
}

DnsSummary summarise(const std::vector<DnsReport>& reports) {
  DnsSummary out;
  for (const auto& report : reports) {
    out.failures += report.worst() == CheckStatus::fail ? 1 : 0;
    out.warnings += report.worst() == CheckStatus::warn ? 1 : 0;
    out.score = std::min(out.score, report.score());
  }
  return out;
}

nlohmann::json as_json(const DnsReport& report) {
  nlohmann::json out{{"domain", report.domain}, {"score", report.score()}, {"checks", nlohmann::json::array()}};
  for (const auto& check : report.checks) {
    out["checks"].push_back({{"name", check.name},
                             {"status", std::string(to_string(check.status))},
                             {"detail", check.detail},
                             {"fix", check.fix}});
  }
  return out;
}

namespace checks {

void Finding::add(std::string& to, std::string_view text, std::string_view separator) {
  if (!to.empty()) to += separator;
  to += core::printable(text);
}

void Finding::worsen(CheckStatus status, std::string_view text, std::string fix) {
  if (status > check_.status) check_.status = status;
  add(check_.detail, text);
  if (!fix.empty() && check_.fix.find(fix) == std::string::npos) add(check_.fix, fix, "\n");
}

Check Finding::take() {
  if (fine()) check_.detail = notes_;
  return std::move(check_);
}

void report_failure(Finding& finding, std::string_view what, const dns::Answer& answer) {
  finding.fail(fmt::format("{}: DNS failure ({}): no server answers, or DNSSEC is broken", what, answer.error),
               fmt::format("look at it with: dig {}; delv {}", what, what));
}

const dns::Answer* ask(dns::Lookup& lookup, std::string_view name, dns::Type type) {
  return lookup.ask({core::lower(name), type});
}

std::optional<HostAddresses> addresses_of(dns::Lookup& lookup, std::string_view host) {
  const auto* six = ask(lookup, host, dns::Type::aaaa);
  const auto* four = ask(lookup, host, dns::Type::a);
  if (six == nullptr || four == nullptr) return std::nullopt;
  HostAddresses out;
  out.ttl = std::min(six->ttl, four->ttl);
  for (const auto* answer : {six, four}) {
    if (answer->status == dns::Status::failure) out.failed = answer;
    out.list.insert(out.list.end(), answer->addresses.begin(), answer->addresses.end());
  }
  return out;
}

std::optional<std::vector<OwnAddress>> senders(const DnsFacts& facts, dns::Lookup& lookup) {
  if (!facts.egress.empty()) return facts.egress;
  const auto found = addresses_of(lookup, facts.hostname);
  if (!found) return std::nullopt;
  std::vector<OwnAddress> out;
  for (const auto& ip : found->list) out.push_back({ip, facts.hostname});
  return out;
}

Ours is_ours(const DnsFacts& facts, const core::IpAddress& ip) {
  bool known = false;
  for (const auto& own : facts.inbound) {
    if (own == ip) return Ours::yes;
    known = known || own.is_v6() == ip.is_v6();
  }
  return known ? Ours::no : Ours::unknown;
}

}  // namespace checks
}  // namespace app
