#include "core/budget.hpp"

namespace core {

bool Lease::resize(std::uint64_t amount) {
  if (budget_ == nullptr) return amount == 0;
  if (amount > amount_) {
    if (!budget_->add(amount - amount_)) return false;
  } else {
    budget_->give(amount_ - amount);
  }
  amount_ = amount;
  return true;
}

void Lease::release() {
  if (budget_ != nullptr) budget_->give(amount_);
  budget_ = nullptr;
  amount_ = 0;
}

Lease Budget::take(std::uint64_t amount) {
  if (!add(amount)) return {};
  return Lease(this, amount);
}

bool Budget::add(std::uint64_t amount) {
  auto used = used_.load(std::memory_order_relaxed);
  do {
    const auto most = limit();
    if (amount > most || used > most - amount) return false;
  } while (!used_.compare_exchange_weak(used, used + amount, std::memory_order_relaxed));
  return true;
}

int Budget::pressure() const {
  const auto most = limit();
  const auto now = used();
  if (now >= most - most / 32) return 3;
  if (now >= most - most / 8) return 2;
  if (now >= most - most / 2) return 1;
  return 0;
}

}  // namespace core
