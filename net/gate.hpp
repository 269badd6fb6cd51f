// Counts work in flight on one shard, so that shutdown can drain: close() refuses new work, wait() awaits the old.
// A Pass may outlive the Gate (a session destroyed with its io_context); all of it happens on the shard's thread.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "net/signal.hpp"

namespace net {

class Gate {
  struct State {
    Signal* empty = nullptr;  // null once the Gate is gone
    std::size_t count = 0;
  };

 public:
  explicit Gate(boost::asio::any_io_executor executor) : empty_(std::move(executor)) { state_->empty = &empty_; }
  Gate(const Gate&) = delete;
  ~Gate() { state_->empty = nullptr; }

  // RAII: one unit of work. Empty (false) when the gate is closed.
  class Pass {
   public:
    Pass() = default;
    Pass(Pass&& other) noexcept = default;
    Pass& operator=(Pass&& other) noexcept {
      if (this != &other) {
        leave();
        state_ = std::move(other.state_);
      }
      return *this;
    }
    ~Pass() { leave(); }
    explicit operator bool() const { return state_ != nullptr; }

   private:
    friend class Gate;
    explicit Pass(std::shared_ptr<State> state) : state_(std::move(state)) {}
    void leave() {
      const auto state = std::move(state_);
      if (state && --state->count == 0 && state->empty != nullptr) state->empty->notify();
    }
    std::shared_ptr<State> state_;
  };

  [[nodiscard]] Pass enter() {
    if (closed_) return {};
    ++state_->count;
    return Pass(state_);
  }
  void close() { closed_ = true; }
  bool closed() const { return closed_; }
  std::size_t count() const { return state_->count; }
  // True when all work has left; false at the deadline.
  Awaitable<bool> wait(core::Deadline deadline);

 private:
  Signal empty_;
  std::shared_ptr<State> state_ = std::make_shared<State>();
  bool closed_ = false;
};

}  // namespace net
