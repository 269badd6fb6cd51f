// What is told to senders of messages that are ours (RFC 3464): the report as a message for the queue, addressed,
// signed and masked. Its text is queue/dsn's. Pure but for the keys.
#pragma once

#include <optional>
#include <string_view>

#include "core/error.hpp"
#include "forwarder/config.hpp"
#include "queue/runner.hpp"

namespace forwarder {

// `header`: of the message as it was to be sent, for the report to quote. `now`: of the queue's clock; `wall`: Unix
// seconds. Nothing: nobody is to be told (a null sender, NOTIFY, or a sender whose address cannot be reached by any
// rule of ours). Errors: Errc::exhausted (no signature could be made).
struct ReportTime {
  queue::Time now = 0;
  std::int64_t wall = 0;
};
core::Result<std::optional<queue::Composed>> make_report(const Config& config, const queue::Report& report,
                                                         std::string_view header, ReportTime time);

// Our DKIM signatures over a message of our own, each a whole field: they go on top. `wall`: Unix seconds. Errors:
// Errc::exhausted.
core::Result<std::string> sign_own(const Config& config, std::string_view content, std::int64_t wall);

// Which of a report's recipients want to be told (RFC 3461 §4.1); the null sender never does.
std::vector<queue::Report::About> wanted(queue::Report::Kind kind, const queue::Envelope& envelope,
                                         std::vector<queue::Report::About> about);

}  // namespace forwarder
