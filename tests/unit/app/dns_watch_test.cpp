// The daemon's own DNS check: it ends, is told to log and status, and may be destroyed at any moment.
#include "app/dns_watch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

namespace app::test {
namespace {

using ::testing::HasSubstr;

class Lines final : public core::LogSink {
 public:
  void write(std::string_view line) override { text += line; }
  std::string text;
};

// Nobody answers there: every question fails at once or in time.
std::shared_ptr<const Config> config_without_dns() {
  auto config = std::make_shared<Config>();
  config->forwarding.hostname = "mx.forward.example";
  config->dns.servers = {core::HostPort{"127.0.0.1", 1}};
  config->dns.timeout = core::Milliseconds(50);
  config->dns.attempts = 1;
  return config;
}

TEST(DnsWatch, checks_and_tells) {
  boost::asio::io_context context(1);
  Lines lines;
  core::Metrics metrics;
  const core::SystemClock clock;
  DnsWatch watch(context.get_executor(), metrics, clock, {lines, core::LogFormat::json, core::LogLevel::info});
  EXPECT_FALSE(watch.last());
  watch.start(config_without_dns(), core::Milliseconds(0));
  const auto deadline = core::Deadline::after(core::Seconds(30));
  while (!watch.last() && !deadline.passed()) context.run_one_for(core::Milliseconds(100));
  ASSERT_TRUE(watch.last());
  EXPECT_EQ(watch.last()->names, 1U);
  EXPECT_EQ(watch.last()->summary.failures, 1U);
  EXPECT_LT(watch.last()->summary.score, 100U);
  EXPECT_THAT(lines.text, HasSubstr("\"event\":\"dns_checked\",\"names\":1,\"failed\":1"));
  EXPECT_THAT(lines.text, HasSubstr("\"event\":\"dns_check_failed\",\"domain\":\"mx.forward.example\",\"checks\":\""));
  EXPECT_EQ(metrics.get(core::Counter::internal_errors), 0U);
}

TEST(DnsWatch, ends_in_the_middle) {
  for (int steps = 0; steps < 12; ++steps) {
    boost::asio::io_context context(1);
    Lines lines;
    core::Metrics metrics;
    const core::SystemClock clock;
    DnsWatch watch(context.get_executor(), metrics, clock, {lines, core::LogFormat::json, core::LogLevel::info});
    watch.start(config_without_dns(), core::Milliseconds(0));
    for (int i = 0; i < steps; ++i) context.run_one_for(core::Milliseconds(20));
    watch.stop();
  }
}

}  // namespace
}  // namespace app::test
