// The stress profile: when it goes on and off, and what it does to those who are slow.
#include "smtpd/stress.hpp"

#include <gtest/gtest.h>

#include "tests/unit/smtpd/harness.hpp"

namespace smtpd::testing {
namespace {

using core::Counter;
using core::Milliseconds;

TEST(Threats, RS_16_on_and_off_by_itself) {
  Stress stress;
  core::Metrics metrics, other;
  const auto update = [&](std::size_t used, int pressure) {
    stress.update(used, 100, pressure, metrics);
    return stress.on();
  };
  EXPECT_FALSE(update(79, 0));
  EXPECT_FALSE(update(79, 1));
  EXPECT_TRUE(update(80, 0));
  EXPECT_EQ(metrics.get(Counter::stress), 1U);
  EXPECT_TRUE(update(60, 0));
  EXPECT_TRUE(update(59, 1)) << "memory is not back yet";
  stress.update(59, 100, 0, other);
  EXPECT_FALSE(stress.on());
  EXPECT_EQ(metrics.get(Counter::stress) + other.get(Counter::stress), 0U);
  EXPECT_TRUE(update(0, 2)) << "memory alone";
  EXPECT_FALSE(update(0, 0));
  EXPECT_EQ(metrics.get(Counter::stress_begun), 2U);
}

// Five places: four clients are stress (80 %), two are not.
Settings small() {
  auto settings = Harness::default_settings();
  settings.connections = 5;
  settings.stress_timeout = Milliseconds(400);
  settings.stress_data_rate = 100'000;
  return settings;
}

TEST(Threats, RS_01_who_sits_there_makes_room) {
  Harness harness(small());
  auto idle = harness.connect();
  idle.expect("220 ").ehlo();
  auto slow = harness.connect();
  slow.expect("220 ").ehlo();
  slow.send("NOO");
  EXPECT_FALSE(harness.stress.on());
  auto third = harness.connect(), fourth = harness.connect();
  third.expect("220 ");
  fourth.expect("220 ");
  ASSERT_TRUE(eventually([&] { return harness.stress.on(); }));
  idle.expect("421 4.4.2", "[timeout ").expect_closed();
  slow.expect("421 4.4.2", "[timeout ").expect_closed();
  third.expect("421 4.4.2").expect_closed();
  fourth.expect("421 4.4.2").expect_closed();
  ASSERT_TRUE(eventually([&] { return !harness.stress.on(); }));
  auto later = harness.connect();
  later.expect("220 ");
  EXPECT_FALSE(later.readable(Milliseconds(600))) << "all the time in the world again";
  EXPECT_EQ(harness.count(Counter::stress), 0U);
  EXPECT_EQ(harness.count(Counter::stress_begun), 1U);
}

TEST(Threats, RS_01_message_data_must_flow) {
  Harness harness(small());
  auto slow = harness.connect(), fast = harness.connect();
  slow.expect("220 ").ehlo().envelope().data();
  fast.expect("220 ").ehlo().envelope().data();
  core::Lease lease;
  harness.on_shard([&] { return lease = harness.memory.take(7 * (1 << 20) / 8), true; });
  auto last = harness.connect();  // who comes in looks at how things are
  ASSERT_TRUE(eventually([&] { return harness.stress.on(); }));
  // 100 octets buy 1 ms each time: not enough for pauses of 50 ms, enough without.
  const auto begin = core::Steady::now();
  const std::string line = std::string(98, 'x') + "\r\n";
  bool dropped = false;
  for (int i = 0; i < 200 && !dropped; ++i) {
    slow.send(line);
    for (int more = 0; more < 100; ++more) fast.send(line);
    dropped = slow.readable(Milliseconds(50));
    ASSERT_FALSE(fast.readable(Milliseconds(0)));
  }
  EXPECT_TRUE(dropped);
  EXPECT_GE(core::Steady::now() - begin, Milliseconds(350));
  slow.expect("421 4.4.2", "[timeout ").expect_closed();
  harness.on_shard([&] { return lease.release(), true; });
  fast.reset();
}

TEST(Threats, RS_09_no_more_sessions_than_there_are_descriptors_for) {
  Harness harness;
  harness.on_shard([&] { return harness.table.set_ceiling(1), true; });
  auto first = harness.connect();
  first.expect("220 ");
  harness.connect().expect("421 4.3.2", "[connections ").expect_closed();
}

}  // namespace
}  // namespace smtpd::testing
