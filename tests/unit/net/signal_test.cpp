#include "net/signal.hpp"

#include <vector>

#include "net/gate.hpp"
#include "net/shard.hpp"
#include "support.hpp"

namespace net {
namespace {

using namespace testing;

TEST(Signal, wakes_remembers_and_times_out) {
  asio::io_context context{1};
  Signal signal(context.get_executor());
  run(context, [&]() -> Awaitable<void> {
    signal.notify();
    signal.notify();
    EXPECT_TRUE(co_await signal.wait(Deadline::after(0ms)));  // remembered, before the deadline counts
    const auto before = core::Steady::now();
    EXPECT_FALSE(co_await signal.wait(in(30ms)));  // and used up
    EXPECT_GE(core::Steady::now() - before, 30ms);
    asio::steady_timer timer(context, 10ms);
    timer.async_wait([&](auto) { signal.notify(); });
    EXPECT_TRUE(co_await signal.wait(Deadline::never()));
  });
}

TEST(Gate, counts_refuses_when_closed_and_awaits_the_last) {
  asio::io_context context{1};
  Gate gate(context.get_executor());
  run(context, [&]() -> Awaitable<void> {
    EXPECT_TRUE(co_await gate.wait(Deadline::after(0ms)));
    auto one = gate.enter();
    auto two = gate.enter();
    EXPECT_TRUE(one && two);
    EXPECT_EQ(gate.count(), 2U);
    EXPECT_FALSE(co_await gate.wait(in(20ms)));
    gate.close();
    EXPECT_TRUE(gate.closed());
    EXPECT_FALSE(gate.enter());
    Gate::Pass moved = std::move(one);
    EXPECT_EQ(gate.count(), 2U);
    two = std::move(moved);  // gives back what `two` had
    EXPECT_EQ(gate.count(), 1U);
    asio::steady_timer timer(context, 10ms);
    timer.async_wait([&](auto) { two = Gate::Pass(); });
    EXPECT_TRUE(co_await gate.wait(soon()));
    EXPECT_EQ(gate.count(), 0U);
  });
}

// The gate was empty once before: that notice must not end a later wait.
TEST(Gate, an_old_notice_does_not_end_a_wait) {
  asio::io_context context{1};
  Gate gate(context.get_executor());
  run(context, [&]() -> Awaitable<void> {
    {
      const auto pass = gate.enter();
    }
    const auto pass = gate.enter();
    EXPECT_FALSE(co_await gate.wait(in(20ms)));
  });
}

TEST(Gate, a_pass_may_outlive_its_gate) {
  asio::io_context context{1};
  auto gate = std::make_unique<Gate>(context.get_executor());
  auto pass = gate->enter();
  gate.reset();
  EXPECT_TRUE(pass);
}

TEST(Shard, runs_work_on_its_thread_and_drains) {
  Shard shard;
  std::atomic<int> ran = 0;
  asio::post(shard.context(), [&] {
    const auto pass = shard.gate().enter();
    ++ran;
  });
  asio::post(shard.context(), [] { throw std::runtime_error("a bug"); });
  shard.start();
  asio::post(shard.context(), [&] { ++ran; });
  shard.stop();
  shard.join();
  EXPECT_EQ(ran, 2);
  EXPECT_EQ(shard.metrics().get(core::Counter::internal_errors), 1U);
}

TEST(Shard, destroyed_with_a_session_waiting) {
  auto shard = std::make_unique<Shard>();
  std::atomic<bool> waiting = false;
  asio::co_spawn(
      shard->context(),
      [](Shard& s, std::atomic<bool>& flag) -> Awaitable<void> {
        const auto pass = s.gate().enter();
        asio::steady_timer timer(s.context(), 60s);
        flag = true;
        flag.notify_all();
        co_await timer.async_wait(asio::use_awaitable);
      }(*shard, waiting),
      asio::detached);
  shard->start();
  waiting.wait(false);
  shard.reset();
}

}  // namespace
}  // namespace net
