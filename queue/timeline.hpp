// The queue's own clock (threats DU-11). It starts at Unix time, and from then on counts what the monotonic clock
// counts: when somebody sets the computer's clock by an hour or ten years, no retry comes early or late, nothing
// expires and nothing stampedes. Across restarts it goes on where it stood, because nobody can tell a long night from a
// wrong clock: while Onward does not run, the clock stands still, but for a minute at most. Immutable after
// construction; any thread may read it, as far as the Clock allows.
#pragma once

#include "core/clock.hpp"
#include "queue/job.hpp"

namespace queue {

class Timeline {
 public:
  // What the store remembers of it: the two clocks at one moment.
  struct Tick {
    Time queue = 0;         // 0: there was none yet
    std::int64_t wall = 0;  // Unix milliseconds
  };
  // At the start at most so much of the time since the last tick is counted: enough that retries come nearer in a
  // program that is restarted all the time, too little to expire anything.
  static constexpr core::Milliseconds kMaxCredit{60'000};

  // `clock` outlives it.
  Timeline(const core::Clock& clock, Tick last);

  Time now() const;
  Tick tick() const;
  // The wall time (Unix milliseconds) that `time` stands for, as the computer's clock says it now; 0 stays 0.
  std::int64_t wall_of(Time time) const;

 private:
  const core::Clock& clock_;
  core::Steady::time_point begin_;
  Time base_;
};

}  // namespace queue
