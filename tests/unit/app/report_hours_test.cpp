// The clock of TLS reports: midnight, our hour and those around it, a clock that is set back.
#include "app/report_hours.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace app {
namespace {

using namespace std::chrono_literals;

constexpr forwarder::TlsDay kDay = std::chrono::sys_days(std::chrono::year(2026) / 11 / 29);

// A name for each hour.
std::map<unsigned, std::string> names() {
  std::map<unsigned, std::string> out;
  for (int i = 0; out.size() < kReportHours && i < 1000; ++i) {
    const auto name = "mx" + std::to_string(i) + ".test";
    out.emplace(report_hour(name), name);
  }
  return out;
}

TEST(ReportHours, every_name_has_its_hour) {
  ASSERT_EQ(names().size(), kReportHours) << "and each hour has names";
  EXPECT_EQ(names().rbegin()->first, kReportHours - 1);
  EXPECT_EQ(report_hour("mx.forward.test"), report_hour(std::string("mx.forward.") + "test"));
}

TEST(ReportHours, from_our_hour_to_the_end_of_the_day) {
  for (const auto& [hour, name] : names()) {
    const auto start = kDay + std::chrono::hours(hour);
    struct Row {
      core::Wall::time_point now;
      std::optional<forwarder::TlsDay> due;
    };
    const auto before = hour == 0 ? std::optional(kDay - std::chrono::days(1)) : std::nullopt;
    const auto at_midnight = hour == 0 ? std::optional(kDay) : std::nullopt;
    for (const auto& row : {
             Row{kDay - 1s, kDay - std::chrono::days(1)},         // the day before is not over
             Row{kDay, at_midnight},                              // midnight
             Row{start - 1s, hour == 0 ? before : std::nullopt},  // the last second before our hour
             Row{start, kDay},                                    // our hour
             Row{start + 1h, kDay},                               // and the next, for what could not be sent
             Row{kDay + 23h + 59min + 59s, kDay},                 // until midnight
             Row{kDay + 24h, hour == 0 ? std::optional(kDay + std::chrono::days(1)) : std::nullopt},
         }) {
      EXPECT_EQ(reports_due_before(row.now, name), row.due)
          << name << " at " << (row.now - core::Wall::time_point(kDay)) / 1s << " s of the day";
    }
  }
}

// Asked every hour, wherever in the hour: once a day a new day becomes due, within kReportHours and one hour.
TEST(ReportHours, each_day_becomes_due_in_time) {
  for (const auto& [hour, name] : names()) {
    for (const auto minute : {0min, 1min, 59min}) {
      std::optional<forwarder::TlsDay> last;
      for (int i = 0; i < 24 * 4; ++i) {
        const auto now = kDay + std::chrono::hours(i) + minute;
        const auto due = reports_due_before(now, name);
        const auto today = std::chrono::floor<std::chrono::days>(now);
        if (now - today >= std::chrono::hours(kReportHours)) {
          EXPECT_EQ(due, today) << name;
        }
        if (due) {
          EXPECT_LE(*due, today) << "never a day that is not over";
          if (last) {
            EXPECT_GE(*due, *last);
          }
          last = due;
        }
      }
    }
  }
}

// Set back over midnight, yesterday's results are of a day that has not ended: they wait.
TEST(ReportHours, a_clock_set_back) {
  for (const auto& [hour, name] : names()) {
    EXPECT_EQ(reports_due_before(kDay + 12h, name), kDay);
    EXPECT_EQ(reports_due_before(kDay - 2h, name), kDay - std::chrono::days(1));
  }
  const core::Wall::time_point nothing{};  // a machine without a clock
  for (const auto& [hour, name] : names()) {
    EXPECT_EQ(reports_due_before(nothing + 4h, name), forwarder::TlsDay());
    EXPECT_EQ(reports_due_before(nothing - 1s, name), forwarder::TlsDay() - std::chrono::days(1));
  }
}

}  // namespace
}  // namespace app
