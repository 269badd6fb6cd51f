// What one attempt's outcome makes of a recipient: delivered, tried again, sent to its fallback, or failed; and whether
// its sender is to be told (promise.md C.3.7, C.6; RFC 3461). Pure: the runner does what it says.
#pragma once

#include <cstdint>

#include "mail/envelope.hpp"
#include "queue/job.hpp"
#include "queue/runner.hpp"
#include "queue/schedule.hpp"

namespace queue {

struct Progress {
  enum class What { delivered, again, fallback, failed } what = What::again;
  Recipient recipient;                     // its new values; `again` and `fallback`: to be stored
  Report::Why why = Report::Why::refused;  // failed
  bool delay_due = false;                  // again: the sender ought to hear of the delay now
  bool dup_possible = false;               // this attempt, or an earlier one, may have delivered it
};

// `was`: before the attempt. `now`: the queue's clock. `spread`: any number (queue/schedule.hpp).
Progress progress(const Schedule& schedule, const Envelope& envelope, const Recipient& was,
                  const mail::Outcome& outcome, Time now, std::uint64_t spread);

// When something must be decided about the recipient at the latest, attempt or not.
Time act_by(const Schedule& schedule, const Envelope& envelope, const Recipient& recipient);

// May (for failure and success: must) the sender be told? RFC 3461 §4.1; never a null sender.
bool wants(const Envelope& envelope, const Recipient& recipient, Report::Kind kind);

}  // namespace queue
