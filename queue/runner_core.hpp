// The inside of queue::Runner: its state, all on the owner's executor, and the coroutines that work on it. They hold it
// by shared_ptr, so that it outlives the Runner while an answer is still on its way. For runner*.cpp only.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "queue/progress.hpp"
#include "queue/runner.hpp"

namespace queue {

// Wakes the one coroutine that waits (never two at once); early notices are remembered.
class Bell {
 public:
  explicit Bell(boost::asio::any_io_executor executor) : timer_(std::move(executor)) {}
  void ring() {
    rung_ = true;
    timer_.cancel();
  }
  // True: it has rung. False: `most` has passed, or the time in `until` has come.
  Awaitable<bool> wait(core::Deadline until);

 private:
  boost::asio::steady_timer timer_;
  bool rung_ = false;
};

class Runner::Core : public std::enable_shared_from_this<Core> {
 public:
  Core(RunnerMeans means, RunnerSettings settings);

  void start();
  void wake(std::string hop);  // any thread; "": any hop
  void adopt(Work work, std::function<Awaitable<std::vector<mail::Outcome>>()> living);
  Awaitable<Touched> fail(Filter filter, Page page);
  void set_settings(RunnerSettings settings);
  void forgive();
  Awaitable<std::size_t> drain(core::Deadline deadline);
  void stop();
  RunnerStatus status() const;

 private:
  friend class Runner;
  using Outcomes = std::vector<mail::Outcome>;
  enum class Kind { attempt, adopted };
  struct Flight {
    std::shared_ptr<const Work> work;
    Time until = 0;
    Kind kind = Kind::attempt;
  };

  // --- runner.cpp ---
  Awaitable<void> loop();
  Awaitable<void> extend_leases();
  // Leases and begins what there is room for. True: there may be more.
  Awaitable<bool> fill();
  Awaitable<bool> fill_hop(std::string hop);
  Awaitable<bool> fill_round();
  // Decides about recipients of dead hops whose time has come, without asking these again.
  Awaitable<void> decide_overdue();
  void decide(Work work);
  // Begins what was leased, or gives it back when the end has come meanwhile.
  Awaitable<void> take(std::vector<Work> leased);
  void begin(Work work);
  Awaitable<void> fly(std::shared_ptr<const Work> work);
  Awaitable<void> fly_adopted(std::shared_ptr<const Work> work, std::function<Awaitable<Outcomes>()> living);
  // Something becomes due then: a look is taken in time.
  void due_at(Time time) {
    if (noted_due_ == 0 || time < noted_due_) noted_due_ = time;
    bell_.ring();
  }
  // This hop may have something: it is looked at soon; "": any hop.
  void want(const std::string& hop);
  std::uint64_t take_off(std::shared_ptr<const Work> work, Kind kind);
  void flight_ended(std::uint64_t number);
  void landed(const Work& work, const Outcomes& outcomes);
  void forget_hops();
  std::size_t room() const;
  core::Deadline next_look() const;

  // --- runner_settle.cpp ---
  struct Settlement;
  Awaitable<void> settle(std::shared_ptr<const Work> work, Outcomes outcomes);
  // Makes the reports, and commits, again and again where that helps.
  Awaitable<core::Error> settle_together(Settlement& settlement);
  // Some of them are somebody else's by now: the others are settled.
  Awaitable<void> settle_each(Settlement& settlement);
  // Errors: a report that a recipient cannot leave without could not be made.
  Awaitable<core::Error> make_reports(Settlement& settlement);
  Awaitable<core::Error> make_report(Settlement& settlement, Report::Kind kind);
  Awaitable<void> pause();
  void tell(const Settlement& settlement);
  void want_new(const Settlement& settlement);

  RunnerMeans means_;
  RunnerSettings settings_;
  Bell bell_, idle_;
  bool started_ = false, draining_ = false, looping_ = false;
  std::size_t deciding_ = 0;

  struct HopState {
    Window window;
    std::string why;  // of the last failure
    mail::Outcome last;
    Time decided = 0;  // when overdue recipients were last looked for
  };
  std::map<std::string, HopState, std::less<>> hops_;
  std::map<std::uint64_t, Flight> flights_;  // several may share a lease: what a put has leased for several hops
  std::uint64_t last_flight_ = 0;
  std::size_t unsettled_ = 0;
  std::set<std::string> wanted_;  // hops to be looked at first
  bool round_wanted_ = true;
  std::optional<std::string> after_;  // where the round goes on
  Time next_due_ = 0;                 // as the store said when a round had seen all hops
  Time noted_due_ = 0;                // of what has been put off since
  RunnerStatus counters_;
};

}  // namespace queue
