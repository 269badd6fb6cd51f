// Everything of a server session that needs no socket: octets in, Events out. It cuts command lines, asks the dialogue,
// decodes DATA and BDAT, and judges each message's framing and size (SM-01..SM-13, RS-04, RS-07). The session is a thin
// loop around next(); the fuzzer and the scripts of the tests drive the very same class. Sans-io; owned by one session.
//
// After an Event that asks something (Mail, Rcpt, Begin, EndOfData, StartTls) the matching answer must be given before
// the next next(). The caller's transaction lives exactly as long as in_transaction() says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "mail/data_codec.hpp"
#include "smtpd/dialogue.hpp"
#include "smtpd/line_reader.hpp"

namespace smtpd {

// Finds "MAIL FROM" at the start of a line, whatever ended the line before: what smuggled commands look like.
class CommandScent {
 public:
  void feed(std::string_view input);
  bool found() const { return found_; }

 private:
  std::size_t matched_ = 0;
  bool found_ = false;
};

struct NeedInput {};
struct Begin {};      // is there room for a message? answer with begin()
struct Content {};    // octets were appended to `content`
struct EndOfData {};  // the message is whole and well framed; answer with end()
using Event = std::variant<NeedInput, Say, StartTls, Mail, Rcpt, Begin, Content, EndOfData>;

class Conversation {
 public:
  static constexpr std::size_t kSlice = 64 * 1024;  // most octets decoded at a time

  // `settings` must outlive the conversation.
  Conversation(const Settings& settings, std::string session_id, TlsOffer tls)
      : settings_(settings), dialogue_(settings, std::move(session_id), tls) {}

  // Looks at `input` (what has been received and not consumed), sets how much of it is done with, and appends message
  // octets to `content`. May produce events without input (the end of a chunk), so call it until it says NeedInput.
  Event next(std::string_view input, std::size_t& consumed, std::string& content);

  // The answers.
  Say on_mail(mail::Reply reply, std::string transaction_id) {
    return dialogue_.on_mail(std::move(reply), std::move(transaction_id));
  }
  Say on_rcpt(mail::Reply reply) { return dialogue_.on_rcpt(std::move(reply)); }
  // To Begin: nothing, or the refusal. What to say now: 354, the refusal of DATA, or nothing yet (BDAT).
  std::optional<Say> begin(std::optional<mail::Reply> refusal);
  Say end(mail::Reply reply);
  void on_tls_started() { dialogue_.on_tls_started(); }

  // A command is due: not within a message.
  bool at_command() const { return mode_ == Mode::command; }
  bool in_transaction() const { return dialogue_.in_transaction(); }
  ServerDialogue& dialogue() { return dialogue_; }
  const ServerDialogue& dialogue() const { return dialogue_; }

 private:
  enum class Mode { command, data, chunk };

  Event next_command(std::string_view input, std::size_t& consumed);
  Event next_data(std::string_view input, std::size_t& consumed, std::string& content);
  Event next_chunk(std::string_view input, std::size_t& consumed, std::string& content);
  Event start_chunk(Bdat chunk);
  void judge(mail::DataFault fault);
  // The message cannot be taken any more: `reply` will say so after its end. The transaction is dropped now.
  void doom(mail::Reply reply);
  Say finish(mail::Reply reply, Cause cause);
  Say finish_and_close(mail::Reply reply, Cause cause = Cause::message);
  mail::Reply too_big() const;

  const Settings& settings_;
  ServerDialogue dialogue_;
  LineReader lines_;
  Mode mode_ = Mode::command;
  mail::DataDecoder decoder_;
  mail::ChunkChecker checker_;
  CommandScent scent_;
  std::uint64_t size_ = 0;        // of the message so far, decoded
  std::uint64_t chunk_left_ = 0;  // octets of the chunk still to come
  std::uint64_t chunk_size_ = 0;
  bool chunk_last_ = false;
  bool bad_framing_ = false;
  std::optional<mail::Reply> doom_;
};

}  // namespace smtpd
