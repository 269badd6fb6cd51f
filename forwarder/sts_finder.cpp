#include "forwarder/sts_finder.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "forwarder/https_get.hpp"

namespace forwarder {
namespace {

std::string record_name(const std::string& domain) {
  return "_mta-sts." + domain;
}

StsFound without_policy(std::string why) {
  StsFound found;
  found.why = std::move(why);
  return found;
}

StsFound::Trouble trouble_of(HttpsAnswer::Result result) {
  return result == HttpsAnswer::Result::untrusted ? StsFound::Trouble::certificate : StsFound::Trouble::fetch;
}

// A place in a fetch's list of those who wait, for as long as one waits.
class Place {
 public:
  Place(std::vector<net::Signal*>& list, net::Signal& signal) : list_(list), signal_(&signal) {
    list_.push_back(signal_);
  }
  Place(const Place&) = delete;
  ~Place() { std::erase(list_, signal_); }

 private:
  std::vector<net::Signal*>& list_;
  net::Signal* signal_;
};

}  // namespace

bool StsFinder::paused(const std::string& domain) {
  const auto found = pauses_.find(domain);
  if (found == pauses_.end()) return false;
  if (found->second > means_.clock.steady()) return true;
  pauses_.erase(found);
  return false;
}

void StsFinder::pause(const std::string& domain) {
  const auto now = means_.clock.steady();
  if (pauses_.size() >= kMaxPauses) {
    std::erase_if(pauses_, [now](const auto& entry) { return entry.second <= now; });
    if (pauses_.size() >= kMaxPauses) pauses_.erase(pauses_.begin());
  }
  pauses_[domain] = now + kPause;
}

net::Awaitable<StsFound> StsFinder::find(std::shared_ptr<const Config> config, std::string domain, core::Log log,
                                         core::Deadline deadline) {
  StsFound found;
  found.entry = means_.store.find(domain, means_.clock.wall());
  dns::Question question{record_name(domain), dns::Type::txt};
  const auto answer = co_await means_.resolver.resolve(std::move(question), deadline);
  const auto id = answer.status == dns::Status::ok ? choose_sts_record(answer.texts) : std::nullopt;
  if (!id) {
    // RFC 8461 §3.1, §3.3: without a record nobody is asked; what is known stays in force until it expires.
    found.why = answer.status == dns::Status::failure ? fmt::format("{}: {}", record_name(domain), answer.error)
                                                      : "no record at " + record_name(domain);
    co_return found;
  }
  if (found.entry && found.entry->id == *id) co_return found;
  if (paused(domain)) {
    found.why = "the policy could not be fetched lately";
    co_return found;
  }
  auto fetched = co_await fetch(std::move(config), std::move(domain), *id, std::move(log), deadline);
  if (!fetched.entry) fetched.entry = found.entry;  // never loosened by a failure
  co_return fetched;
}

net::Awaitable<void> StsFinder::refresh(std::shared_ptr<const Config> config, std::string domain, core::Log log) {
  const auto deadline = core::Deadline::after(2 * kFetchPatience);
  dns::Question question{record_name(domain), dns::Type::txt};
  const auto answer = co_await means_.resolver.resolve(std::move(question), deadline);
  const auto id = answer.status == dns::Status::ok ? choose_sts_record(answer.texts) : std::nullopt;
  if (!id || paused(domain)) co_return;
  static_cast<void>(co_await fetch(std::move(config), std::move(domain), *id, std::move(log), deadline));
}

// Joins the fetch under way, or makes one.
net::Awaitable<StsFound> StsFinder::fetch(std::shared_ptr<const Config> config, std::string domain, std::string id,
                                          core::Log log, core::Deadline deadline) {
  if (const auto known = fetches_.find(domain); known != fetches_.end()) {
    const auto other = known->second;
    net::Signal signal(means_.executor);
    const Place place(other->waiting, signal);
    if (!other->done) static_cast<void>(co_await signal.wait(deadline.within(kFetchPatience)));
    if (other->done) co_return other->result;
    co_return without_policy("the policy is still being fetched");
  }
  const auto mine = std::make_shared<Fetch>();
  fetches_[domain] = mine;
  mine->result = co_await fetch_once(std::move(config), domain, std::move(id), std::move(log), deadline);
  mine->done = true;
  fetches_.erase(domain);
  for (auto* signal : mine->waiting) signal->notify();
  co_return mine->result;
}

net::Awaitable<StsFound> StsFinder::fetch_once(std::shared_ptr<const Config> config, std::string domain, std::string id,
                                               core::Log log, core::Deadline deadline) {
  HttpsRequest request;
  request.host = "mta-sts." + domain;
  request.path = kStsPath;
  request.max_octets = kMaxStsPolicy;
  request.private_addresses = config->delivery.private_destinations;
  means_.metrics.add(core::Counter::sts_fetches);
  const HttpsMeans means{means_.resolver, *config->tls_client};
  const auto answer = co_await https_request(means, std::move(request), deadline.within(kFetchPatience));
  StsFound found;
  if (answer.result != HttpsAnswer::Result::ok) {
    found.trouble = trouble_of(answer.result);
    found.why = answer.why;
  } else if (auto policy = parse_sts_policy(answer.body)) {
    StsEntry entry;
    entry.id = std::move(id);
    entry.policy = std::move(*policy);
    entry.fetched = means_.clock.wall();
    log.info("mta_sts_policy", {{"domain", domain},
                                {"id", entry.id},
                                {"mode", to_string(entry.policy.mode)},
                                {"max_age_s", entry.policy.max_age.count()}});
    found.entry = std::make_shared<const StsEntry>(entry);
    means_.store.put(domain, std::move(entry), means_.clock.wall());
    co_return found;
  } else {
    found.trouble = StsFound::Trouble::invalid;
    found.why = policy.error().text;
  }
  pause(domain);
  means_.metrics.add(core::Counter::sts_fetch_failed);
  log.warn("mta_sts_fetch_failed", {{"domain", domain}, {"error", found.why}});
  co_return found;
}

}  // namespace forwarder
