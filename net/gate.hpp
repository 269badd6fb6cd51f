// Counts work in flight on one shard, so that shutdown can drain: close() refuses new work, wait() awaits the old.
#pragma once

#include <cstddef>
#include <utility>

#include "net/signal.hpp"

namespace net {

class Gate {
 public:
  explicit Gate(boost::asio::any_io_executor executor) : empty_(std::move(executor)) {}

  // RAII: one unit of work. Empty (false) when the gate is closed.
  class Pass {
   public:
    Pass() = default;
    Pass(Pass&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
    Pass& operator=(Pass&& other) noexcept {
      if (this != &other) {
        leave();
        gate_ = std::exchange(other.gate_, nullptr);
      }
      return *this;
    }
    ~Pass() { leave(); }
    explicit operator bool() const { return gate_ != nullptr; }

   private:
    friend class Gate;
    explicit Pass(Gate* gate) : gate_(gate) {}
    void leave() {
      if (auto* gate = std::exchange(gate_, nullptr); gate != nullptr && --gate->count_ == 0) gate->empty_.notify();
    }
    Gate* gate_ = nullptr;
  };

  [[nodiscard]] Pass enter() {
    if (closed_) return {};
    ++count_;
    return Pass(this);
  }
  void close() { closed_ = true; }
  bool closed() const { return closed_; }
  std::size_t count() const { return count_; }
  // True when all work has left; false at the deadline.
  Awaitable<bool> wait(core::Deadline deadline);

 private:
  Signal empty_;
  std::size_t count_ = 0;
  bool closed_ = false;
};

}  // namespace net
