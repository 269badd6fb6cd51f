// Bytes and slots handed out as leases: a lease refuses, it never blocks, and gives back by itself (threats RS-06).
// One Budget is shared by all shards; taking and giving are atomic.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace core {

class Budget;

// Owns part of a Budget until destroyed. Movable; must not outlive its Budget.
class Lease {
 public:
  Lease() = default;
  Lease(Lease&& other) noexcept
      : budget_(std::exchange(other.budget_, nullptr)), amount_(std::exchange(other.amount_, 0)) {}
  Lease& operator=(Lease&& other) noexcept {
    if (this != &other) {
      release();
      budget_ = std::exchange(other.budget_, nullptr);
      amount_ = std::exchange(other.amount_, 0);
    }
    return *this;
  }
  ~Lease() { release(); }

  // Makes the lease `amount` in all; false, and unchanged, when the budget has not that much left.
  [[nodiscard]] bool resize(std::uint64_t amount);
  void release();
  std::uint64_t amount() const { return amount_; }
  explicit operator bool() const { return budget_ != nullptr; }

 private:
  friend class Budget;
  Lease(Budget* budget, std::uint64_t amount) : budget_(budget), amount_(amount) {}
  Budget* budget_ = nullptr;
  std::uint64_t amount_ = 0;
};

class Budget {
 public:
  explicit Budget(std::uint64_t limit) : limit_(limit) {}
  Budget(const Budget&) = delete;

  // An empty lease (false) when less than `amount` is left; a lease of 0 can always be had and grown later.
  [[nodiscard]] Lease take(std::uint64_t amount);
  std::uint64_t used() const { return used_.load(std::memory_order_relaxed); }
  std::uint64_t limit() const { return limit_.load(std::memory_order_relaxed); }
  // After a reload; what is leased beyond a smaller limit stays leased.
  void set_limit(std::uint64_t limit) { limit_.store(limit, std::memory_order_relaxed); }
  // 0 below half, 1 from half (spill at once), 2 from 7/8 (452 at MAIL), 3 from 31/32 (421 at accept).
  int pressure() const;

 private:
  friend class Lease;
  bool add(std::uint64_t amount);
  void give(std::uint64_t amount) { used_.fetch_sub(amount, std::memory_order_relaxed); }
  std::atomic<std::uint64_t> limit_;
  std::atomic<std::uint64_t> used_{0};
};

}  // namespace core
