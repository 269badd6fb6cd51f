// SipHash-2-4 (Aumasson, Bernstein 2012): a hash of strangers' octets whose collisions cannot be found without the key.
// For tables whose keys a client may choose. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "core/random.hpp"

namespace core {

class KeyedHash {
 public:
  // A key of its own out of `random`.
  explicit KeyedHash(Random& random) : key_{random.next(), random.next()} {}
  explicit KeyedHash(std::array<std::uint64_t, 2> key) : key_(key) {}

  std::uint64_t operator()(std::string_view octets) const;

 private:
  std::array<std::uint64_t, 2> key_;
};

}  // namespace core
