#include "queue/window.hpp"

#include <algorithm>
#include <cassert>

namespace queue {

void Window::end() {
  assert(in_flight_ > 0);
  if (in_flight_ > 0) --in_flight_;
}

void Window::abandoned() {
  end();
}

void Window::succeeded(const WindowSettings& settings) {
  end();
  size_ = std::min(size_, settings.most);
  failed_windows_ = 0;
  pause_ = core::Milliseconds(0);
  if (dead_until_ != 0) {  // it lives again
    dead_until_ = 0;
    size_ = settings.initial;
    success_ = failure_ = 0;
    return;
  }
  // No further above what is really used than the first size, or a burst of failures would find it far too wide.
  if (size_ >= settings.most || size_ >= in_flight_ + 1 + settings.initial) return;
  success_ += 1.0 / size_;
  if (success_ < 1.0 - 1e-9) return;
  ++size_;
  success_ = failure_ = 0;
}

void Window::failed(const WindowSettings& settings, Time now, std::uint64_t spread) {
  end();
  size_ = std::min(size_, settings.most);
  // Those that began before it was declared dead say nothing new.
  if (dead_until_ > now) return;
  failed_windows_ += 1.0 / size_;
  if (dead_until_ == 0 && failed_windows_ < 1.0 - 1e-9) {
    failure_ += 1.0 / size_;
    if (failure_ >= 1.0 - 1e-9) {
      size_ = std::max(size_ - 1, 1U);
      failure_ = success_ = 0;
    }
    return;
  }
  pause_ = pause_.count() == 0 ? settings.first_pause : std::min(pause_ * 2, settings.longest_pause);
  dead_until_ = now + pause_.count() + static_cast<Time>(spread % static_cast<std::uint64_t>(pause_.count() / 10 + 1));
}

unsigned Window::allowed(Time now) const {
  if (dead_until_ > now) return 0;
  const unsigned most = dead_until_ != 0 ? 1 : size_;
  return most - std::min(most, in_flight_);
}

void Window::forgive() {
  if (dead_until_ != 0) dead_until_ = 1;  // long ago: a probe may begin
}

bool Window::fresh(const WindowSettings& settings) const {
  return in_flight_ == 0 && dead_until_ == 0 && size_ <= settings.initial && failed_windows_ == 0;
}

}  // namespace queue
