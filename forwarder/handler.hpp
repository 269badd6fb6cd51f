// What the SMTP server sees of forwarding: a Handler that takes MAIL, a Transaction that takes recipients and content
// and gives the final reply. Everything below (routing, DNS, upstream sessions, signing) is hidden behind these two.
// Threads: a Handler and its Transactions live on one shard.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/ip.hpp"
#include "mail/command.hpp"
#include "mail/message.hpp"
#include "mail/reply.hpp"
#include "net/stream.hpp"

namespace forwarder {

// What a Handler keeps of one connection, from before its banner on: see Handler::welcome().
class Visit {
 public:
  virtual ~Visit() = default;
};

// What a session knows of its client. Owned by the session, outlives its transactions, changes between them (EHLO,
// TLS).
struct Client {
  core::IpAddress address;  // never IPv4-mapped
  std::uint16_t port = 0;
  core::IpAddress local_address;
  std::uint16_t local_port = 0;
  std::string helo;       // as given; "" before HELO
  bool extended = false;  // EHLO
  std::optional<net::TlsInfo> tls;
  std::string session_id;
  Visit* visit = nullptr;  // the session's; may be null
};

// May this client talk to us?
struct Welcome {
  std::unique_ptr<Visit> visit;        // may be null; the session keeps it for as long as the connection is there
  std::optional<mail::Reply> refusal;  // said in the banner's place; the connection ends
  bool may_talk_early = false;         // an exception of the operator's
};

// Asked right before the final dot goes upstream: is anybody still waiting for our answer (promise.md I3)?
class ClientProbe {
 public:
  virtual ~ClientProbe() = default;
  virtual bool gone() = 0;
};

// Lets the ledger know how sure it is that our client has heard the 250 it was given (promise.md C.5). Dropped: nobody
// knows.
class Receipt {
 public:
  virtual ~Receipt() = default;
  // The client has sent a command after its TCP had acknowledged our reply: it will not repeat the message.
  virtual void confirmed() = 0;
  // Its TCP has acknowledged our reply, or a command followed that had been on its way before it.
  virtual void acknowledged() = 0;
};

// One mail transaction (RFC 5321 §3.3), owned by the session. Destroying it before end_of_data() leaves nothing
// upstream.
class Transaction {
 public:
  virtual ~Transaction() = default;

  // The trace id of the message: session id, "-", number. In every reply and log line of this transaction.
  virtual const std::string& id() const = 0;

  // The answer to RCPT; positive: accepted (perhaps provisionally, promise.md C.3.1). Bounded by rcpt_patience.
  virtual net::Awaitable<mail::Reply> rcpt(mail::RcptCommand command) = 0;
  virtual std::size_t accepted_recipients() const = 0;

  // Before 354 or the first BDAT chunk: a refusal (452 4.3.1: no memory) or nothing. Needs an accepted recipient.
  virtual std::optional<mail::Reply> begin_data() = 0;

  // The session appends the message's decoded octets to inbox() in slices (about 64 KiB at most) and calls absorb()
  // after each; when that says spill, it awaits spill() before it appends more. Faults (no memory, disk full, header
  // too large) are remembered and become end_of_data()'s reply; octets given after a fault are dropped.
  virtual std::string& inbox() = 0;
  enum class Absorb { ok, spill };
  virtual Absorb absorb() = 0;
  virtual net::Awaitable<void> spill() = 0;

  // All octets are in: verify, decide, sign, relay. The one and only final reply (I6). `probe` must live until it
  // returns.
  virtual net::Awaitable<mail::Reply> end_of_data(ClientProbe& probe) = 0;

  // After a positive end_of_data(): to be told what becomes of the reply. Null: nobody wants to know.
  virtual std::unique_ptr<Receipt> receipt() = 0;
};

struct MailVerdict {
  std::unique_ptr<Transaction> transaction;  // null: refused with `reply`
  mail::Reply reply;                         // what to answer, also when accepted (250 2.1.0)
};

class Handler {
 public:
  virtual ~Handler() = default;
  // A client has connected; its banner is next. Never waits: what has to be looked up begins here.
  virtual Welcome welcome(const Client&) { return {}; }
  // MAIL FROM. `client` must outlive the transaction. `number`: 1 for the session's first transaction.
  virtual net::Awaitable<MailVerdict> mail(const Client& client, mail::MailCommand command, unsigned number) = 0;
};

}  // namespace forwarder
