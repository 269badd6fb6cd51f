#include "app/report_hours.hpp"

#include <chrono>
#include <functional>

namespace app {

unsigned report_hour(std::string_view hostname) {
  return static_cast<unsigned>(std::hash<std::string_view>()(hostname) % kReportHours);
}

std::optional<forwarder::TlsDay> reports_due_before(core::Wall::time_point now, std::string_view hostname) {
  const auto today = std::chrono::floor<std::chrono::days>(now);
  if (now - today < std::chrono::hours(report_hour(hostname))) return std::nullopt;
  return today;
}

}  // namespace app
