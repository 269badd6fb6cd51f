#include "app/rates.hpp"

#include <algorithm>

namespace app {

void RateKeeper::sample(core::Steady::time_point now, const Values& values) {
  while (!samples_.empty() && samples_.front().time < now - kMost) samples_.pop_front();
  samples_.push_back({now, values});
}

std::optional<RateKeeper::Rates> RateKeeper::per_minute(core::Milliseconds window) const {
  if (samples_.size() < 2) return std::nullopt;
  const auto& last = samples_.back();
  const auto from = last.time - window;
  const auto first =
      std::find_if(samples_.begin(), samples_.end() - 2, [from](const Sample& sample) { return sample.time >= from; });
  const auto minutes = std::chrono::duration<double, std::ratio<60>>(last.time - first->time).count();
  if (minutes <= 0) return std::nullopt;
  Rates out{};
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<double>(last.values[i] - first->values[i]) / minutes;
  }
  return out;
}

}  // namespace app
