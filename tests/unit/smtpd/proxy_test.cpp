// PROXY headers at the door: the session is the client's afterwards, and whatever is no good header ends the connection
// without a word.
#include <gtest/gtest.h>

#include "tests/unit/net/certificates.hpp"
#include "tests/unit/smtpd/harness.hpp"

namespace smtpd::testing {
namespace {

using core::Counter;
using core::Milliseconds;

const std::string kV2("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x19\x30\x39\0\x19", 28);
const std::string kLocal("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 16);

class Proxied : public Harness {
 public:
  explicit Proxied(Settings settings = default_settings(), const char* from = "127.0.0.0/8") : Harness(settings) {
    on_shard([this, from] {
      listener->proxy = net::ProxyMode::either;
      listener->proxies = {*core::Prefix::parse(from)};
      return true;
    });
  }
};

TEST(Proxy, TheSessionIsTheClients) {
  Proxied harness;
  for (const auto& header : {std::string("PROXY TCP4 192.0.2.1 192.0.2.25 12345 25\r\n"), kV2}) {
    auto peer = harness.connect();
    peer.send(header).expect("220 ").ehlo().line("QUIT").expect("221 ");
  }
  auto six = harness.connect();
  six.send("PROXY TCP6 2001:db8::9 2001:db8::25 12345 25\r\n").expect("220 ").ehlo().envelope();
  EXPECT_EQ(harness.table.of_client(*core::IpAddress::parse("2001:db8::1")), 1U) << "counted by its /64";
  EXPECT_EQ(harness.on_shard([&] { return harness.server().sessions().front().address.to_string(); }), "2001:db8::9");
  six.data().send("Subject: x\r\n\r\nx\r\n.\r\n").expect("250 ");
  six.line("QUIT").expect("221 ").expect_closed();
  ASSERT_TRUE(eventually([&] { return harness.table.total() == 0; }));
  EXPECT_NE(harness.lines.text().find("\"event\":\"session_end\""), std::string::npos);
  EXPECT_EQ(harness.lines.text().find("\"event\":\"session_end\",\"session\":\"aaaa\",\"client_ip\":\"127.0.0.1\""),
            std::string::npos);
  EXPECT_EQ(harness.count(Counter::proxy_headers_bad), 0U);
}

TEST(Proxy, HealthChecksComeFromTheProxyItself) {
  Proxied harness;
  for (const auto& header : {std::string("PROXY UNKNOWN\r\n"), kLocal}) {
    auto peer = harness.connect();
    peer.send(header).expect("220 ");
    EXPECT_EQ(harness.on_shard([&] { return harness.server().sessions().front().address.to_string(); }), "127.0.0.1");
    peer.line("QUIT").expect("221 ").expect_closed();
    ASSERT_TRUE(eventually([&] { return harness.table.total() == 0; }));
  }
}

TEST(Threats, OP_07_what_is_no_header_is_dropped_without_a_word) {
  auto settings = Harness::default_settings();
  settings.proxy_timeout = Milliseconds(300);
  Proxied harness(settings);
  auto bent = kV2;
  bent[12] = '\x31';
  for (const auto& octets : {std::string("EHLO client.test\r\n"), std::string("PROXY TCP4 192.0.2.1\r\n"),
                             std::string("PROXY TCP4 1.2.3.4 "), std::string("P"), std::string(), bent,
                             kV2.substr(0, 20), "PROXY " + std::string(200, 'x')}) {
    auto peer = harness.connect();
    peer.send(octets).expect_closed();
  }
  EXPECT_TRUE(eventually([&] { return harness.count(Counter::proxy_headers_bad) == 8; }));
  EXPECT_EQ(harness.handler.message_count(), 0U);
}

TEST(Threats, OP_07_an_untrusted_peer_is_never_parsed) {
  Proxied harness(Harness::default_settings(), "192.0.2.0/24");
  auto peer = harness.connect();
  peer.send("PROXY TCP4 192.0.2.1 192.0.2.25 12345 25\r\n").expect("554 5.5.0", "[proxy ").expect_closed();
  EXPECT_EQ(harness.table.total(), 0U);
}

TEST(Threats, OP_07_a_claimed_loopback_address_gains_nothing) {
  auto settings = Harness::default_settings();
  settings.connections_per_ip = 1;
  Proxied harness(settings);
  auto first = harness.connect();
  first.send("PROXY TCP4 127.0.0.1 127.0.0.1 12345 25\r\n").expect("220 ");
  auto second = harness.connect();
  second.send("PROXY TCP4 127.0.0.1 127.0.0.1 12346 25\r\n").expect("421 4.7.0", "[connections ").expect_closed();
  auto other = harness.connect();
  other.send("PROXY TCP4 192.0.2.1 127.0.0.1 12347 25\r\n").expect("220 ");
  EXPECT_EQ(harness.count(Counter::connections_refused), 1U);
}

TEST(Threats, RS_02_connections_without_a_header_count_in_all) {
  auto settings = Harness::default_settings();
  settings.connections = 2;
  Proxied harness(settings);
  auto first = harness.connect(), second = harness.connect();
  ASSERT_TRUE(eventually([&] { return harness.table.total() == 2; }));
  harness.connect().expect("421 4.3.2").expect_closed();
  first.send(kV2).expect("220 ");
}

TEST(Proxy, TheHeaderMayComeInAnyPieces) {
  Proxied harness;
  auto peer = harness.connect();
  peer.drip(kV2).expect("220 ").ehlo();
  auto other = harness.connect();
  other.drip("PROXY TCP4 192.0.2.1 192.0.2.25 12345 25\r\n").expect("220 ").ehlo();
}

TEST(Threats, SM_07_octets_behind_the_header_are_early) {
  Proxied harness;
  auto peer = harness.connect();
  peer.send(kV2 + "EHLO client.test\r\n").expect("554 5.5.0", "[early-talker ").expect_closed();
}

}  // namespace
}  // namespace smtpd::testing
