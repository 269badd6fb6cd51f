#include "queue/runner.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cassert>

#include "queue/runner_core.hpp"

namespace queue {
namespace {

constexpr core::Milliseconds kLookAgain{60'000};  // at the latest, whatever is or is not due
constexpr std::size_t kMostAtOnce = 50;           // pieces of work in one request
constexpr std::size_t kMaxWanted = 1000;          // hops to look at first; beyond, a whole round is made
constexpr std::size_t kManyHops = 1000;           // to remember anything of that has no trouble
constexpr core::Milliseconds kDecideAgain{60'000};
constexpr std::size_t kMostDecisions = 200;  // about recipients of dead hops, at a time

// Did the hop talk to us? What it says of a recipient or a message does not count against it.
bool hop_failed(const mail::Outcome& outcome) {
  if (outcome.fate == mail::Fate::unknown || outcome.fate == mail::Fate::late) return true;
  return outcome.fate == mail::Fate::deferred &&
         (outcome.scope == mail::Scope::host || outcome.scope == mail::Scope::destination);
}

Awaitable<bool> check_dot(Store& store, MessageKey message, Epoch lease, core::Milliseconds lease_for) {
  const auto enough = [&](Time until) { return until - store.now() > kLeaseBeforeDot.count(); };
  const auto until = co_await store.check(message, lease);
  if (!until) co_return false;
  if (enough(*until)) co_return true;
  const auto extended = co_await store.extend(message, lease, lease_for);
  co_return extended&& enough(*extended);
}

}  // namespace

Awaitable<bool> Bell::wait(core::Deadline until) {
  while (!rung_) {
    if (until.passed()) co_return false;
    timer_.expires_at(until.time());
    // The result does not matter: what counts is `rung_` and the clock, looked at again above.
    co_await timer_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  }
  rung_ = false;
  co_return true;
}

// --- Core: from outside ---

Runner::Core::Core(RunnerMeans means, RunnerSettings settings)
    : means_(std::move(means)), settings_(std::move(settings)), bell_(means_.executor), idle_(means_.executor) {
  assert(settings_.lease > kLeaseBeforeDot);
}

void Runner::Core::start() {
  if (std::exchange(started_, true)) return;
  looping_ = true;
  auto work = [](std::shared_ptr<Core> core) -> Awaitable<void> {
    co_await core->loop();
    core->looping_ = false;
    core->idle_.ring();
  };
  boost::asio::co_spawn(means_.executor, work(shared_from_this()), boost::asio::detached);
}

void Runner::Core::wake(std::string hop) {
  boost::asio::post(means_.executor, [self = shared_from_this(), hop = std::move(hop)] { self->want(hop); });
}

void Runner::Core::want(const std::string& hop) {
  if (hop.empty() || wanted_.size() >= kMaxWanted) {
    round_wanted_ = true;
  } else {
    wanted_.insert(hop);
  }
  bell_.ring();
}

void Runner::Core::adopt(Work work, std::function<Awaitable<Outcomes>()> living) {
  boost::asio::post(means_.executor, [self = shared_from_this(), work = std::make_shared<const Work>(std::move(work)),
                                      living = std::move(living)]() mutable {
    const auto number = self->take_off(work, Kind::adopted);
    auto flight = [](std::shared_ptr<Core> core, std::shared_ptr<const Work> what,
                     std::function<Awaitable<Outcomes>()> how, std::uint64_t which) -> Awaitable<void> {
      co_await core->fly_adopted(std::move(what), std::move(how));
      core->flight_ended(which);
    };
    boost::asio::co_spawn(self->means_.executor, flight(self, std::move(work), std::move(living), number),
                          boost::asio::detached);
  });
}

void Runner::Core::set_settings(RunnerSettings settings) {
  assert(settings.lease > kLeaseBeforeDot);
  settings_ = std::move(settings);
  round_wanted_ = true;
  bell_.ring();
}

void Runner::Core::forgive() {
  for (auto& [name, hop] : hops_) hop.window.forgive();
  round_wanted_ = true;
  bell_.ring();
}

std::uint64_t Runner::Core::take_off(std::shared_ptr<const Work> work, Kind kind) {
  const auto number = ++last_flight_;
  const auto until = work->until;
  flights_[number] = {std::move(work), until, kind};
  return number;
}

void Runner::Core::flight_ended(std::uint64_t number) {
  flights_.erase(number);
  bell_.ring();  // others may have waited for the room
  if (flights_.empty()) idle_.ring();
}

Awaitable<std::size_t> Runner::Core::drain(core::Deadline deadline) {
  stop();
  while (!flights_.empty() || looping_) {
    if (!co_await idle_.wait(deadline)) break;
  }
  co_return flights_.size();
}

void Runner::Core::stop() {
  draining_ = true;
  bell_.ring();
}

RunnerStatus Runner::Core::status() const {
  RunnerStatus status = counters_;
  for (const auto& [number, flight] : flights_) ++(flight.kind == Kind::adopted ? status.adopted : status.in_flight);
  status.unsettled = unsettled_;
  for (const auto& [name, hop] : hops_) {
    const auto& window = hop.window;
    if (window.in_flight() == 0 && !window.dead()) continue;
    status.hops.push_back({name, window.size(), window.in_flight(), window.dead(), window.dead_until(), hop.why});
  }
  return status;
}

// --- leasing ---

std::size_t Runner::Core::room() const {
  std::size_t busy = 0;
  for (const auto& [number, flight] : flights_) busy += flight.kind == Kind::attempt ? 1 : 0;
  return settings_.in_flight - std::min(settings_.in_flight, busy);
}

Awaitable<void> Runner::Core::loop() {
  while (!draining_) {
    const bool more = co_await fill();
    if (draining_) break;
    co_await extend_leases();
    co_await decide_overdue();
    forget_hops();
    if (more) continue;
    if (!co_await bell_.wait(next_look())) round_wanted_ = true;
  }
}

core::Deadline Runner::Core::next_look() const {
  auto left = kLookAgain;
  const auto now = means_.store.now();
  const auto bound = [&](Time time) { left = std::clamp(core::Milliseconds(time - now), core::Milliseconds(1), left); };
  // Where there is no room, an attempt that ends rings the bell.
  for (const auto due : {next_due_, noted_due_}) {
    if (due != 0 && room() > 0) bound(due);
  }
  for (const auto& [name, hop] : hops_) {
    if (hop.window.dead() && hop.window.dead_until() > now) bound(hop.window.dead_until());
  }
  return core::Deadline::after(left);
}

Awaitable<bool> Runner::Core::fill() {
  if (room() == 0) co_return false;
  // A round that has stopped for lack of room goes on first: otherwise the hop whose attempt has just ended would get
  // the room again and again.
  if (after_) co_return co_await fill_round();
  if (!wanted_.empty()) {
    auto hop = *wanted_.begin();
    wanted_.erase(wanted_.begin());
    co_return co_await fill_hop(std::move(hop));
  }
  if (!round_wanted_) co_return false;
  co_return co_await fill_round();
}

Awaitable<bool> Runner::Core::fill_hop(std::string hop) {
  const auto known = hops_.find(hop);
  const auto allowed =
      known == hops_.end() ? settings_.window.initial : known->second.window.allowed(means_.store.now());
  const bool more = !wanted_.empty() || round_wanted_ || after_;
  if (allowed == 0) co_return more;
  LeaseRequest request;
  request.most = std::min({room(), kMostAtOnce, std::size_t{allowed}});
  request.lease_for = settings_.lease;
  request.per_hop = request.most;
  request.hop = std::move(hop);
  auto leased = co_await means_.store.lease_due(std::move(request));
  if (!leased) {
    round_wanted_ = true;  // at the next look, in a minute at the latest
    co_return false;
  }
  co_await take(std::move(leased->work));
  co_return more;
}

Awaitable<bool> Runner::Core::fill_round() {
  LeaseRequest request;
  request.most = std::min(room(), kMostAtOnce);
  request.lease_for = settings_.lease;
  request.per_hop = settings_.window.initial;
  const auto now = means_.store.now();
  for (const auto& [name, hop] : hops_) {
    const auto allowed = hop.window.allowed(now);
    if (allowed != request.per_hop) request.allowance.emplace(name, allowed);
  }
  request.after = after_;
  if (!after_) {
    round_wanted_ = false;
    noted_due_ = 0;  // the store knows of these
  }
  auto leased = co_await means_.store.lease_due(std::move(request));
  if (!leased) {
    round_wanted_ = true;
    co_return false;
  }
  after_ = leased->after;
  if (!after_) next_due_ = leased->next_due;
  co_await take(std::move(leased->work));
  co_return after_ || round_wanted_ || !wanted_.empty();
}

Awaitable<void> Runner::Core::take(std::vector<Work> leased) {
  for (auto& work : leased) {
    // What is under way here already can be leased a second time only when its lease could not be extended in time (a
    // full disk): it is not tried twice.
    const bool under_way = std::any_of(flights_.begin(), flights_.end(), [&](const auto& flight) {
      return flight.second.work->job.key == work.job.key && flight.second.work->hop == work.hop;
    });
    if (draining_ || under_way) {
      static_cast<void>(co_await means_.store.release(work.job.key, work.lease));
    } else {
      begin(std::move(work));
    }
  }
}

// A hop that is dead costs no attempts; but its recipients expire, fall back, and are told of delays, all the same,
// with what the hop said (or did not say) to those who asked last.
Awaitable<void> Runner::Core::decide_overdue() {
  if (deciding_ > 0) co_return;  // the last of them rings the bell
  const auto now = means_.store.now();
  OverdueRequest request;
  for (const auto& [name, hop] : hops_) {
    if (!hop.window.dead() || hop.window.dead_until() <= now) continue;
    if (hop.decided == 0 || now - hop.decided >= kDecideAgain.count()) request.hops.push_back(name);
  }
  if (request.hops.empty()) co_return;
  request.most = kMostDecisions;
  request.lease_for = settings_.lease;
  const auto hops = request.hops;
  auto leased = co_await means_.store.lease_overdue(std::move(request));
  if (!leased) co_return;
  if (leased->size() < kMostDecisions) {
    for (const auto& name : hops) {
      if (const auto hop = hops_.find(name); hop != hops_.end()) hop->second.decided = now;
    }
  }
  for (auto& work : *leased) decide(std::move(work));
}

void Runner::Core::decide(Work leased) {
  auto work = std::make_shared<const Work>(std::move(leased));
  const auto hop = hops_.find(work->hop);
  auto last = hop == hops_.end() ? mail::Outcome() : hop->second.last;
  last.fate = mail::Fate::deferred;
  const auto number = take_off(work, Kind::adopted);
  ++deciding_;
  auto flight = [](std::shared_ptr<Core> core, std::shared_ptr<const Work> what, mail::Outcome how,
                   std::uint64_t which) -> Awaitable<void> {
    Outcomes outcomes(what->job.recipients.size(), how);
    co_await core->settle(what, std::move(outcomes));
    --core->deciding_;
    core->flight_ended(which);
  };
  boost::asio::co_spawn(means_.executor, flight(shared_from_this(), std::move(work), std::move(last), number),
                        boost::asio::detached);
}

// --- attempts ---

void Runner::Core::begin(Work leased) {
  auto work = std::make_shared<const Work>(std::move(leased));
  hops_.try_emplace(work->hop, HopState{Window(settings_.window), {}, {}, 0}).first->second.window.begin();
  const auto number = take_off(work, Kind::attempt);
  auto flight = [](std::shared_ptr<Core> core, std::shared_ptr<const Work> what,
                   std::uint64_t which) -> Awaitable<void> {
    co_await core->fly(what);
    core->want(what->hop);  // it may have more
    core->flight_ended(which);
  };
  boost::asio::co_spawn(means_.executor, flight(shared_from_this(), std::move(work), number), boost::asio::detached);
}

Awaitable<void> Runner::Core::fly(std::shared_ptr<const Work> work) {
  Outcomes outcomes;
  DotCheck check = [store = &means_.store, key = work->job.key, lease = work->lease, lease_for = settings_.lease] {
    return check_dot(*store, key, lease, lease_for);
  };
  try {
    const auto deadline = core::Deadline::after(settings_.attempt);
    outcomes = co_await means_.attempt(work, std::move(check), deadline);
  } catch (const std::exception&) {
    outcomes.clear();  // a bug of ours: nobody knows how far it came, and the ledger knows of dots
  }
  landed(*work, outcomes);
  co_await settle(std::move(work), std::move(outcomes));
}

Awaitable<void> Runner::Core::fly_adopted(std::shared_ptr<const Work> work,
                                          std::function<Awaitable<Outcomes>()> living) {
  Outcomes outcomes;
  try {
    outcomes = co_await living();
  } catch (const std::exception&) {
    outcomes.clear();
  }
  // Their dots are out: silence means that nobody knows.
  mail::Outcome unknown;
  unknown.fate = mail::Fate::unknown;
  outcomes.resize(work->job.recipients.size(), unknown);
  co_await settle(std::move(work), std::move(outcomes));
}

// What the hop's window learns.
void Runner::Core::landed(const Work& work, const Outcomes& outcomes) {
  const auto known = hops_.find(work.hop);
  if (known == hops_.end()) return;
  auto& hop = known->second;
  if (outcomes.empty()) return hop.window.abandoned();
  const auto failed = std::find_if(outcomes.begin(), outcomes.end(), hop_failed);
  if (failed == outcomes.end()) return hop.window.succeeded(settings_.window);
  hop.last = *failed;
  hop.why = failed->reply.to_log();
  hop.window.failed(settings_.window, means_.store.now(), means_.random.next());
}

void Runner::Core::forget_hops() {
  const auto now = means_.store.now();
  std::erase_if(hops_, [&](const auto& entry) {
    const auto& window = entry.second.window;
    if (window.fresh(settings_.window)) return true;
    // A window that has grown is worth keeping, unless there are very many.
    if (hops_.size() > kManyHops && window.in_flight() == 0 && !window.dead()) return true;
    // Nobody has asked for it for long: whatever was queued for it has gone.
    return window.in_flight() == 0 && window.dead() &&
           now - window.dead_until() > 2 * settings_.window.longest_pause.count();
  });
  while (hops_.size() > kMaxHops) {
    auto oldest = hops_.end();
    for (auto hop = hops_.begin(); hop != hops_.end(); ++hop) {
      if (hop->second.window.in_flight() > 0) continue;
      if (oldest == hops_.end() || hop->second.window.dead_until() < oldest->second.window.dead_until()) oldest = hop;
    }
    if (oldest == hops_.end()) return;
    hops_.erase(oldest);
  }
}

// A lease in flight must not end under its attempt: it is extended when half of it is over.
Awaitable<void> Runner::Core::extend_leases() {
  std::vector<std::uint64_t> soon;
  const auto now = means_.store.now();
  for (const auto& [number, flight] : flights_) {
    if (flight.until - now < settings_.lease.count() / 2) soon.push_back(number);
  }
  for (const auto number : soon) {
    const auto flight = flights_.find(number);
    if (flight == flights_.end()) continue;
    const auto work = flight->second.work;
    const auto until = co_await means_.store.extend(work->job.key, work->lease, settings_.lease);
    const auto still = flights_.find(number);
    // One that is lost is found out by its attempt, before the dot.
    if (until && still != flights_.end()) still->second.until = *until;
  }
}

// --- Runner ---

Runner::Runner(RunnerMeans means, RunnerSettings settings)
    : core_(std::make_shared<Core>(std::move(means), std::move(settings))) {}

Runner::~Runner() {
  core_->stop();
}

void Runner::start() {
  core_->start();
}
void Runner::wake() {
  core_->wake("");
}
void Runner::wake(std::string hop) {
  core_->wake(std::move(hop));
}
void Runner::adopt(Work work, std::function<Awaitable<std::vector<mail::Outcome>>()> living) {
  core_->adopt(std::move(work), std::move(living));
}
Awaitable<Touched> Runner::fail(Filter filter, Page page) {
  return core_->fail(std::move(filter), page);
}
void Runner::set_settings(RunnerSettings settings) {
  core_->set_settings(std::move(settings));
}
void Runner::forgive() {
  core_->forgive();
}
void Runner::quiesce() {
  core_->stop();
}
Awaitable<std::size_t> Runner::drain(core::Deadline deadline) {
  return core_->drain(deadline);
}
RunnerStatus Runner::status() const {
  return core_->status();
}

}  // namespace queue
