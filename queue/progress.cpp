#include "queue/progress.hpp"

#include <algorithm>
#include <utility>

namespace queue {
namespace {

// RFC 3463 §3.8: security or policy. The first destination will not have it, another one may.
bool is_policy_refusal(const mail::Outcome& outcome) {
  return outcome.reply.permanent() && outcome.reply.enhanced.klass == 5 && outcome.reply.enhanced.subject == 7;
}

// A fallback would be a second copy when the first destination has it after all.
bool may_fall_back(const Recipient& recipient) {
  return !recipient.fallback.empty() && recipient.unknowns == 0;
}

void note(Recipient& recipient, const mail::Outcome& outcome) {
  recipient.last_reply = outcome.reply;
  recipient.reply_from_peer = outcome.from_peer;
  recipient.last_host = outcome.host;
  recipient.last_address = outcome.address;
  recipient.last_tls = outcome.tls;
}

Progress fall_back(const Schedule& schedule, const Envelope& envelope, Progress progress, Time now) {
  auto& recipient = progress.recipient;
  auto next = std::move(recipient.fallback.front());
  recipient.fallback.erase(recipient.fallback.begin());
  recipient.destination = std::move(next.destination);
  recipient.hop = std::move(next.hop);
  recipient.state = State::owned;
  recipient.attempts = 0;
  recipient.failing_since = 0;
  recipient.act_by = act_by(schedule, envelope, recipient);
  recipient.next_attempt = now;
  progress.what = Progress::What::fallback;
  return progress;
}

Progress fail(Progress progress, Report::Why why) {
  progress.what = Progress::What::failed;
  progress.why = progress.recipient.unknowns > 0 ? Report::Why::maybe_delivered : why;
  return progress;
}

Progress try_again(const Schedule& schedule, const Envelope& envelope, Progress progress, Time now,
                   std::uint64_t spread) {
  auto& recipient = progress.recipient;
  if (recipient.failing_since == 0) recipient.failing_since = now;
  // A dot whose answer has come is no longer out.
  recipient.state = recipient.unknowns > 0 ? State::owned_dot : State::owned;
  if (may_fall_back(recipient) && now - recipient.failing_since >= schedule.fallback_after.count()) {
    return fall_back(schedule, envelope, std::move(progress), now);
  }
  auto until_end = schedule;
  until_end.lifetime = core::Milliseconds(std::max<Time>(envelope.expires - envelope.created, 0));
  const auto next = next_attempt(until_end, envelope.created, now, recipient.attempts, spread);
  if (!next) return fail(std::move(progress), Report::Why::expired);
  const auto delay = schedule.delay_notice.count();
  progress.delay_due = delay > 0 && !recipient.delay_told && now - envelope.created >= delay &&
                       wants(envelope, recipient, Report::Kind::delayed);
  if (progress.delay_due) recipient.delay_told = true;
  recipient.act_by = act_by(schedule, envelope, recipient);
  recipient.next_attempt = std::min(*next, recipient.act_by);
  progress.what = Progress::What::again;
  return progress;
}

}  // namespace

Time act_by(const Schedule& schedule, const Envelope& envelope, const Recipient& recipient) {
  auto time = envelope.expires;
  if (may_fall_back(recipient) && recipient.failing_since != 0) {
    time = std::min(time, recipient.failing_since + schedule.fallback_after.count());
  }
  if (schedule.delay_notice.count() > 0 && !recipient.delay_told && wants(envelope, recipient, Report::Kind::delayed)) {
    time = std::min(time, envelope.created + schedule.delay_notice.count());
  }
  return time;
}

bool wants(const Envelope& envelope, const Recipient& recipient, Report::Kind kind) {
  if (envelope.sender.null() || recipient.notify.never) return false;
  switch (kind) {
    case Report::Kind::failed:
      return !recipient.notify.given || recipient.notify.failure;
    case Report::Kind::delayed:
      return !recipient.notify.given || recipient.notify.delay;
    case Report::Kind::relayed:
      return recipient.notify.given && recipient.notify.success;
  }
  return false;
}

Progress progress(const Schedule& schedule, const Envelope& envelope, const Recipient& was,
                  const mail::Outcome& outcome, Time now, std::uint64_t spread) {
  Progress result;
  result.recipient = was;
  result.dup_possible = was.unknowns > 0;
  note(result.recipient, outcome);
  switch (outcome.fate) {
    case mail::Fate::delivered:
      result.what = Progress::What::delivered;
      return result;
    case mail::Fate::failed:
      if (may_fall_back(was) && is_policy_refusal(outcome)) {
        return fall_back(schedule, envelope, std::move(result), now);
      }
      return fail(std::move(result), Report::Why::refused);
    case mail::Fate::unknown:
    case mail::Fate::late:
      result.dup_possible = true;
      ++result.recipient.attempts;
      if (++result.recipient.unknowns >= kMaxUnknowns) {
        return fail(std::move(result), Report::Why::maybe_delivered);
      }
      break;
    case mail::Fate::deferred:
      ++result.recipient.attempts;
      break;
  }
  return try_again(schedule, envelope, std::move(result), now, spread);
}

}  // namespace queue
