// When TLS reports leave (RFC 8460 §4.1): for days that are over, not by everybody at midnight, but from an hour on
// that our name chooses. Pure; the clock is the caller's, who asks again every hour.
#pragma once

#include <optional>
#include <string_view>

#include "core/clock.hpp"
#include "forwarder/tls_report.hpp"

namespace app {

inline constexpr unsigned kReportHours = 4;

// The hour of the day (UTC), 0 to kReportHours - 1, from which on `hostname` reports; the same in each run.
unsigned report_hour(std::string_view hostname);

// At `now`, reports are due of all days before this one, however many there are; nothing: not yet at this hour.
std::optional<forwarder::TlsDay> reports_due_before(core::Wall::time_point now, std::string_view hostname);

}  // namespace app
