// The part of a DSN that people read: what happened, and what to do. Private to dsn.
#pragma once

#include <string>

#include "queue/dsn.hpp"

namespace queue {

// What of the original message is attached, for the last sentence.
enum class DsnAttached { message, header, header_because_too_large };

std::string dsn_subject(const DsnReport& report);
// UTF-8 (ASCII when all addresses are), CRLF line ends, lines of 76 columns but for long words.
std::string dsn_text(const DsnReport& report, DsnAttached attached);
// Its lines for a reader: "550 5.1.1 No such user"; none when `detail` hides them. Printable ASCII.
std::vector<std::string> dsn_reply_lines(const mail::Reply& reply, DsnDetail detail);
// Controls and what is no UTF-8 become '?'.
std::string dsn_clean(std::string_view text);

}  // namespace queue
