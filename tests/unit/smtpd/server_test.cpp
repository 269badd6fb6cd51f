// The door: caps, memory pressure, early talkers, and the table that counts who is in.
#include "smtpd/server.hpp"

#include <gtest/gtest.h>

#include "tests/unit/smtpd/harness.hpp"

namespace smtpd::testing {
namespace {

using core::Counter;
using core::Milliseconds;

TEST(Threats, RS_02_cap_per_client) {
  auto settings = Harness::default_settings();
  settings.connections_per_ip = 2;
  Harness harness(settings);
  auto first = harness.connect();
  first.expect("220 ");
  {
    auto second = harness.connect();
    second.expect("220 ");
    harness.connect().expect("421 4.7.0", "[connections ").expect_closed();
    second.line("QUIT").expect("221 ").expect_closed();
  }
  ASSERT_TRUE(eventually([&] { return harness.table.total() == 1; }));
  harness.connect().expect("220 ");
  EXPECT_EQ(harness.count(Counter::connections_refused), 1U);
}

TEST(Threats, RS_02_global_cap) {
  auto settings = Harness::default_settings();
  settings.connections = 1;
  Harness harness(settings);
  auto first = harness.connect();
  first.expect("220 ");
  harness.connect().expect("421 4.3.2", "[connections ").expect_closed();
  first.line("NOOP").expect("250 ");
}

TEST(Threats, RS_06_no_memory_no_session) {
  Harness harness;
  core::Lease lease;
  const auto all = (1 << 20) - 1;
  harness.on_shard([&] {
    lease = harness.memory.take(all);
    return true;
  });
  ASSERT_EQ(harness.memory.pressure(), 3);
  harness.connect().expect("421 4.3.2", "[memory ").expect_closed();
  harness.on_shard([&] { return lease.release(), true; });
  harness.connect().expect("220 ");
}

TEST(Threats, RS_02_an_IPv6_client_is_its_64) {
  ConnectionTable table;
  const auto ip = [](const char* text) { return *core::IpAddress::parse(text); };
  const ConnectionTable::Limits limits{100, 2};
  auto a = table.enter(ip("2001:db8:1:2::1"), limits);
  auto b = table.enter(ip("2001:db8:1:2:ffff::2"), limits);
  EXPECT_TRUE(a.slot && b.slot);
  EXPECT_EQ(table.enter(ip("2001:db8:1:2::3"), limits).refusal, ConnectionTable::Refusal::client);
  EXPECT_EQ(table.enter(ip("2001:db8:1:3::1"), limits).refusal, ConnectionTable::Refusal::none);
  EXPECT_EQ(table.of_client(ip("2001:db8:1:2::9")), 2U);
  EXPECT_EQ(table.total(), 2U);
  a.slot = {};
  EXPECT_EQ(table.enter(ip("2001:db8:1:2::3"), limits).refusal, ConnectionTable::Refusal::none);
}

TEST(ConnectionTable, ManyThreadsCountRight) {
  ConnectionTable table;
  std::atomic<unsigned> refused{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&table, &refused, t] {
      for (unsigned i = 0; i < 2000; ++i) {
        const auto client =
            core::IpAddress::v4({192, 0, static_cast<std::uint8_t>(t % 2), static_cast<std::uint8_t>(i % 7)});
        const auto entry = table.enter(client, {3, 2});
        if (!entry.slot) ++refused;
        EXPECT_LE(table.of_client(client), 2U);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(table.total(), 0U);
}

TEST(Threats, SM_07_octets_before_the_banner) {
  auto settings = Harness::default_settings();
  settings.early_talker_delay = Milliseconds(2000);
  Harness harness(settings);
  auto peer = harness.connect();
  peer.send("EHLO early.test\r\n").expect("554 5.5.0", "[early-talker ").expect_closed();
  EXPECT_EQ(harness.handler.message_count(), 0U);
}

TEST(Threats, SM_07_patient_clients_are_greeted_after_the_delay) {
  auto settings = Harness::default_settings();
  settings.early_talker_delay = Milliseconds(150);
  Harness harness(settings);
  const auto start = core::Steady::now();
  auto peer = harness.connect();
  peer.expect("220 ");
  EXPECT_GE(core::Steady::now() - start, Milliseconds(140));
  peer.ehlo().envelope();
}

TEST(Server, EarlyTalkersMayBeAllowed) {
  auto settings = Harness::default_settings();
  settings.reject_early_talkers = false;
  settings.early_talker_delay = Milliseconds(5000);
  Harness harness(settings);
  auto peer = harness.connect();
  peer.send("EHLO early.test\r\n").expect("220 ").expect("250-");
}

TEST(Threats, OP_07_a_PROXY_header_before_the_banner) {
  auto settings = Harness::default_settings();
  settings.early_talker_delay = Milliseconds(2000);
  Harness harness(settings);
  harness.connect().send("PROXY TCP4 127.0.0.1 127.0.0.1 1 25\r\n").expect("554 5.5.0").expect_closed();
  settings.reject_early_talkers = false;
  Harness lax(settings);
  lax.connect().send("PROXY TCP4 127.0.0.1 127.0.0.1 1 25\r\n").expect("220 ").expect("554 5.5.0").expect_closed();
}

TEST(Server, NewSettingsAreForNewSessions) {
  Harness harness;
  auto before = harness.connect();
  before.expect("220 mx.test ");
  auto settings = Harness::default_settings();
  settings.hostname = "other.test";
  harness.on_shard([&] {
    harness.server().set_settings(std::make_shared<const Settings>(settings));
    return true;
  });
  before.ehlo();
  harness.connect().expect("220 other.test ");
}

}  // namespace
}  // namespace smtpd::testing
