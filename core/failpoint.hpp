// Named places where tests make the program die, stop, wait or meet an error (threats B9: the kill points K). Compiled
// in with the CMake option ONWARD_FAILPOINTS (presets dev, asan and tsan); otherwise both macros are nothing, and
// neither names nor code are in the program. Inactive, a place costs one relaxed atomic load. Threads: arm before any
// start.
//
//   ONWARD_FAILPOINT(k12_dot_sent);                                          kill, stop, delay
//   if (const auto error = ONWARD_FAILPOINT_ERROR(k16_body_written)) ...     these, and an injected core::Error
//
// Armed by
// ONWARD_FAILPOINTS="k12_dot_sent=kill@3,k16_body_written=errno:ENOSPC@1,k02_rcpt=delay:200ms,k07_connected=stop":
// @N is the Nth time the place is reached, @N+ every time from the Nth on, nothing every time. kill is SIGKILL, stop is
// SIGSTOP.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/error.hpp"
#include "core/secret_file.hpp"

// X(name, number in threats.md B9, where it is)
#define ONWARD_FAILPOINT_TABLE(X)                                                          \
  X(k01_mail, 1, "MAIL was accepted, before its reply")                                    \
  X(k02_rcpt, 2, "RCPT was accepted, before its reply")                                    \
  X(k03_mid_body, 3, "a part of the message was received")                                 \
  X(k04_spill_write, 4, "a part of the message was written to its spill file")             \
  X(k05_end_of_data, 5, "the client's final dot was received")                             \
  X(k06_auth_done, 6, "the message was judged")                                            \
  X(k07_connected, 7, "connected to a next hop")                                           \
  X(k08_upstream_354, 8, "the next hop said 354 (or the first chunk is due)")              \
  X(k09_mid_relay, 9, "a part of the message was sent to the next hop")                    \
  X(k10_before_dot_journal, 10, "all but the final dot is out, DOT is not journalled")     \
  X(k11_after_dot_journal, 11, "DOT is journalled, the final dot is not sent")             \
  X(k12_dot_sent, 12, "the final dot is sent")                                             \
  X(k13_upstream_2xx_read, 13, "the next hop's 2xx was read, 2XX is not journalled")       \
  X(k14_2xx_journalled, 14, "2XX is journalled, the client has no answer")                 \
  X(k15_client_250_sent, 15, "the client's 250 was written")                               \
  X(k16_body_written, 16, "a queued body was written, not synced")                         \
  X(k17_body_fsynced, 17, "a queued body and its directory were synced")                   \
  X(k18_before_commit, 18, "before the store's COMMIT")                                    \
  X(k19_inside_commit, 19, "inside of the store's COMMIT: the log is written, not synced") \
  X(k20_after_commit, 20, "after the store's COMMIT, before the reply")                    \
  X(k21_lease_taken, 21, "the runner has leased a row")                                    \
  X(k22_runner_dot_sent, 22, "the runner's final dot is sent")                             \
  X(k23_runner_2xx_read, 23, "the runner has read 2xx, 2XX is not journalled")             \
  X(k24_runner_2xx_journalled, 24, "the runner has journalled 2XX, DONE is not committed") \
  X(k24_end_committed, 24, "DONE, or FAILED and its DSN, is committed")                    \
  X(k25_body_unlink, 25, "before the body of an ended message is unlinked")                \
  X(k26_checkpoint, 26, "the store's checkpoint")

namespace core {

enum class FailPoint : std::size_t {
#define ONWARD_FAILPOINT_ENUMERATOR(name, number, where) name,
  ONWARD_FAILPOINT_TABLE(ONWARD_FAILPOINT_ENUMERATOR)
#undef ONWARD_FAILPOINT_ENUMERATOR
      count_
};

struct FailPointInfo {
  std::string_view name;
  unsigned number = 0;  // K of threats.md
  std::string_view where;
};

// All of them, in order of their numbers; none when they are not compiled in.
std::span<const FailPointInfo> failpoints();

// Arms what `plan` says (see above; "" disarms all) and counts from zero. The problem names what it does not
// understand; where nothing is compiled in, any plan is a problem. Not while other threads run.
Explained<void> arm_failpoints(std::string_view plan);

// How often the place was reached since arm_failpoints(); counted only while something is armed.
std::uint64_t failpoint_hits(FailPoint point);

#ifdef ONWARD_FAILPOINTS
namespace failpoint {
extern std::atomic<bool> armed;
Error reached(FailPoint point);
inline Error hit(FailPoint point) {
  return armed.load(std::memory_order_relaxed) ? reached(point) : Error();
}
}  // namespace failpoint
#define ONWARD_FAILPOINT(name) static_cast<void>(::core::failpoint::hit(::core::FailPoint::name))
#define ONWARD_FAILPOINT_ERROR(name) ::core::failpoint::hit(::core::FailPoint::name)
#else
// Still names that exist only.
#define ONWARD_FAILPOINT(name) static_cast<void>(::core::FailPoint::name)
#define ONWARD_FAILPOINT_ERROR(name) (static_cast<void>(::core::FailPoint::name), ::core::Error())
#endif

}  // namespace core
