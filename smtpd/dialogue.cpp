#include "smtpd/dialogue.hpp"

#include <utility>

#include "core/text.hpp"

namespace smtpd {
namespace {

using mail::EnhancedCode;
using mail::Reply;

constexpr EnhancedCode kOk{2, 0, 0};
constexpr EnhancedCode kSyntax{5, 5, 2};
constexpr EnhancedCode kSequence{5, 5, 1};
constexpr EnhancedCode kSynchronization{5, 5, 0};
constexpr EnhancedCode kSecurity{4, 7, 0};

std::string_view reason_of(const mail::CommandError& error) {
  if (error.close) return "not-smtp";
  switch (error.reply.code) {
    case 502:
      return "not-implemented";
    case 503:
      return "bad-sequence";
    case 553:
      return "no-utf8";
    default:
      return "syntax";
  }
}

bool has_verb(std::string_view line, std::string_view verb) {
  return core::istarts_with(line, verb);
}

// 5.1.1 and its like: the address is unknown. What a dictionary attack looks for.
bool says_unknown(const Reply& reply) {
  return reply.code == 550 && reply.enhanced == EnhancedCode{5, 1, 1};
}

}  // namespace

ServerDialogue::ServerDialogue(const Settings& settings, std::string session_id, TlsOffer tls)
    : settings_(settings), session_id_(std::move(session_id)), tls_(tls) {}

Reply ServerDialogue::banner() const {
  return {220, {}, settings_.hostname + " ESMTP Onward"};
}

Step ServerDialogue::feed(std::string_view line, Behind behind) {
  mail::CommandContext context;
  context.extended = extended_;
  context.smtputf8 = in_transaction_ && smtputf8_;
  context.offered_requiretls = tls_ == TlsOffer::active;
  auto parsed = mail::parse_command(line, context);
  if (auto* problem = std::get_if<mail::CommandError>(&parsed)) return reject(line, std::move(*problem));
  return std::visit([&](auto&& command) { return take(std::forward<decltype(command)>(command), behind); },
                    std::get<mail::Command>(std::move(parsed)));
}

Step ServerDialogue::reject(std::string_view line, mail::CommandError problem) {
  // SM-09, SM-10: a failed MAIL, BDAT or VRFY leaves no transaction behind, whatever the fault was.
  const bool resets = has_verb(line, "MAIL") || has_verb(line, "BDAT") || has_verb(line, "VRFY");
  const auto text = problem.reply.lines.empty() ? std::string() : problem.reply.lines.front();
  auto say = refuse({problem.reply.code, problem.reply.enhanced, text, reason_of(problem)});
  say.close = say.close || problem.close;
  if (resets || problem.close) reset_transaction();
  return say;
}

// RFC 5321 §4.1.1.1, §4.1.4
Step ServerDialogue::take(mail::HeloCommand command, Behind behind) {
  if (behind == Behind::octets) return out_of_turn("after EHLO", "pipelining");
  reset_transaction();
  helo_ = std::move(command.domain);
  extended_ = command.extended;
  return idle(extended_ ? ehlo_reply() : Reply(250, {}, settings_.hostname));
}

Reply ServerDialogue::ehlo_reply() const {
  Reply reply(250, {}, settings_.hostname);
  auto& lines = reply.lines;
  lines.reserve(11);
  lines.emplace_back("PIPELINING");                                   // RFC 2920
  lines.push_back("SIZE " + std::to_string(settings_.message_size));  // RFC 1870
  if (tls_ == TlsOffer::starttls) lines.emplace_back("STARTTLS");     // RFC 3207
  if (tls_ == TlsOffer::active) lines.emplace_back("REQUIRETLS");     // RFC 8689 §2: within TLS only
  lines.emplace_back("8BITMIME");                                     // RFC 6152
  lines.emplace_back("SMTPUTF8");                                     // RFC 6531
  lines.emplace_back("ENHANCEDSTATUSCODES");                          // RFC 2034
  lines.emplace_back("CHUNKING");                                     // RFC 3030
  lines.emplace_back("DSN");                                          // RFC 3461
  lines.push_back("LIMITS RCPTMAX=" + std::to_string(settings_.recipients) +
                  " MAILMAX=" + std::to_string(settings_.transactions));  // RFC 9422
  lines.emplace_back("HELP");
  return reply;
}

// RFC 5321 §4.1.1.2
Step ServerDialogue::take(mail::MailCommand command, Behind) {
  if (helo_.empty()) return out_of_order("Say EHLO or HELO first");
  if (in_transaction_) return out_of_order("A transaction was open already; it is dropped");
  if (++mails_ > settings_.transactions) {
    return farewell(421, kSecurity, "Too many messages in one session", "too-many-messages");
  }
  // RFC 1870 §6.1
  if (command.size && *command.size > settings_.message_size) {
    return refuse({552,
                   {5, 3, 4},
                   "Message too big, the limit is " + std::to_string(settings_.message_size) + " octets",
                   "too-big"});
  }
  smtputf8_ = command.smtputf8;
  return Mail{std::move(command)};
}

Say ServerDialogue::on_mail(Reply reply, std::string transaction_id) {
  if (reply.positive()) {
    in_transaction_ = true;
    transaction_id_ = std::move(transaction_id);
    attempted_ = accepted_ = 0;
    chunks_ = false;
    return {std::move(reply)};
  }
  reset_transaction();
  Say say{std::move(reply)};
  return error(std::move(say));
}

// RFC 5321 §4.1.1.3
Step ServerDialogue::take(mail::RcptCommand command, Behind) {
  if (!in_transaction_) return out_of_order("MAIL comes before RCPT");
  if (chunks_) return out_of_order("RCPT cannot follow BDAT");  // RFC 3030 §2
  // RFC 5321 §4.5.3.1.10; RS-05. Neither counts as an error: the sender just sends the rest later.
  if (++attempted_ > 2 * settings_.recipients) {
    return farewell(421, {4, 5, 3}, "Far too many recipients", "too-many-recipients");
  }
  if (accepted_ >= settings_.recipients) {
    return Say{mail::make_refusal(452, {4, 5, 3}, "Too many recipients, send the rest in another message",
                                  "too-many-recipients", id())};
  }
  return Rcpt{std::move(command)};
}

Say ServerDialogue::on_rcpt(Reply reply) {
  if (reply.positive()) {
    ++accepted_;
    // The slowness must not tell known recipients from unknown ones.
    return {std::move(reply), false, errors_ > settings_.soft_errors};
  }
  const bool unknown = says_unknown(reply);
  Say say{std::move(reply)};
  say = error(std::move(say));
  if (unknown && !say.close && ++unknown_ > settings_.unknown_recipients) {
    return farewell(421, kSecurity, "Too many unknown recipients", "too-many-errors");
  }
  return say;
}

// RFC 5321 §4.1.1.4
Step ServerDialogue::take(mail::DataCommand, Behind behind) {
  if (behind == Behind::octets) return out_of_turn("after DATA", "pipelining");
  if (!in_transaction_) return out_of_order("MAIL comes before DATA");
  if (chunks_) return out_of_order("DATA cannot follow BDAT");  // RFC 3030 §2
  if (accepted_ == 0) return refuse({554, kSequence, "No valid recipients", "no-recipients"});
  return Data{};
}

Reply ServerDialogue::on_data_started() {
  return {354, {}, "Go ahead, end with <CRLF>.<CRLF>"};
}

// RFC 3030 §2. Whether it is in order is decided when its octets are in: they follow the command unasked.
Step ServerDialogue::take(mail::BdatCommand command, Behind) {
  return Bdat{command.size, command.last};
}

// `BDAT 0` without LAST is legal (interface.md §6.6), but whoever says nothing else is wasting our time.
Say ServerDialogue::on_chunk(std::uint64_t octets) {
  Reply reply(250, kOk, std::to_string(octets) + " octets received");
  return octets == 0 ? idle(std::move(reply)) : Say{std::move(reply)};
}

// RFC 5321 §4.1.1.5
Step ServerDialogue::take(mail::RsetCommand, Behind) {
  reset_transaction();
  return idle({250, kOk, "Reset"});
}

Step ServerDialogue::take(mail::NoopCommand, Behind) {
  return idle({250, kOk, "OK"});
}

Step ServerDialogue::take(mail::QuitCommand, Behind) {
  reset_transaction();
  return Say{{221, kOk, settings_.hostname + " closing connection"}, true};
}

// RFC 3207 §4
Step ServerDialogue::take(mail::StartTlsCommand, Behind behind) {
  if (tls_ == TlsOffer::active) return refuse({503, kSequence, "TLS is active already", "bad-sequence"});
  if (tls_ == TlsOffer::none) return refuse({502, kSequence, "STARTTLS is not offered", "not-implemented"});
  if (behind == Behind::octets) return out_of_turn("after STARTTLS", "pipelining");  // TL-01
  reset_transaction();
  return StartTls{{220, kOk, "Ready to start TLS"}};
}

void ServerDialogue::on_tls_started() {
  reset_transaction();
  helo_.clear();
  extended_ = false;
  tls_ = TlsOffer::active;
}

// RFC 5321 §3.5.3, §7.3: 252 tells nothing about users (RL-14).
Step ServerDialogue::take(mail::VrfyCommand, Behind) {
  return idle({252, {2, 5, 0}, "Cannot verify a user, send mail and see"});
}

Step ServerDialogue::take(mail::HelpCommand, Behind) {
  const auto text =
      settings_.help_url.empty() ? std::string("This is Onward, a mail forwarder") : "See " + settings_.help_url;
  return idle({214, kOk, text});
}

Step ServerDialogue::take(mail::UnimplementedCommand, Behind) {
  return refuse({502, kSequence, "Command not implemented", "not-implemented"});
}

Say ServerDialogue::on_transaction_end(Reply reply, Cause cause) {
  reset_transaction();
  if (reply.positive()) {
    errors_ = idle_ = 0;
    return {std::move(reply)};
  }
  Say say{std::move(reply)};
  say.cause = cause;
  return error(std::move(say));
}

Say ServerDialogue::bare_line_end() {
  return refuse({500, kSyntax, "Lines end in CR LF, not in one of them", "bare-line-end"}, Cause::bare_line_end);
}

Say ServerDialogue::line_too_long() {
  auto say = refuse({500, kSyntax, "Line too long", "line-too-long"});
  say.close = true;
  return say;
}

Say ServerDialogue::not_smtp() {
  auto say = farewell(554, kSequence, "This is an SMTP server", "not-smtp");
  say.cause = Cause::command;
  return say;
}

Say ServerDialogue::unexpected_proxy() {
  auto say = farewell(554, kSynchronization, "No PROXY header is taken from you", "not-smtp");
  say.cause = Cause::command;
  return say;
}

Say ServerDialogue::out_of_turn(std::string_view where, std::string_view reason) {
  auto say = farewell(554, kSynchronization, "SMTP synchronization error, octets came too early, " + std::string(where),
                      reason);
  say.cause = Cause::command;
  reset_transaction();
  return say;
}

Say ServerDialogue::out_of_order(std::string_view text) {
  auto say = refuse({503, kSequence, text, "bad-sequence"});
  // A MAIL within a transaction, or anything but octets within BDAT: start again (SM-09).
  reset_transaction();
  return say;
}

Say ServerDialogue::farewell(int code, EnhancedCode enhanced, std::string_view text, std::string_view reason) const {
  return {mail::make_refusal(code, enhanced, text, reason, id()), true};
}

Say ServerDialogue::refuse(const Refusal& refusal, Cause cause) {
  Say say{mail::make_refusal(refusal.code, refusal.enhanced, refusal.text, refusal.reason, id())};
  say.cause = cause;
  return error(std::move(say));
}

Say ServerDialogue::error(Say say) {
  if (say.reply.code == 421) say.close = true;  // RFC 5321 §3.8: we said so
  // What is refused for the time being is no fault of the client's: 452 for a second destination, memory, an upstream.
  if (say.reply.transient()) return say;
  if (++errors_ > settings_.hard_errors) {
    auto last = farewell(421, kSecurity, "Too many errors", "too-many-errors");
    last.cause = say.cause;
    return last;
  }
  say.slow = errors_ > settings_.soft_errors;
  return say;
}

Say ServerDialogue::idle(Reply reply) {
  Say say{std::move(reply)};
  if (++idle_ <= settings_.junk_commands) return say;
  return error(std::move(say));
}

void ServerDialogue::reset_transaction() {
  in_transaction_ = chunks_ = false;
  attempted_ = accepted_ = 0;
}

}  // namespace smtpd
