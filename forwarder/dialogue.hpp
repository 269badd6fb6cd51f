// The SMTP (and LMTP) client as a pure state machine: the caller says what it wants (mail, rcpt, data, ...), moves octets
// between this and a stream, and reads the replies here. It knows pipelining, what reply belongs to what command, and what
// a peer may not say (threats UP-03, UP-04, UP-09, UP-10, UP-12, UP-14). No I/O, no policy: what a reply means is decided in
// forwarder/trouble. The only SMTP client of the program.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "mail/address.hpp"
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
  std::uint64_t size_limit = 0;  // 0: none stated
  unsigned rcpt_max = 0, mail_max = 0;  // RFC 9422; 0: not stated
};
Capabilities parse_capabilities(const mail::Reply& ehlo);

struct MailParameters {
  mail::ReversePath from;
  std::uint64_t size = 0;  // 0: SIZE is not said (not known yet)
  bool eight_bit = false;  // BODY=8BITMIME, said when offered
  bool smtputf8 = false;   // said; the caller has checked that it is offered
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
  std::size_t rcpt(const mail::Mailbox& to);
  void data();
  // BDAT n / BDAT n LAST; the caller writes the chunk's octets right behind take_output(). LAST expects the final replies.
  void bdat(std::uint64_t octets, bool last);
  // The caller is about to write the final dot: final replies are expected from now on.
  void dot();
  void rset();
  void quit();

  // ---- octets
  // What may be written now; empty when a reply must come first.
  std::string take_output();
  // Octets from the peer. Errors (Errc::protocol): the connection must be dropped: broken grammar, a reply nobody waits for,
  // a reply of a class that cannot be (2xx to DATA, 354 to the dot, 3xx to RCPT, ...).
  core::Result<void> receive(std::string_view octets);
  // Replies that are still to come (to commands queued, sent or not).
  std::size_t awaiting() const;
  // The stage of the oldest reply that is still to come; what an error now must be blamed on.
  Stage stage() const;

  // ---- replies; empty until they are in
  const Capabilities& capabilities() const { return capabilities_; }
  const std::optional<mail::Reply>& greeting_reply() const;
  const std::optional<mail::Reply>& hello_reply() const;
  const std::optional<mail::Reply>& starttls_reply() const;
  const std::optional<mail::Reply>& mail_reply() const;
  const std::vector<std::optional<mail::Reply>>& rcpt_replies() const;
  std::size_t accepted_recipients() const;
  const std::optional<mail::Reply>& data_reply() const;
  // Answers to BDAT chunks before the last that were refusals, or a 4xx/5xx that came while the body was being sent (UP-10).
  const std::optional<mail::Reply>& body_reply() const;
  // SMTP: one. LMTP: one for each accepted recipient, in their order (RFC 2033 §4.2).
  const std::vector<mail::Reply>& final_replies() const;
  bool final_replies_complete() const;
  const std::optional<mail::Reply>& rset_reply() const;

  // Everything that was said since the last MAIL is forgotten (after rset(), or to begin the next transaction).
  void forget_transaction();
  // For a fresh try after an unknown outcome (promise.md C.3.7): no PIPELINING, no CHUNKING, whatever is offered.
  void use_plain_features();

 private:
  struct Command {
    std::string octets;
    Stage stage;
    std::size_t index = 0;
    bool sent = false;
  };
  core::Result<void> dispatch(mail::Reply reply);
  void queue(std::string octets, Stage stage, std::size_t index = 0);

  Kind kind_;
  std::string helo_;
  mail::ReplyParser parser_;
  Capabilities capabilities_;
  std::deque<Command> commands_;  // oldest first
  bool plain_ = false, quitting_ = false, in_body_ = false, hello_fallback_ = false;
  std::optional<mail::Reply> greeting_, hello_reply_, starttls_, mail_, data_, body_, rset_;
  std::vector<std::optional<mail::Reply>> rcpt_;
  std::vector<mail::Reply> final_;
};

}  // namespace forwarder
