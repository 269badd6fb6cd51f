// Randomness as an argument; ids of sessions and messages.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace core {

class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(std::span<std::uint8_t> out) = 0;

  std::uint64_t next();
  // Uniform in [0, bound); bound > 0.
  std::uint64_t below(std::uint64_t bound);
};

// getrandom(2), buffered; not shared between threads.
class SystemRandom final : public Random {
 public:
  void fill(std::span<std::uint8_t> out) override;

 private:
  std::uint8_t buffer_[512] = {};
  std::size_t left_ = 0;
};

// Repeatable, for tests and fuzzers.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : state_(seed) {}
  void fill(std::span<std::uint8_t> out) override;

 private:
  std::uint64_t state_;
};

// A trace id: ten characters of [a-z2-7], 50 random bits. A message's id is its session's id, "-" and a number.
std::string make_id(Random& random);

}  // namespace core
