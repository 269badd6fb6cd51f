// Small value grammars of the configuration: rates, selectors, URLs. Pure; what is wrong is a sentence.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/ip.hpp"
#include "policy/rate_limit.hpp"

namespace app {

// "300/min", "20/session", "off"; units s, min, h, d, session.
struct Rate {
  unsigned amount = 0;  // 0: off
  enum class Per { second, minute, hour, day, session } per = Per::minute;
};
std::optional<Rate> parse_rate(std::string_view text);
// Of a rate in time, not a session.
policy::RateLimit limit_of(const Rate& rate);

// RFC 6376 §3.1: labels of letters, digits and hyphens, separated by dots.
bool is_selector(std::string_view text);
// Nothing: fine. A URL that may stand in a reply.
std::optional<std::string> url_problem(std::string_view text);
// The name of a system account.
bool is_user_name(std::string_view text);
// "host:port" of one of our own sockets: an IP address (or localhost) and a port, 0 for any.
std::optional<core::HostPort> parse_own_endpoint(std::string_view text);

}  // namespace app
