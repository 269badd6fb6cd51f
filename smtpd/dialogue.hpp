// The server's side of the SMTP dialogue as a pure state machine: one command line in, one Step out (RFC 5321 §4.1.4,
// with STARTTLS, PIPELINING, CHUNKING, SIZE, SMTPUTF8, LIMITS). It knows order, limits and every reply of our own; it
// knows nothing of sockets, time, or where mail goes. Steps that need the world (Mail, Rcpt, Data, Bdat, StartTls) are
// answered by the caller with the matching on_...() before the next feed(). Sans-io; owned by one Conversation.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "mail/command.hpp"
#include "mail/reply.hpp"
#include "smtpd/settings.hpp"

namespace smtpd {

// Why a reply of the dialogue is a refusal; for metrics and logs.
enum class Cause { none, command, bare_line_end, message, smuggling };

// A reply to write. `close`: the connection ends after it. `slow`: let the client wait for it (RL-13).
struct Say {
  mail::Reply reply;
  bool close = false;
  bool slow = false;
  Cause cause = Cause::none;
};
struct StartTls {
  mail::Reply reply;  // 220, then the handshake
};
struct Mail {
  mail::MailCommand command;
};
struct Rcpt {
  mail::RcptCommand command;
};
struct Data {};
struct Bdat {
  std::uint64_t size = 0;
  bool last = false;
};
using Step = std::variant<Say, StartTls, Mail, Rcpt, Data, Bdat>;

enum class TlsOffer { none, starttls, active };
// What stands in the buffer behind a command line: after EHLO, DATA and STARTTLS it must be nothing (RFC 2920 §3.1).
enum class Behind { nothing, octets };

class ServerDialogue {
 public:
  // `settings` must outlive the dialogue.
  ServerDialogue(const Settings& settings, std::string session_id, TlsOffer tls);

  mail::Reply banner() const;
  Step feed(std::string_view line, Behind behind);

  // The handler's answer to Mail; accepted when positive. `transaction_id`: "" when refused.
  Say on_mail(mail::Reply reply, std::string transaction_id);
  Say on_rcpt(mail::Reply reply);
  // DATA, or the first BDAT, was let through: 354 for the former.
  mail::Reply on_data_started();
  void on_chunks_started() { chunks_ = true; }
  // A chunk that is not the last is in.
  Say on_chunk(std::uint64_t octets);
  // DATA, BDAT or a whole message ended with this reply, whoever made it: the transaction is over.
  Say on_transaction_end(mail::Reply reply, Cause cause = Cause::none);
  // The handshake is done: nothing from before counts any more (RFC 3207 §4.2).
  void on_tls_started();

  // Lines that the framing could not take.
  Say bare_line_end();
  Say line_too_long();
  Say not_smtp();
  Say unexpected_proxy();
  // Octets where the client had to wait (`where`: "after EHLO"); the connection ends.
  Say out_of_turn(std::string_view where, std::string_view reason);
  // 503 5.5.1; the transaction is dropped when there is one.
  Say out_of_order(std::string_view text);
  // The client must go: our own reasons, no fault of a command.
  Say farewell(int code, mail::EnhancedCode enhanced, std::string_view text, std::string_view reason) const;

  // The message is lost already (too big, malformed): forget the transaction, though its octets still come.
  void drop_transaction() { reset_transaction(); }
  bool in_transaction() const { return in_transaction_; }
  // What our refusals bear now: the id of the transaction, else of the session.
  const std::string& id() const { return in_transaction_ ? transaction_id_ : session_id_; }
  unsigned accepted_recipients() const { return accepted_; }
  bool in_chunks() const { return chunks_; }
  const std::string& helo() const { return helo_; }
  bool extended() const { return extended_; }
  unsigned errors() const { return errors_; }
  // Of the transaction, or of the one that ended last, for replies about its message.
  const std::string& message_id() const { return transaction_id_; }

 private:
  struct Refusal {  // ours: code, text, slug (mail/reasons.hpp)
    int code;
    mail::EnhancedCode enhanced;
    std::string_view text;
    std::string_view reason;
  };

  Step take(mail::HeloCommand command, Behind behind);
  Step take(mail::MailCommand command, Behind behind);
  Step take(mail::RcptCommand command, Behind behind);
  Step take(mail::DataCommand command, Behind behind);
  Step take(mail::BdatCommand command, Behind behind);
  Step take(mail::RsetCommand command, Behind behind);
  Step take(mail::NoopCommand command, Behind behind);
  Step take(mail::QuitCommand command, Behind behind);
  Step take(mail::StartTlsCommand command, Behind behind);
  Step take(mail::VrfyCommand command, Behind behind);
  Step take(mail::HelpCommand command, Behind behind);
  Step take(mail::UnimplementedCommand command, Behind behind);
  Step reject(std::string_view line, mail::CommandError error);

  mail::Reply ehlo_reply() const;
  Say refuse(const Refusal& refusal, Cause cause = Cause::command);
  // Counts the error that `say` is; too many make it a 421.
  Say error(Say say);
  // A command that moves nothing: harmless, until there are too many (RS-03).
  Say idle(mail::Reply reply);
  void reset_transaction();

  const Settings& settings_;
  std::string session_id_, transaction_id_, helo_;
  TlsOffer tls_;
  bool extended_ = false;
  bool in_transaction_ = false;
  bool smtputf8_ = false;                  // the transaction's MAIL said so (or the MAIL being decided)
  bool chunks_ = false;                    // a BDAT was taken, its LAST has not come
  unsigned attempted_ = 0, accepted_ = 0;  // recipients of this transaction
  unsigned errors_ = 0, idle_ = 0;         // since the last message we took
  unsigned unknown_ = 0, mails_ = 0;       // of the session
};

}  // namespace smtpd
