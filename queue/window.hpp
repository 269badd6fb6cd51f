// How many attempts a hop may have at once (after Postfix's SCHEDULER_README): it begins small, grows by one for every
// window's worth of success, shrinks by one for every window's worth of failure, and when a whole window has failed
// without a success between, the hop is dead: one probe at a time, with growing pauses. Pure; one a hop.
#pragma once

#include <cstdint>

#include "core/clock.hpp"
#include "queue/job.hpp"

namespace queue {

struct WindowSettings {
  unsigned initial = 5;                                              // 1..most
  unsigned most = 20;                                                // connections_per_destination
  core::Milliseconds first_pause{60'000}, longest_pause{3'600'000};  // of a dead hop; doubled from pause to pause
};

class Window {
 public:
  explicit Window(const WindowSettings& settings) : size_(settings.initial) {}

  // An attempt begins; it must be one of allowed().
  void begin() { ++in_flight_; }
  // The hop talked to us, whatever it said of this message.
  void succeeded(const WindowSettings& settings);
  // It did not, or refused everything. `now`: the queue's clock; `spread`: any number, up to a tenth of the pause more.
  void failed(const WindowSettings& settings, Time now, std::uint64_t spread);
  // Ended without saying anything of the hop.
  void abandoned();

  // How many more attempts may begin.
  unsigned allowed(Time now) const;
  bool dead() const { return dead_until_ != 0; }
  Time dead_until() const { return dead_until_; }
  unsigned size() const { return size_; }
  unsigned in_flight() const { return in_flight_; }
  // Dead no more; the next failure kills it again.
  void forgive();
  // Nothing is worth remembering.
  bool fresh(const WindowSettings& settings) const;

 private:
  void end();
  unsigned size_;
  unsigned in_flight_ = 0;
  double success_ = 0, failure_ = 0;  // fractions of the next step
  double failed_windows_ = 0;         // since the last success
  Time dead_until_ = 0;               // 0: alive
  core::Milliseconds pause_{0};
};

}  // namespace queue
