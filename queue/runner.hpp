// Works the queue off: leases what is due, lets the injected Attempt try it, and commits what came of it (promise.md
// C.6). It decides when and how much at once, never how: SMTP is the Attempt's matter, the text of a DSN MakeReport's.
//
// Each hop has a window of concurrent attempts that grows with success and shrinks with failure; a hop that does not
// answer at all is dead for a while and costs one probe at a time (queue/window.hpp). Hops take turns, fresh mail comes
// before retries, and no more is in memory than is being tried.
//
// A Runner lives on one shard, its owner: everything but wake() and adopt() is called there, and Attempts are started
// there (they may go elsewhere by themselves). It must be drained before Store::close().
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/random.hpp"
#include "mail/envelope.hpp"
#include "queue/schedule.hpp"
#include "queue/store.hpp"
#include "queue/window.hpp"

namespace queue {

// Asked right before the final dot: true when the lease is ours and has more than 660 s left (it is extended where it
// has not); false: no dot, and the recipients are `deferred`. Any shard.
using DotCheck = std::function<Awaitable<bool>()>;
inline constexpr core::Milliseconds kLeaseBeforeDot{660'000};

// Tries to deliver to all recipients of `work` in one or more transactions, and says what came of each, in their order.
// The body comes from Store::open_body. Before `deadline` it has sent its last dot or given up; it comes back when it
// has the answer, ten minutes after the dot at the latest. An Attempt that finds that the ledger knows the delivery
// (2XX) says `delivered` without sending anything. A missing outcome counts as deferred, `late` as unknown.
using Attempt =
    std::function<Awaitable<std::vector<mail::Outcome>>(std::shared_ptr<const Work>, DotCheck, core::Deadline)>;

// What a sender is to be told of some recipients of one message.
struct Report {
  enum class Kind { failed, delayed, relayed } kind = Kind::failed;
  enum class Why { refused, expired, maybe_delivered, by_operator, delayed, relayed };
  struct About {
    Recipient recipient;  // as it stood; its last_* are those of the last attempt
    Why why = Why::refused;
  };
  std::shared_ptr<const Work> work;
  std::vector<About> about;
};
// Makes the message, with its first recipients due now; nothing: nobody is to be told. An error: not now, it is asked
// again in a minute and the recipients stay. Never asked for a null sender, nor against NOTIFY.
using MakeReport = std::function<Awaitable<core::Result<std::optional<Composed>>>(Report)>;

// For the log, the activity log and the metrics. After the commit that made it true.
struct Event {
  enum class What {
    delivered,
    deferred,  // tried again at recipient.next_attempt
    failed,    // `why` says why; reported unless `unreported`
    fallback,  // goes to recipient.destination now
    delay_told,
    lease_lost,  // somebody else decides about it, or an operator has removed it
  } what = What::deferred;
  const Work& work;
  const Recipient& recipient;    // new values
  const mail::Outcome* outcome;  // null when no attempt was made
  Report::Why why = Report::Why::refused;
  bool dup_possible = false;  // it may have been delivered, and is (or was) tried again, or failed
  bool unreported = false;    // a double bounce, or not wanted
};

struct RunnerSettings {
  Schedule schedule;
  std::size_t in_flight = 100;          // attempts at a time, 1..10,000
  WindowSettings window;                // per hop
  core::Milliseconds lease{1'800'000};  // more than kLeaseBeforeDot
  core::Milliseconds attempt{1'200'000};
  core::Milliseconds commit_again{5'000};  // how long until what could not be committed is tried again
};
// Hops about which something is remembered; beyond, those that have been dead longest are forgotten.
inline constexpr std::size_t kMaxHops = 10'000;

struct RunnerMeans {
  boost::asio::any_io_executor executor;  // the owner's
  Store& store;
  core::Random& random;  // the owner's
  Attempt attempt;
  MakeReport make_report;
  std::function<void(const Event&)> on_event;
};

struct RunnerStatus {
  std::size_t in_flight = 0, adopted = 0;
  std::size_t unsettled = 0;  // attempts whose result could not be committed yet
  std::uint64_t delivered = 0, deferred = 0, failed = 0, double_bounces = 0, dup_possible = 0;
  struct Hop {
    std::string name;
    unsigned window = 0, in_flight = 0;
    bool dead = false;
    Time dead_until = 0;
    std::string why;
  };
  std::vector<Hop> hops;  // dead ones and busy ones
};

class Runner {
 public:
  Runner(RunnerMeans means, RunnerSettings settings);
  Runner(const Runner&) = delete;
  ~Runner();  // after drain() or on an io_context that will not run any more

  void start();
  // Something may have become due: released, retried, or put by somebody who does not know for which hop. Any thread.
  void wake();
  // Mail for this hop was put: it is looked for at once. Any thread.
  void wake(std::string hop);
  // Takes care of a living attempt whose recipients were put leased (promise.md C.3.6): `living` gives its outcomes
  // when they are there. Any thread.
  void adopt(Work work, std::function<Awaitable<std::vector<mail::Outcome>>()> living);
  // Fails what matches and is not being tried, with a report (queue fail ID), in steps.
  Awaitable<Touched> fail(Filter filter, Page page);
  // After a reload.
  void set_settings(RunnerSettings settings);
  // Dead hops are tried again at once.
  void forgive();
  // Begins no new attempts from now on.
  void quiesce();
  // quiesce(), then waits for those under way, and gives back the leases of what has not begun. Once at a time. How
  // many attempts are left at the deadline: their leases end by themselves, or with the process.
  Awaitable<std::size_t> drain(core::Deadline deadline);
  RunnerStatus status() const;

 private:
  class Core;
  std::shared_ptr<Core> core_;
};

}  // namespace queue
