// What is stored of a message, as values: its envelope, its recipients and where each of them stands (promise.md C.2,
// docs/queue-format.md). Who reads a Job reads a copy; the store holds the truth.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/digest.hpp"
#include "mail/address.hpp"
#include "mail/command.hpp"
#include "mail/envelope.hpp"

namespace queue {

// A moment on the queue's own clock (queue/timeline.hpp), which equals Unix milliseconds unless the computer's clock
// was set: then Timeline::wall_of() says which wall time it stands for. 0: none.
using Time = std::int64_t;

// The store's own number of a message: ascending, never used again. 0: none.
using MessageKey = std::int64_t;

// A lease's number: every lease gets a new, higher one (fencing token). 0: none.
using Epoch = std::uint64_t;

// Limits of what is stored. What is longer is cut (texts for people) or refused (addresses, ids).
inline constexpr std::size_t kMaxId = 64;                           // of [A-Za-z0-9._-]: it becomes part of a file name
inline constexpr std::size_t kMaxText = 1024;                       // Subject, Message-ID, HELO, host names, reasons
inline constexpr std::size_t kMaxReplyText = 4096;                  // as mail::ReplyParser keeps
inline constexpr std::size_t kMaxRecipients = 20'000;               // of one message
inline constexpr std::size_t kMaxFallback = 16;                     // destinations of one recipient
inline constexpr unsigned kMaxUnknowns = 3;                         // dots without an answer (promise.md C.3.7)
inline constexpr std::size_t kInlineBody = std::size_t{64} * 1024;  // larger bodies lie in files

// The sender's side, the same for all recipients.
struct Envelope {
  std::string id;                // the trace id users see: "k3v7q2mzxa-1"; unique in the store
  mail::ReversePath sender;      // MAIL FROM as the client said it: where a DSN goes; null: nobody is told
  mail::ReversePath srs_sender;  // what is said upstream
  std::string envid;             // RFC 3461 §4.4, decoded; "" none
  mail::MailCommand::Ret ret = mail::MailCommand::Ret::unspecified;
  bool eight_bit = false;       // the client said BODY=8BITMIME
  bool smtputf8 = false;        // the client said SMTPUTF8
  bool needs_smtputf8 = false;  // the header or an address cannot go without it (interface.md §6.29)
  bool requiretls = false;      // RFC 8689
  bool tls_optional = false;    // the message says "TLS-Required: No" (RFC 8689 §5)
  bool has_8bit_header = false;
  bool has_8bit_body = false;
  std::string client_ip, helo;
  std::string message_id, subject;  // for lists and logs only
  std::uint64_t size = 0;           // of the stored octets: exactly what is sent (promise.md I5), CRLF line ends
  std::uint64_t header_size = 0;    // of these the header section, without the empty line: DSNs quote it
  Time created = 0;
  Time expires = 0;
};

// Where a recipient goes next when its destination will not have it (rule key `fallback`).
struct Fallback {
  mail::Mailbox destination;
  std::string hop;
  friend bool operator==(const Fallback&, const Fallback&) = default;
};

// promise.md C.2. LEASED is not among them: a lease stands beside the state (Recipient::lease), because it ends by
// itself; RETRY is `owned` with a next attempt that is not now; DONE and FAILED have no row.
enum class State {
  provisional,  // PROV: on disk, the client is still responsible; dropped at the next start
  owned,        // OWNED: ours to deliver or to report
  owned_dot,    // OWNED/DOT: ours, and a final dot went out whose answer we do not have
};
std::string_view to_string(State state);

// Why a recipient is not tried although it is due.
enum class Hold {
  none,
  by_operator,  // until somebody releases it
  by_rule,      // until the rule is removed or ends (HoldRule)
  quarantined,  // its stored octets are damaged: only an operator decides
};
std::string_view to_string(Hold hold);

struct Recipient {
  unsigned number = 0;        // within the message, from 0; given by the store
  mail::ForwardPath address;  // what the client said; the only address a sender ever sees
  std::string rule;           // "example.org/sales"
  std::string domain;         // the forwarded domain that took it
  mail::Mailbox destination;
  std::string hop;  // next-hop key: recipients with the same one share transactions, and concurrency is counted by it
  std::vector<Fallback> fallback;  // in this order, when the destination will not have it
  mail::Notify notify;             // RFC 3461 §4.1
  std::string orcpt_type, orcpt;   // RFC 3461 §4.2, decoded
  core::Digest fingerprint{};      // key 1 of promise.md C.5; all zero: none
  core::Digest restamped{};        // key 2; all zero: none

  State state = State::owned;
  unsigned attempts = 0;    // that have ended without delivery
  unsigned unknowns = 0;    // dots without an answer, kMaxUnknowns at most
  Time next_attempt = 0;    // never later than act_by
  Time failing_since = 0;   // first temporary failure at the present destination; 0: has not failed
  Time act_by = 0;          // something must be decided then, attempt or not: expiry, fallback, delay notice
  bool delay_told = false;  // the delay notice was made
  mail::Reply last_reply;   // of the last attempt; code 0: none
  bool reply_from_peer = false;
  std::string last_host, last_address, last_tls;  // who gave it: "mx.example", "[::1]:25"

  Epoch lease = 0;  // who works on it now; 0: nobody
  Time lease_until = 0;
  Hold hold = Hold::none;
  std::string hold_reason;
};

// A message and some or all of its recipients.
struct Job {
  MessageKey key = 0;
  Envelope envelope{};
  std::vector<Recipient> recipients{};
};

// The words of `queue list` (interface.md §3): hold; active when leased or never tried; deferred.
std::string_view queue_of(const Recipient& recipient);

// The key of a hop is any text without control octets; this much of it.
inline constexpr std::size_t kMaxHop = 300;

}  // namespace queue
