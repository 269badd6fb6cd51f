#include "core/ip.hpp"

#include <gtest/gtest.h>

#include <unordered_set>

namespace core {
namespace {

IpAddress ip(std::string_view text) {
  const auto parsed = IpAddress::parse(text);
  EXPECT_TRUE(parsed) << text;
  return parsed.value_or(IpAddress());
}

TEST(IpAddress, parse_and_print) {
  EXPECT_EQ(ip("192.0.2.1").to_string(), "192.0.2.1");
  EXPECT_EQ(ip("192.0.2.1").to_literal(), "[192.0.2.1]");
  EXPECT_EQ(ip("2001:DB8:0:0::1").to_string(), "2001:db8::1");
  EXPECT_EQ(ip("2001:db8::1").to_literal(), "[IPv6:2001:db8::1]");
  EXPECT_EQ(ip("1.2.3.4").bytes(), std::string_view("\1\2\3\4", 4));
  EXPECT_EQ(ip("::1").bytes().size(), 16U);
  for (const auto* bad :
       {"", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.04", " 1.2.3.4", "1.2.3.4 ", "0x1.2.3.4", "1", "[::1]", "::1%lo",
        ":::", "1::2::3", "::12345", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "::g", "1:2:3:4:5:6::7:8"}) {
    EXPECT_FALSE(IpAddress::parse(bad)) << bad;
  }
  EXPECT_FALSE(IpAddress::parse(std::string_view("1.2.3.4\0x", 9)));
  EXPECT_FALSE(IpAddress::parse(std::string(10'000, '1')));
}

TEST(IpAddress, mapped) {
  EXPECT_EQ(ip("::ffff:192.0.2.1").unmapped(), ip("192.0.2.1"));
  EXPECT_EQ(ip("::192.0.2.1").unmapped(), ip("::192.0.2.1"));
  EXPECT_EQ(ip("2001:db8::1").unmapped(), ip("2001:db8::1"));
  EXPECT_NE(ip("::ffff:192.0.2.1"), ip("192.0.2.1"));
}

TEST(IpAddress, reversed_labels) {
  EXPECT_EQ(IpAddress::parse("192.0.2.99")->to_reversed_labels(), "99.2.0.192");
  EXPECT_EQ(IpAddress::parse("2001:db8:1:2:3:4:567:89ab")->to_reversed_labels(),
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2");
}

TEST(Threats, UP_13_private_addresses) {
  for (const auto* text : {"0.0.0.0",
                           "10.1.2.3",
                           "100.64.0.1",
                           "100.127.255.255",
                           "127.0.0.1",
                           "127.255.255.255",
                           "169.254.1.1",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.0.2.1",
                           "192.168.0.1",
                           "198.18.0.1",
                           "198.51.100.1",
                           "203.0.113.1",
                           "224.0.0.1",
                           "240.0.0.1",
                           "255.255.255.255",
                           "::",
                           "::1",
                           "::ffff:10.0.0.1",
                           "::ffff:127.0.0.1",
                           "fe80::1",
                           "fc00::1",
                           "fdff::1",
                           "ff02::1",
                           "2001:db8::1",
                           "2002:0a00:0001::1",
                           "2001::1",
                           "64:ff9b::10.0.0.1",
                           "fec0::1",
                           "::127.0.0.1"}) {
    EXPECT_TRUE(ip(text).is_private()) << text;
  }
  for (const auto* text : {"1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255",
                           "172.32.0.0", "192.167.255.255", "223.255.255.255", "2a00:1450::1", "2606:4700::1111",
                           "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:0808:0808::1"}) {
    EXPECT_FALSE(ip(text).is_private()) << text;
  }
  EXPECT_TRUE(ip("127.9.9.9").is_loopback() && ip("::1").is_loopback() && ip("::ffff:127.0.0.1").is_loopback());
  EXPECT_FALSE(ip("128.0.0.1").is_loopback() || ip("::2").is_loopback());
  EXPECT_TRUE(ip("0.0.0.0").is_unspecified() && ip("::").is_unspecified() && ip("::ffff:0.0.0.0").is_unspecified());
}

TEST(IpAddress, masked_and_client_network) {
  EXPECT_EQ(ip("255.255.255.255").masked(0), ip("0.0.0.0"));
  EXPECT_EQ(ip("255.255.255.255").masked(9), ip("255.128.0.0"));
  EXPECT_EQ(ip("255.255.255.255").masked(32), ip("255.255.255.255"));
  EXPECT_EQ(ip("ffff::ffff").masked(127), ip("ffff::fffe"));
  EXPECT_EQ(client_network(ip("192.0.2.1")), ip("192.0.2.1"));
  EXPECT_EQ(client_network(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
  EXPECT_EQ(client_network(ip("2001:db8:1:2:3:4:5:6")), ip("2001:db8:1:2::"));
  std::unordered_set<IpAddress> set{ip("::1"), ip("::1"), ip("0.0.0.1")};
  EXPECT_EQ(set.size(), 2U);
}

TEST(Prefix, parse_and_contains) {
  const auto prefix = Prefix::parse("192.0.2.0/24");
  ASSERT_TRUE(prefix);
  EXPECT_TRUE(prefix->contains(ip("192.0.2.255")));
  EXPECT_FALSE(prefix->contains(ip("192.0.3.0")));
  EXPECT_FALSE(prefix->contains(ip("::ffff:192.0.2.1"))) << "the caller unmaps";
  EXPECT_EQ(prefix->to_string(), "192.0.2.0/24");
  EXPECT_EQ(Prefix::parse("2001:db8::1")->length, 128U);
  EXPECT_TRUE(Prefix::parse("::/0")->contains(ip("2001:db8::1")));
  for (const auto* bad :
       {"192.0.2.1/24", "192.0.2.0/33", "::/129", "192.0.2.0/", "/24", "192.0.2.0/-1", "x/8", "1.2.3.0/24/8"}) {
    EXPECT_FALSE(Prefix::parse(bad)) << bad;
  }
}

TEST(HostPort, parse_and_print) {
  EXPECT_EQ(HostPort::parse("a.example:25")->to_string(), "a.example:25");
  EXPECT_EQ(HostPort::parse("[::1]:2525")->host, "::1");
  EXPECT_EQ(HostPort::parse("[::1]:2525")->to_string(), "[::1]:2525");
  EXPECT_EQ(HostPort::parse("127.0.0.1:0")->port, 0);
  for (const auto* bad : {"", "a", ":25", "a:", "a:65536", "a:-1", "a:x", "::1:25", "[::1]", "[127.0.0.1]:25", "[]:25",
                          "[a]:25", "[::1:25"}) {
    EXPECT_FALSE(HostPort::parse(bad)) << bad;
  }
}

}  // namespace
}  // namespace core
