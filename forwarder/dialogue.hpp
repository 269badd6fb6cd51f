// The SMTP (and LMTP) client as a pure state machine: the caller says what it wants (mail, rcpt, data, ...), moves
// octets between this and a stream, and reads the replies here. It knows pipelining, what reply belongs to what
// command, and what a peer may not say (threats UP-03, UP-04, UP-09, UP-10, UP-12, UP-14). No I/O, no policy: what a
// reply means is decided in forwarder/trouble. The only SMTP client of the program.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "mail/address.hpp"
#include "mail/command.hpp"
#include "mail/reply.hpp"

namespace forwarder {

// Where in a session something happened.
enum class Stage { dns, connect, greeting, hello, starttls, tls, mail, rcpt, data, body, dot, rset };
std::string_view to_string(Stage stage);

// What EHLO or LHLO offered. At most 64 keywords are looked at (UP-12); junk values are as if absent.
struct Capabilities {
  bool extended = false;  // false: HELO was needed
  bool pipelining = false, eight_bit = false, smtputf8 = false, starttls = false, chunking = false, dsn = false,
       requiretls = false;
  bool size = false;
  std::uint64_t size_limit = 0;         // 0: none stated
  unsigned rcpt_max = 0, mail_max = 0;  // RFC 9422; 0: not stated
};
Capabilities parse_capabilities(const mail::Reply& ehlo);

struct MailParameters {
  mail::ReversePath from;
  std::uint64_t size = 0;   // 0: SIZE is not said (not known yet)
  bool eight_bit = false;   // BODY=8BITMIME, said when offered
  bool smtputf8 = false;    // said; the caller has checked that it is offered
  bool requiretls = false;  // the same (RFC 8689)
  // RFC 3461 §4.3, §4.4, said when DSN is offered; the envelope id decoded, "" for none.
  mail::MailCommand::Ret ret = mail::MailCommand::Ret::unspecified;
  std::string envid;
};

// RFC 3461 §4.1, §4.2, said when DSN is offered. ORCPT goes only where nothing hidden follows (interface.md §6.24):
// that is for the caller to know.
struct RcptParameters {
  mail::Notify notify;
  std::string orcpt_type, orcpt;  // decoded; "" for none
};

class ClientDialogue {
 public:
  enum class Kind { smtp, lmtp };
  // `helo`: what we call ourselves. A new dialogue awaits the greeting.
  ClientDialogue(Kind kind, std::string helo);

  // ---- commands; each queues its octets and the reply it expects. Without PIPELINING they leave one by one.
  void hello();  // EHLO/LHLO; HELO follows by itself after 500, 502 or 504 to EHLO (interface.md §6.9)
  void starttls();
  // After the handshake: what was known of the peer is forgotten (RFC 3207 §4.2); call hello() again.
  void tls_started();
  void mail(const MailParameters& parameters);
  // Returns the index of its reply in rcpt_replies().
  std::size_t rcpt(const mail::Mailbox& to, const RcptParameters& parameters = {});
  void data();
  // BDAT n / BDAT n LAST; the caller writes the chunk's octets right behind take_output(). LAST expects the final
  // replies.
  void bdat(std::uint64_t octets, bool last);
  // The caller is about to write the final dot: final replies are expected from now on. Give receive() what the peer
  // has already sent before this: what comes before the dot is never its answer (UP-10).
  void dot();
  void rset();
  void quit();

  // From now on nothing is pipelined, and CHUNKING is as if it had not been offered: after a dot whose answer never
  // came nothing may be in doubt (promise.md C.3.7). To be called after the last EHLO.
  void restrain() {
    capabilities_.pipelining = capabilities_.chunking = false;
    restrained_ = true;
  }
  bool restrained() const { return restrained_; }

  // ---- octets
  // What may be written now; empty when a reply must come first. Ends at a BDAT, whose chunk must follow at once.
  std::string take_output();
  // Octets from the peer. Errors (Errc::protocol): the connection must be dropped: broken grammar, a reply nobody waits
  // for, a reply of a class that cannot be (2xx to DATA, 354 to the dot, 3xx to RCPT, ...), anything behind a positive
  // STARTTLS reply. After an error every call fails and nothing is given out any more. A 221 that answers anything but
  // QUIT is no success: it is kept as 421 4.4.2 (UP-05).
  core::Result<void> receive(std::string_view octets);
  // Replies that are still to come (to commands queued, sent or not).
  std::size_t awaiting() const;
  // What an error now must be blamed on: dot as soon as the dot (or BDAT LAST) was given out and until its last answer,
  // for then the peer may have the message; otherwise the stage of the oldest reply that is still to come, else of what
  // would be next in the session.
  Stage stage() const;
  // In step and at rest: a new transaction may begin here (UP-14). Give receive() what the peer has sent before asking.
  bool reusable() const;

  // ---- replies; empty until they are in
  const Capabilities& capabilities() const { return capabilities_; }
  const std::optional<mail::Reply>& greeting_reply() const;
  const std::optional<mail::Reply>& hello_reply() const;
  const std::optional<mail::Reply>& starttls_reply() const;
  const std::optional<mail::Reply>& mail_reply() const;
  const std::vector<std::optional<mail::Reply>>& rcpt_replies() const;
  std::size_t accepted_recipients() const;
  const std::optional<mail::Reply>& data_reply() const;
  // Answers to BDAT chunks before the last that were refusals, or a 4xx/5xx that came while the body was being sent
  // (UP-10).
  const std::optional<mail::Reply>& body_reply() const;
  // SMTP: one. LMTP: one for each accepted recipient, in their order (RFC 2033 §4.2).
  const std::vector<mail::Reply>& final_replies() const;
  bool final_replies_complete() const;
  const std::optional<mail::Reply>& rset_reply() const;
  // A 421 that answers no command of ours (RFC 5321 §3.8): the server is closing; the connection is as good as lost.
  const std::optional<mail::Reply>& closing_reply() const;

  // Everything that was said since the last MAIL is forgotten (after rset(), or to begin the next transaction).
  void forget_transaction();
  // For a fresh try after an unknown outcome (promise.md C.3.7): no PIPELINING, no CHUNKING, whatever is offered.
  void use_plain_features();

 private:
  struct Command {
    std::string octets;  // empty: nothing to send, only a reply to await
    Stage stage;
    std::size_t index = 0;     // of a recipient
    unsigned transaction = 0;  // which one it belongs to
    bool sent = false, quit = false;
  };
  // What the peer takes our octets for.
  enum class BodyMode { none, data, chunks };

  core::Result<void> dispatch(mail::Reply reply);
  core::Result<void> unawaited(mail::Reply reply);
  core::Result<void> hello_answered(mail::Reply reply);
  core::Result<void> data_answered(mail::Reply reply);
  core::Result<void> final_answered(mail::Reply reply);
  core::Result<void> fail();
  void queue(std::string octets, Stage stage, std::size_t index = 0);
  void pop(Stage next);
  bool awaits_answer() const { return !commands_.empty() && commands_.front().sent; }
  bool forgotten() const { return commands_.front().transaction != transaction_; }
  std::size_t final_replies_due() const;

  Kind kind_;
  std::string helo_;
  mail::ReplyParser parser_;
  Capabilities capabilities_;
  bool restrained_ = false;
  std::deque<Command> commands_;  // oldest first
  Stage next_ = Stage::greeting;  // blamed when nothing is awaited
  BodyMode body_mode_ = BodyMode::none;
  unsigned transaction_ = 0;
  bool plain_ = false, helo_sent_ = false, final_complete_ = false;
  bool handshake_due_ = false;              // after a positive STARTTLS reply: not one octet more in clear text (TL-03)
  bool mid_reply_ = false, early_ = false;  // a reply has begun; it began when none was awaited
  bool closing_ = false, failed_ = false;
  std::optional<mail::Reply> greeting_, hello_reply_, starttls_, mail_, data_, body_, rset_, closing_reply_;
  std::vector<std::optional<mail::Reply>> rcpt_;
  std::vector<mail::Reply> final_;
};

}  // namespace forwarder
