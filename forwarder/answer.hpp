// What our client is told, in words: outcomes of one transaction become one reply (promise.md C.4, interface.md §4).
// Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "forwarder/masking.hpp"
#include "forwarder/promise.hpp"
#include "mail/envelope.hpp"

namespace forwarder {

// One destination of one accepted recipient, and what became of it.
struct Result {
  std::string shown;  // the address the client used
  mail::Outcome outcome;
};

// The reply for one outcome that is no acceptance: the peer's own words, masked, or ours with their slug.
mail::Reply answer_for(const mail::Outcome& outcome, ErrorDetail detail, const std::vector<Mask>& masks,
                       std::string_view id);

// The reply for the whole transaction. `results` must not be empty.
mail::Reply compose_answer(promise::Answer answer, const std::vector<Result>& results, ErrorDetail detail,
                           const std::vector<Mask>& masks, std::string_view id);

// Slug of docs/replies.md for a refusal of our own making, by its codes.
std::string_view slug_for(const mail::Reply& reply);

}  // namespace forwarder
