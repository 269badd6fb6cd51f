// `onward status` for people: aligned, cut to the screen, coloured when somebody looks, and safe to print.
#include "app/status_text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/text.hpp"

namespace app::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

json busy() {
  return {{"version", "1.2.3"},
          {"hostname", "mx.forward.example"},
          {"uptime_s", 90061U},
          {"sessions", 12U},
          {"memory_bytes", 1048576U},
          {"memory_limit_bytes", 536870912U},
          {"spill_bytes", 0U},
          {"spill_limit_bytes", 10737418240U},
          {"pressure", 2U},
          {"rates", {{"accepted", {{"1m", 12.04}, {"5m", 3.0}, {"15m", 1000.25}}}}},
          {"counters", {{"messages_accepted_total", 12345U}}},
          {"timings", {{"answer_seconds", {{"count", 3U}, {"p50", 0.25}, {"p95", 1.0}, {"p99", 540.0}}}}},
          {"queue",
           {{"active", 1U},
            {"deferred", 3U},
            {"hold", 2U},
            {"messages", 5U},
            {"octets", 2048U},
            {"oldest", "2026-11-28T10:00:00Z"},
            {"dead", {{{"next_hop", "slow.example"}, {"until", "2026-11-28T12:00:00Z"}, {"why", "timed out"}}}},
            {"shape",
             {{"ages_s", {300, 600}},
              {"domains",
               {{{"domain", "inbox.example"}, {"counts", {3, 0, 1}}},
                {{"domain", "x.example"}, {"counts", {0, 2, 0}}}}}}}}},
          {"upstream",
           {{"kept", 4U},
            {"connections", {{"slow.example", 2}}},
            {"ipv4_only", {"g.example"}},
            {"marked_sources", {"192.0.2.1"}}}},
          {"admission",
           {{"dnsbl",
             {{{"name", "zen"},
               {"state", "out"},
               {"questions", 7U},
               {"listings", 2U},
               {"failures", 1U},
               {"problem", "refuses our resolver"}}}},
            {"access", {{{"match", "192.0.2.0/24"}, {"action", "block"}, {"hits", 9U}}}}}},
          {"dns_check", {{"age_s", 60U}, {"names", 3U}, {"failures", 1U}, {"warnings", 0U}, {"score", 80U}}}};
}

TEST(StatusText, says_everything) {
  const auto text = status_text(busy(), {});
  for (const char* line :
       {"onward     1.2.3 on mx.forward.example, up 1d 1h\n", "sessions   12\n", "pressure 2\n",
        "DNS check  3 names: 1 failed, 0 warned; score 80; 1m 0s ago\n", "accepted     12.0  3.0  1000.2   12345\n",

        "answer   <=0.25   <=1  <=540         3\n",
        "queue      1 active, 3 deferred, 2 hold; 5 messages, 2 KiB, oldest of 2026-11-28T10:00:00Z\n",
        "dead       slow.example until 2026-11-28T12:00:00Z: timed out\n",
        "minutes        T  5  10  10+\nTOTAL          6  3   2    1\ninbox.example  4  3   0    1\nx.example      2  0 "
        "  2    0\n",
        "block list zen out; 7 questions, 2 listings, 1 failures: refuses our resolver\n",
        "access     192.0.2.0/24 block 9 hits\n", "slow.example: 2 connections\n", "g.example: IPv6 refused",
        "our address 192.0.2.1 is refused"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST(StatusText, fits_the_screen) {
  for (const std::size_t width : {1U, 20U, 79U}) {
    for (const std::size_t height : {1U, 2U, 24U, 200U}) {
      const auto text = status_text(busy(), {width, height, Table::Style::plain});
      std::size_t lines = 0;
      for (const auto line : core::split(text, '\n')) {
        if (line.starts_with('(')) continue;  // how many more
        EXPECT_LE(line.size(), width);
        lines += line.empty() ? 0 : 1;
      }
      EXPECT_LE(lines, height);
      EXPECT_EQ(text.back(), '\n');
    }
  }
  EXPECT_THAT(status_text(busy(), {80, 5, Table::Style::plain}), HasSubstr(" more lines)\n"));
}

TEST(StatusText, colours) {
  const auto text = status_text(busy(), {0, 0, Table::Style::coloured});
  EXPECT_THAT(text, HasSubstr("\x1b[31mmemory"));
  EXPECT_THAT(text, HasSubstr("\x1b[33mqueue"));
  EXPECT_THAT(text, HasSubstr("\x1b[1mminutes"));
}

TEST(StatusText, of_little_and_of_hostile_answers) {
  EXPECT_THAT(status_text(json::object(), {}), HasSubstr("sessions   0\n"));
  auto hostile = busy();
  hostile["queue"]["dead"][0]["why"] = "\x1b[2J\nboo";
  hostile["upstream"]["connections"] = json{{"\x1b]0;x\x07", 1}};
  hostile["queue"]["shape"]["domains"][0]["domain"] = "\xff\x1b";
  const auto text = status_text(hostile, {});
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(text, Not(HasSubstr("\nboo")));
}

}  // namespace
}  // namespace app::test
