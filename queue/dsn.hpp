// Delivery status notifications (RFC 3464 in a multipart/report of RFC 6522; RFC 6533 where addresses need it): who
// gets one (RFC 3461), and the whole message in octets, made of plain values. Pure.
//
// Never names what is hidden (threats LP-08): the caller gives addresses and replies as the sender may see them, and
// the destination only with delivery.errors = "full". No octet of a reply, an address or the original message can break
// the structure, make a field of its own or a line above 998 octets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.hpp"
#include "mail/address.hpp"
#include "mail/command.hpp"
#include "mail/reply.hpp"

namespace queue {

// ---- who gets one

enum class DsnEvent { failure, delay, success };
// RFC 3461 §4.1. Without NOTIFY: failure and delay.
bool wants_dsn(const mail::Notify& notify, DsnEvent event);
// The indices of those of `recipients` that are reported; none at all to a null sender (RFC 5321 §4.5.5).
std::vector<std::size_t> dsn_recipients(const mail::ReversePath& sender, std::span<const mail::Notify> recipients,
                                        DsnEvent event);

// ---- what it says

// RFC 3464 §2.3.3. relayed: handed to a next hop that was not asked for a notice. expanded: the same, to several.
enum class DsnAction { failed, delayed, relayed, expanded };

// Why it failed, for the sentence in plain words.
enum class DsnCause {
  refused,         // a server (or a rule of ours) said no for good
  expired,         // tried until the end of its life
  maybe_delivered  // the final dot had no answer three times: it may be there (promise.md C.3.7)
};

// What only delivery.errors = "full" may show.
struct DsnRevealed {
  std::string destination;  // an address
  std::string remote_mta;   // host name; "" when none was reached
};

struct DsnRecipient {
  std::string address;            // as the client gave it in RCPT
  std::string orcpt_type, orcpt;  // decoded; "" when there was none
  DsnAction action = DsnAction::failed;
  DsnCause cause = DsnCause::refused;
  mail::EnhancedCode status;         // its class must fit the action; where it does not, X.0.0 is said
  std::optional<mail::Reply> reply;  // the last answer, masked; nothing when there was none
  bool from_peer = false;            // the reply is another server's, and not our own words
  std::optional<core::Wall::time_point> last_attempt, retry_until;
  std::optional<DsnRevealed> revealed;
};

enum class DsnDetail { full, masked, code_only };  // [delivery] errors

struct DsnReport {
  std::string hostname;      // ours
  mail::ReversePath sender;  // of the original message, whom the DSN goes to; not null
  std::string envid;         // decoded; "" when there was none
  std::string trace;         // the trace id of the original message
  std::string unique;        // 16 or more random letters and digits: for the Message-ID and the boundaries
  std::string help_url;      // "" for none
  core::Wall::time_point arrival, now;
  DsnDetail detail = DsnDetail::masked;
  std::vector<DsnRecipient> recipients;  // at least one

  // The original message. `body` may be left empty when it is not wanted or too large; `size` is of header section,
  // empty line and body as received.
  mail::MailCommand::Ret ret = mail::MailCommand::Ret::unspecified;
  std::string_view header;  // the header section as received, without the empty line
  std::string_view body;
  std::uint64_t size = 0;
};

// What is returned of a message at most; a larger one by its header alone, cut at a field if need be.
inline constexpr std::size_t kMaxReturned = std::size_t{50} * 1024;

struct Dsn {
  std::string content;     // CRLF line ends
  bool smtputf8 = false;   // must be sent with SMTPUTF8 (the sender's address needs it)
  bool eight_bit = false;  // BODY=8BITMIME
};

// The sender is not null, and there is a recipient. Signing is the caller's.
Dsn make_dsn(const DsnReport& report);

}  // namespace queue
