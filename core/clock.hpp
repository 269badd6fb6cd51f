// Time as an argument. Pure code takes `now`; what keeps state over time (limiters, caches) takes a Clock&.
#pragma once

#include <chrono>

namespace core {

using Steady = std::chrono::steady_clock;
using Wall = std::chrono::system_clock;
using Milliseconds = std::chrono::milliseconds;
using Seconds = std::chrono::seconds;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Steady::time_point steady() const = 0;  // for timers: never jumps
  virtual Wall::time_point wall() const = 0;      // for dates in messages, SRS days, logs
};

class SystemClock final : public Clock {
 public:
  Steady::time_point steady() const override { return Steady::now(); }
  Wall::time_point wall() const override { return Wall::now(); }
};

// For tests: stands still until it is moved.
class ManualClock final : public Clock {
 public:
  Steady::time_point steady() const override { return steady_; }
  Wall::time_point wall() const override { return wall_; }
  void advance(Milliseconds by) {
    steady_ += by;
    wall_ += by;
  }
  void set_wall(Wall::time_point t) { wall_ = t; }

 private:
  Steady::time_point steady_{std::chrono::hours(1)};
  Wall::time_point wall_{std::chrono::seconds(1'700'000'000)};
};

// A moment after which waiting stops; a value that is handed down, so that nested steps share one bound.
class Deadline {
 public:
  static Deadline never() { return Deadline(Steady::time_point::max()); }
  static Deadline after(Steady::duration d) { return Deadline(Steady::now() + d); }
  static Deadline at(Steady::time_point t) { return Deadline(t); }

  Steady::time_point time() const { return at_; }
  bool passed() const { return at_ != Steady::time_point::max() && Steady::now() >= at_; }
  Steady::duration left() const {
    if (at_ == Steady::time_point::max()) return Steady::duration::max();
    const auto now = Steady::now();
    return now >= at_ ? Steady::duration::zero() : at_ - now;
  }
  // The earlier of the two.
  Deadline bounded_by(Deadline other) const { return at_ < other.at_ ? *this : other; }
  // The earlier of this one and `d` from now.
  Deadline within(Steady::duration d) const { return bounded_by(after(d)); }

 private:
  explicit Deadline(Steady::time_point t) : at_(t) {}
  Steady::time_point at_;
};

}  // namespace core
