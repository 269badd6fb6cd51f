// Rows of the queue's tables as values, and back. For the folder's own use.
#pragma once

#include <string>
#include <string_view>

#include "queue/sqlite.hpp"
#include "queue/store.hpp"

namespace queue {

// To be selected in this order by whoever calls read_...(), the first of them at column `at`.
inline constexpr std::string_view kMessageColumns =
    "message.key, id, sender, srs_sender, envid, ret, flags, client_ip, helo, message_id, subject, size, header_size,"
    " created, expires";
inline constexpr int kMessageWidth = 15;
inline constexpr std::string_view kRecipientColumns =
    "row, address, rule, domain, destination, hop, fallback, notify, orcpt_type, orcpt, fingerprint, restamped, state,"
    " attempts, unknowns, next_attempt, failing_since, act_by, delay_told, reply_code, reply, reply_from_peer, "
    "last_host,"
    " last_address, last_tls, lease, lease_until, hold, hold_reason";

// The message without recipients.
Job read_message(const sqlite::Statement& row, int at = 0);
Recipient read_recipient(const sqlite::Statement& row, int at = 0);
HoldRule read_hold_rule(const sqlite::Statement& row);
inline constexpr std::string_view kHoldRuleColumns = "number, to_domain, sender, recipient, reason, created, expires";

// Columns that hold more than one value.
std::int64_t flags_of(const Envelope& envelope);
std::int64_t notify_bits(const mail::Notify& notify);
std::string fallback_text(const std::vector<Fallback>& fallback);
std::string reply_text(const mail::Reply& reply);
// At most `most` octets of `text`.
std::string_view cut(std::string_view text, std::size_t most = kMaxText);

// "local@domain", "" or "postmaster" apart again; what is in the database was valid when it was put there.
mail::Mailbox mailbox_of(std::string_view text);

}  // namespace queue
