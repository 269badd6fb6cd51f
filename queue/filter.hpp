// Which recipients an operator's filter, or a hold rule, means. Pure.
#pragma once

#include "queue/store.hpp"

namespace queue {

// Does the message match what the filter says of messages (id, sender, age)? Then its recipients are worth a look.
bool matches(const Filter& filter, const Envelope& envelope, Time now);
bool matches(const Filter& filter, const Recipient& recipient);

bool matches(const HoldRule& rule, const Envelope& envelope, const Recipient& recipient, Time now);

// The null sender is written "<>" by operators.
std::string sender_text(const mail::ReversePath& sender);

}  // namespace queue
