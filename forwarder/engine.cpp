#include "forwarder/engine.hpp"

#include <boost/asio/co_spawn.hpp>

#include "forwarder/attempt.hpp"

namespace forwarder {
// ---- Engine

Engine::Engine(boost::asio::any_io_executor executor, dns::Resolver& resolver, Slots& slots, core::Random& random,
               core::Metrics& metrics)
    : executor_(executor),
      resolver_(resolver),
      slots_(slots),
      random_(random),
      metrics_(metrics),
      pool_(executor, slots),
      gate_(executor),
      own_transport_(std::make_unique<Transport>()) {
  share(*own_transport_);
}

void Engine::share(Transport& transport) {
  transport_ = &transport;
  sts_ = std::make_unique<StsFinder>(StsFinder::Means{executor_, resolver_, metrics_, clock_, transport.policies});
}

Delivery Engine::start(Order order, const core::Log& log) {
  auto attempt = std::make_shared<Attempt>(*this, std::move(order), log);
  core::Log own = log;
  auto done = [this, own](const std::exception_ptr& error) {
    if (!error) return;
    metrics_.add(core::Counter::internal_errors);
    own.error("internal_error", {{"where", "attempt"}});
  };
  auto work = Attempt::run(attempt);
  boost::asio::co_spawn(executor_, std::move(work), std::move(done));
  return Delivery(std::move(attempt));
}

void Engine::reset() {
  pool_.clear();
  families_.clear();
  marks_.clear();
}

void Engine::lend(Attempt& attempt) {
  lendable_[attempt.target().key].insert(&attempt);
}

Engine::~Engine() {
  for (auto* const attempt : attempts_) attempt->engine_gone = true;
}

void Engine::hurry() {
  for (auto* const attempt : attempts_) attempt->hurry();
}

void Engine::unlend(Attempt& attempt) {
  const auto found = lendable_.find(attempt.target().key);
  if (found == lendable_.end()) return;
  found->second.erase(&attempt);
  if (found->second.empty()) lendable_.erase(found);
}

void Engine::reclaim(const std::string& key, const std::optional<core::IpAddress>& client) {
  const auto found = lendable_.find(key);
  if (found == lendable_.end()) return;
  for (auto* attempt : found->second) {
    if (client && attempt->client() != *client) continue;
    unlend(*attempt);
    attempt->give_back();
    return;
  }
}

// ---- Delivery

Delivery::Delivery(std::shared_ptr<Attempt> attempt) : attempt_(std::move(attempt)) {}

Delivery& Delivery::operator=(Delivery&& other) noexcept {
  if (this != &other) {
    abort();
    attempt_ = std::move(other.attempt_);
  }
  return *this;
}

Delivery::~Delivery() {
  abort();
}

void Delivery::abort() {
  if (const auto attempt = std::move(attempt_)) attempt->abandon();
  attempt_.reset();
}

std::size_t Delivery::add_recipient(mail::Mailbox to, RcptParameters parameters) {
  return attempt_->add(std::move(to), std::move(parameters));
}

net::Awaitable<std::optional<mail::Outcome>> Delivery::recipient_verdict(std::size_t index, core::Deadline deadline) {
  while (!attempt_->recipients[index].verdict) {
    if (!co_await attempt_->changed.wait(deadline)) break;
  }
  co_return attempt_->recipients[index].verdict;
}

bool Delivery::reached() const {
  return attempt_->reached();
}

std::optional<core::IpAddress> Delivery::source() const {
  return attempt_->source();
}

std::optional<mail::Outcome> Delivery::known(std::size_t index) const {
  return attempt_->recipients[index].verdict;
}

void Delivery::withdraw(std::size_t index) {
  attempt_->recipients[index].withdrawn = true;
}

void Delivery::lift_tls_policy() {
  attempt_->lift_tls_policy();
}

void Delivery::be_careful() {
  attempt_->be_careful();
}

void Delivery::data_begun() {
  attempt_->data_begun();
}

void Delivery::begin_body(std::shared_ptr<const Parcel> parcel, bool needs_smtputf8) {
  attempt_->begin_body(std::move(parcel), needs_smtputf8);
}

net::Awaitable<bool> Delivery::ready(core::Deadline deadline) {
  while (!attempt_->body_ready && !attempt_->hurried()) {
    if (!co_await attempt_->changed.wait(deadline)) break;
  }
  co_return attempt_->body_ready;
}

bool Delivery::wants_dot() const {
  if (!attempt_->body_ready || attempt_->finished) return false;
  for (const auto& recipient : attempt_->recipients) {
    if (recipient.accepted()) return true;
  }
  return false;
}

void Delivery::send_dot() {
  attempt_->send_dot();
}

net::Awaitable<std::optional<std::vector<mail::Outcome>>> Delivery::wait(core::Deadline deadline) {
  while (!attempt_->finished) {
    if (!co_await attempt_->changed.wait(deadline)) co_return std::nullopt;
  }
  co_return outcomes_so_far();
}

void Delivery::watch(std::shared_ptr<net::Signal> watcher) {
  attempt_->watcher = std::move(watcher);
}

bool Delivery::finished() const {
  return attempt_->finished;
}

std::vector<mail::Outcome> Delivery::outcomes_so_far() const {
  std::vector<mail::Outcome> outcomes;
  for (const auto& recipient : attempt_->recipients) {
    if (recipient.outcome) {
      outcomes.push_back(*recipient.outcome);
      continue;
    }
    mail::Outcome open;
    open.fate = attempt_->dot_sent ? mail::Fate::late : mail::Fate::deferred;
    open.scope = mail::Scope::message;
    open.reply = attempt_->body_ready && !attempt_->dot_sent
                     ? mail::Reply(451, {4, 4, 0}, "Held back: another destination of this address has to wait")
                     : mail::Reply(451, {4, 4, 1}, "The destination did not answer in time");
    outcomes.push_back(std::move(open));
  }
  return outcomes;
}

bool Delivery::settled(std::size_t index) const {
  return attempt_->recipients[index].outcome.has_value();
}

bool Delivery::other_family_may_help() const {
  return attempt_->finished && attempt_->family_refused;
}

void Delivery::retry_other_family() {
  attempt_->retry_other_family();
}

}  // namespace forwarder
