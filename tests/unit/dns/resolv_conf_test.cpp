#include "dns/resolv_conf.hpp"

#include <gtest/gtest.h>

namespace dns {
namespace {

TEST(ResolvConf, reads_servers_and_the_two_options) {
  const auto conf = parse_resolv_conf(
      "# a comment\n"
      "search example.org\n"
      "  nameserver\t192.0.2.1  # local\r\n"
      "nameserver 2001:db8::1\n"
      "nameserver fe80::1%eth0\n"
      "nameserver\n"
      "nameserver nonsense\n"
      ";nameserver 192.0.2.9\n"
      "options rotate timeout:3 attempts:4 ndots:2\n"
      "nameserver 192.0.2.2");
  ASSERT_EQ(conf.servers.size(), 3U);
  EXPECT_EQ(conf.servers[0].to_string(), "192.0.2.1");
  EXPECT_EQ(conf.servers[1].to_string(), "2001:db8::1");
  EXPECT_EQ(conf.servers[2].to_string(), "192.0.2.2");
  EXPECT_EQ(conf.timeout, 3U);
  EXPECT_EQ(conf.attempts, 4U);
}

TEST(ResolvConf, empty_and_excessive) {
  EXPECT_TRUE(parse_resolv_conf("").servers.empty());
  EXPECT_FALSE(parse_resolv_conf("options timeout:x attempts:0 timeout:").timeout);
  EXPECT_FALSE(parse_resolv_conf("options attempts:0").attempts);
  const auto conf = parse_resolv_conf("options timeout:99999999999999 attempts:900\n");
  EXPECT_EQ(conf.timeout, 30U);
  EXPECT_EQ(conf.attempts, 5U);
  EXPECT_EQ(parse_resolv_conf("options timeout:900").timeout, 30U);
  std::string many;
  for (int i = 0; i < 100; ++i) many += "nameserver 192.0.2." + std::to_string(i) + "\n";
  EXPECT_EQ(parse_resolv_conf(many).servers.size(), 8U);
}

}  // namespace
}  // namespace dns
