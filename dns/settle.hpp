// Runs a pure evaluator until it has all the answers it needs: evaluate, fetch everything it asked for at once,
// evaluate again.
#pragma once

#include <optional>

#include "dns/resolver.hpp"

namespace dns {

// Answers everything `lookup` wants, concurrently; what is not in by the deadline is a failure.
net::Awaitable<void> fetch(Resolver& resolver, Lookup& lookup, core::Deadline deadline);

// `evaluate(lookup)` returns an optional: empty means "more answers are wanted". At most `rounds` rounds of questions;
// what is wanted after that, or after the deadline, is answered by Status::failure, so that there always is a result
// (DN-06, DN-08).
template <class Evaluate>
net::Awaitable<typename std::invoke_result_t<Evaluate&, Lookup&>::value_type> settle(Resolver& resolver, Lookup& lookup,
                                                                                     Evaluate& evaluate,
                                                                                     core::Deadline deadline,
                                                                                     unsigned rounds = 40) {
  for (unsigned round = 0;; ++round) {
    auto result = evaluate(lookup);
    if (result) co_return std::move(*result);
    const auto limit = round < rounds ? deadline : core::Deadline::after(core::Seconds(0));
    co_await fetch(resolver, lookup, limit);
  }
}

}  // namespace dns
