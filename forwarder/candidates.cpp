#include "forwarder/candidates.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <utility>

namespace forwarder {
namespace {

constexpr std::chrono::hours kRefusalMemory{1};
constexpr std::size_t kRefusalsRemembered = 10'000;

}  // namespace

// ---- FamilyMemory

bool FamilyMemory::ipv6_refused(const std::string& target) const {
  const auto found = until_.find(target);
  return found != until_.end() && found->second > core::Steady::now();
}

void FamilyMemory::remember(const std::string& target) {
  const auto now = core::Steady::now();
  if (until_.size() >= kRefusalsRemembered) {
    std::erase_if(until_, [now](const auto& entry) { return entry.second <= now; });
    if (until_.size() >= kRefusalsRemembered) until_.erase(until_.begin());
  }
  until_[target] = now + kRefusalMemory;
}

std::vector<std::string> FamilyMemory::list() const {
  std::vector<std::string> out;
  for (const auto& [target, until] : until_) {
    if (until > core::Steady::now()) out.push_back(target);
  }
  return out;
}

// ---- Candidates

Candidates::Candidates(Means means, std::shared_ptr<const Config> config, Target target, TlsWish wish,
                       const core::Log& log)
    : means_(means),
      config_(std::move(config)),
      target_(std::move(target)),
      tls_({means_.resolver, means_.transport, means_.sts}, config_, target_, wish),
      log_(log),
      ipv4_only_(means_.families.ipv6_refused(target_.key)) {}

void Candidates::note(const Judgement& judgement, std::string host, const Endpoint& endpoint) {
  // A host that does not know REQUIRETLS does not speak for one that could not be asked.
  const bool for_good = judgement.fate == mail::Fate::failed && !judgement.from_peer;
  if (for_good && last_ && last_->fate == mail::Fate::deferred) return;
  tls_lacking_ = tls_lacking_ || judgement.tls_policy;
  last_ = judgement;
  last_->tls_policy = tls_lacking_ && judgement.fate == mail::Fate::deferred;
  last_host_ = std::move(host);
  last_endpoint_ = endpoint;
}

void Candidates::give_up(const Unroutable& unroutable) {
  Judgement judgement;
  judgement.fate = unroutable.fate;
  judgement.scope = mail::Scope::destination;
  judgement.reply = unroutable.reply;
  last_ = judgement;
}

void Candidates::timed_out() {
  if (last_) return;
  Trouble trouble;
  trouble.error = core::make_error_code(core::Errc::timed_out);
  last_ = judge(trouble);
}

void Candidates::begin_anew() {
  next_host_ = 0;
  addresses_ = all_ = seen_ = {};
  plan_ = {};
  tls_lacking_ = false;
}

void Candidates::failed(const Upstream& upstream, const Judgement& judgement) {
  note(judgement, upstream.host, upstream.endpoint);
  draw_conclusions(upstream.stream->local_address());
}

// What the last word means beyond this session. `source`: our own address in it.
void Candidates::draw_conclusions(const core::IpAddress& source) {
  log_.info("upstream_failed",
            {{"upstream_host", last_host_}, {"upstream_address", last_address()}, {"reply", last_->reply.to_log()}});
  if (last_->about_us) {  // interface.md §6.22: our reputation suffers; somebody has to look
    means_.metrics.add(core::Counter::upstream_about_us);
    means_.marks.mark(source);
    log_.error("refused_because_of_us", {{"upstream_host", last_host_},
                                         {"upstream_address", last_address()},
                                         {"source", source.to_string()},
                                         {"reply", last_->reply.to_log()}});
  }
  if (last_->about_address) {  // interface.md §6.8: from now on IPv4 only
    means_.metrics.add(core::Counter::upstream_family_retries);
    means_.families.remember(target_.key);
    ipv4_only_ = true;
    addresses_.ipv6.clear();
    addresses_.ipv4 = all_.ipv4;  // also those that lost the race for this connection
    log_.warn("ipv6_refused",
              {{"upstream_host", last_host_}, {"upstream_address", last_address()}, {"reply", last_->reply.to_log()}});
  }
}

// ---- what is tried next

void Candidates::lift_tls_policy() {
  if (!tls_.lift()) return;
  next_host_ = 0;
  addresses_ = all_ = Addresses();
  last_.reset();
  tls_lacking_ = false;
}

// The hosts of the destination, and its MTA-STS policy.
net::Awaitable<void> Candidates::find_all(core::Deadline deadline) {
  using boost::asio::experimental::awaitable_operators::operator&&;
  auto hosts = find_hosts(means_.resolver, means_.random, *config_, target_, deadline);
  auto found = co_await (std::move(hosts) && tls_.find_policy(log_, deadline));
  if (const auto* unroutable = std::get_if<Unroutable>(&found)) {
    give_up(*unroutable);
    co_return;
  }
  hosts_ = std::get<std::vector<Host>>(std::move(found));
  hosts_known_ = true;
}

// The addresses of the next host on the list, and what TLS with it must be.
net::Awaitable<void> Candidates::next_host(core::Deadline deadline) {
  const Host host = hosts_[next_host_++];
  host_name_ = host.name;
  addresses_ = co_await find_addresses(means_.resolver, means_.random, *config_, host, deadline);
  all_ = addresses_;
  seen_.looped |= addresses_.looped;
  seen_.refused |= addresses_.refused;
  seen_.dns_failed |= addresses_.dns_failed;
  // Refused in this attempt: IPv6 is over. Only remembered from before: still better than nothing.
  const bool refused_now = last_ && last_->about_address;
  if (ipv4_only_ && (refused_now || !addresses_.ipv4.empty())) addresses_.ipv6.clear();
  if (addresses_.empty()) co_return;
  auto addresses = all_;
  plan_ = co_await tls_.plan(host, std::move(addresses), deadline);
  log_.debug("tls_plan", {{"upstream_host", host.name}, {"tls", plan_.to_string()}, {"why", plan_.why}});
  if (plan_.use == TlsPlan::Use::refused) refuse_host();
}

// Nothing is said to a host that the policy rules out.
void Candidates::refuse_host() {
  means_.metrics.add(core::Counter::tls_out_refused);
  log_.warn("tls_refused", {{"upstream_host", host_name_}, {"policy", plan_.to_string()}, {"why", plan_.why}});
  TlsSeen seen;
  seen.what = TlsSeen::What::failed;
  seen.error = plan_.why;
  tls_.report(seen, nullptr, nullptr);
  const auto endpoint = addresses_.ipv6.empty() ? addresses_.ipv4.front() : addresses_.ipv6.front();
  const auto refusal = plan_.permanent  ? TlsRefusal::permanent
                       : plan_.liftable ? TlsRefusal::liftable
                                        : TlsRefusal::temporary;
  note(judge_tls(plan_.cause, refusal), host_name_, endpoint);
  addresses_ = Addresses();
}

// ---- opening

// Speaks on a connection; `result` stays null when there is no use in it, and then the last word says why.
net::Awaitable<void> Candidates::open(Connected connected, core::Deadline deadline, std::unique_ptr<Upstream>& result) {
  OpenSettings settings;
  settings.protocol = target_.protocol;
  settings.delivery = &config_->delivery;
  settings.hostname = config_->hostname;
  settings.tls_client = config_->tls_client;
  settings.plan = plan_;
  auto stream = std::move(connected.stream);
  auto opened = co_await open_session(std::move(settings), std::move(stream), host_name_, connected.endpoint,
                                      means_.metrics, deadline);
  tls_.report(opened.tls, &opened.endpoint, &opened.source);
  if (!opened.tls.error.empty()) {
    log_.info("tls_not_used", {{"upstream_host", host_name_},
                               {"upstream_address", opened.endpoint.to_string()},
                               {"policy", plan_.to_string()},
                               {"why", plan_.why},
                               {"error", opened.tls.error},
                               {"goes_on", opened.upstream != nullptr}});
  }
  if (opened.upstream) {
    opened.upstream->wish = tls_.wish();
    result = std::move(opened.upstream);
    co_return;
  }
  const bool lacking = opened.tls.what != TlsSeen::What::nothing && opened.tls.what != TlsSeen::What::done;
  const bool requiretls = opened.judgement.fate == mail::Fate::failed && !opened.judgement.from_peer;
  if (requiretls || (lacking && !plan_.clear_after_failure)) means_.metrics.add(core::Counter::tls_out_refused);
  note(opened.judgement, host_name_, opened.endpoint);
  draw_conclusions(opened.source);
}

net::Awaitable<std::unique_ptr<Upstream>> Candidates::open_next(core::Deadline deadline) {
  if (!hosts_known_) {
    co_await find_all(deadline);
    if (!hosts_known_) co_return nullptr;
  }
  const RaceMeans race_means{config_->delivery, means_.marks, means_.random, means_.metrics};
  while (!means_.abandoned && !deadline.passed()) {
    if (addresses_.empty()) {
      if (next_host_ >= hosts_.size()) break;
      co_await next_host(deadline);
      continue;
    }
    auto connected = co_await race(race_means, addresses_, deadline);
    if (!connected.stream) {
      Trouble trouble;
      trouble.stage = Stage::connect;
      trouble.error = connected.error;
      trouble.peer = connected.endpoint.address;
      // "Nobody was there" does not overrule what somebody has said.
      if (!last_ || !last_->from_peer) note(judge(trouble), host_name_, connected.endpoint);
      log_.info("connect_failed", {{"upstream_host", host_name_},
                                   {"upstream_address", connected.endpoint.to_string()},
                                   {"error", core::describe(connected.error)}});
      continue;
    }
    reached_ = true;
    means_.changed.notify();
    std::unique_ptr<Upstream> upstream;
    co_await open(std::move(connected), deadline, upstream);
    if (upstream) co_return std::move(upstream);
  }
  if (!last_) give_up(no_address(seen_, target_.domain));
  co_return nullptr;
}

}  // namespace forwarder
