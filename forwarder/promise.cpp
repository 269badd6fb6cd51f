#include "forwarder/promise.hpp"

#include <algorithm>

namespace forwarder::promise {
namespace {

using mail::Fate;

// An ownable sender and at least one recipient that has, or may yet get, the message: all of it becomes ours.
Action own_the_rest(Fate fate) {
  switch (fate) {
    case Fate::delivered:
      return Action::done;
    case Fate::deferred:
      return Action::own;
    case Fate::failed:
      return Action::fail;
    case Fate::unknown:
    case Fate::late:
      return Action::own_dot;
  }
  return Action::own_dot;
}

// The client keeps the message; what a dot was sent for leaves its mark, so that the retry does not double it.
Action leave_with_client(Fate fate) {
  return fate == Fate::deferred || fate == Fate::failed ? Action::drop : Action::keep_fingerprint;
}

Decision uniform(std::size_t size, Action action, Answer answer) {
  return Decision{std::vector<Action>(size, action), answer, false};
}

}  // namespace

Decision decide(Sender sender, std::span<const Fate> fates) {
  if (fates.empty()) return {};  // never 250 for nothing (I1)
  const auto is = [](Fate wanted) { return [wanted](Fate fate) { return fate == wanted; }; };
  if (std::ranges::all_of(fates, is(Fate::delivered))) return uniform(fates.size(), Action::done, Answer::accepted);
  if (std::ranges::all_of(fates, is(Fate::failed))) return uniform(fates.size(), Action::drop, Answer::refused);

  Decision decision;
  const bool some_delivered = std::ranges::any_of(fates, is(Fate::delivered));
  if (sender == Sender::ownable && (some_delivered || std::ranges::any_of(fates, is(Fate::late)))) {
    std::ranges::transform(fates, std::back_inserter(decision.actions), own_the_rest);
    decision.answer = Answer::accepted;
    decision.commit = true;
    return decision;
  }
  std::ranges::transform(fates, std::back_inserter(decision.actions), leave_with_client);
  // Nothing is open any more only when each recipient has or will never have it.
  const bool settled =
      std::ranges::all_of(fates, [](Fate fate) { return fate == Fate::delivered || fate == Fate::failed; });
  decision.answer = settled ? Answer::partial : Answer::later;
  return decision;
}

}  // namespace forwarder::promise
