#include "core/random.hpp"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace core {

std::uint64_t Random::next() {
  std::uint64_t value = 0;
  std::uint8_t bytes[sizeof value];
  fill(bytes);
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

std::uint64_t Random::below(std::uint64_t bound) {
  // Values above the largest multiple of `bound` are drawn again, so that each result is equally likely.
  const std::uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
  for (;;) {
    const std::uint64_t value = next();
    if (value < limit) return value % bound;
  }
}

void SystemRandom::fill(std::span<std::uint8_t> out) {
  while (!out.empty()) {
    if (left_ == 0) {
      std::size_t got = 0;
      while (got < sizeof buffer_) {
        const auto n = ::getrandom(buffer_ + got, sizeof buffer_ - got, 0);
        if (n < 0 && errno != EINTR) std::abort();  // no kernel we run on lacks it; guessable ids are no alternative
        if (n > 0) got += static_cast<std::size_t>(n);
      }
      left_ = sizeof buffer_;
    }
    const std::size_t n = std::min(left_, out.size());
    std::memcpy(out.data(), buffer_ + sizeof buffer_ - left_, n);
    left_ -= n;
    out = out.subspan(n);
  }
}

void SeededRandom::fill(std::span<std::uint8_t> out) {
  for (auto& byte : out) {  // splitmix64
    state_ += 0x9e3779b97f4a7c15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    byte = static_cast<std::uint8_t>(z ^ (z >> 31));
  }
}

std::string make_id(Random& random) {
  static constexpr char kAlphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
  std::uint64_t bits = random.next();
  std::string id(10, 'a');
  for (auto& c : id) {
    c = kAlphabet[bits & 31];
    bits >>= 5;
  }
  return id;
}

}  // namespace core
