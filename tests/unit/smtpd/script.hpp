// Dialogue scripts without sockets: what the client sends, what it must hear. The world behind the dialogue (the
// Handler) is played by `decide`, which answers every question; by default it accepts everything.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "smtpd/conversation.hpp"

namespace smtpd::testing {

inline Settings small_settings() {
  Settings settings;
  settings.hostname = "mx.test";
  settings.message_size = 1000;
  settings.recipients = 5;
  return settings;
}

enum class Ask { mail, rcpt, begin, end };

class Script {
 public:
  struct Message {
    std::string from;
    std::vector<std::string> to;
    std::string content;
  };
  using Decide = std::function<mail::Reply(Ask ask, unsigned number)>;  // number: of this question, from 1

  explicit Script(Settings settings = small_settings(), TlsOffer tls = TlsOffer::none)
      : settings_(std::move(settings)), conversation_(settings_, "sess", tls) {
    said_ = conversation_.dialogue().banner().to_wire();
    expect("220 ");
  }
  Script(const Script&) = delete;

  Script& decide(Decide f) {
    decide_ = std::move(f);
    return *this;
  }

  // One line with its CRLF; octets as they are.
  Script& peer(std::string_view line) { return raw(std::string(line) + "\r\n"); }
  Script& raw(std::string_view octets) {
    input_ += octets;
    pump();
    return *this;
  }

  // The next reply begins with `start`; its wire form is in last().
  Script& expect(std::string_view start) {
    last_ = take_reply();
    EXPECT_EQ(last_.substr(0, start.size()), start) << "in full: " << last_;
    return *this;
  }
  Script& expect(std::string_view start, std::string_view part) {
    expect(start);
    EXPECT_NE(last_.find(part), std::string::npos) << "no \"" << part << "\" in: " << last_;
    return *this;
  }
  Script& expect_silence() {
    EXPECT_EQ(said_, "");
    return *this;
  }
  Script& expect_closed() {
    expect_silence();
    EXPECT_TRUE(closed_);
    return *this;
  }
  Script& expect_open() {
    expect_silence();
    EXPECT_FALSE(closed_);
    return *this;
  }
  // EHLO; MAIL; RCPT.
  Script& ehlo() { return peer("EHLO client.test").expect("250-mx.test"); }
  Script& envelope() { return peer("MAIL FROM:<a@a.test>").expect("250 ").peer("RCPT TO:<b@b.test>").expect("250 "); }

  const std::string& last() const { return last_; }
  const std::vector<Message>& messages() const { return messages_; }
  Conversation& conversation() { return conversation_; }
  bool closed() const { return closed_; }
  unsigned slow_replies() const { return slow_; }
  unsigned handshakes() const { return handshakes_; }
  bool transaction_alive() const { return transaction_.has_value(); }

  // Everything until the client's octets are used up.
  void pump() {
    while (!closed_) {
      std::size_t consumed = 0;
      std::string nowhere;
      auto event = conversation_.next(input_, consumed, transaction_ ? transaction_->content : nowhere);
      ASSERT_LE(consumed, input_.size());
      input_.erase(0, consumed);
      if (!conversation_.in_transaction()) transaction_.reset();
      if (std::holds_alternative<NeedInput>(event)) return;
      if (auto* done = std::get_if<Say>(&event)) {
        say(std::move(*done));
      } else if (auto* tls = std::get_if<StartTls>(&event)) {
        said_ += tls->reply.to_wire();
        ASSERT_EQ(input_, "") << "octets from before the handshake survive (TL-01)";
        conversation_.on_tls_started();
        ++handshakes_;
      } else if (auto* mail = std::get_if<Mail>(&event)) {
        auto reply = ask(Ask::mail);
        if (reply.positive()) transaction_ = Message{mail->command.from.to_string(), {}, {}};
        say(conversation_.on_mail(reply, "sess-1"));
      } else if (auto* rcpt = std::get_if<Rcpt>(&event)) {
        ASSERT_TRUE(transaction_);
        auto reply = ask(Ask::rcpt);
        if (reply.positive()) transaction_->to.push_back(rcpt->command.to.to_string());
        say(conversation_.on_rcpt(reply));
      } else if (std::holds_alternative<Begin>(event)) {
        ASSERT_TRUE(transaction_ && !transaction_->to.empty());
        auto reply = ask(Ask::begin);
        auto answer = conversation_.begin(reply.positive() ? std::nullopt : std::optional(reply));
        if (answer) say(std::move(*answer));
      } else if (std::holds_alternative<EndOfData>(event)) {
        ASSERT_TRUE(transaction_);
        auto reply = ask(Ask::end);
        if (reply.positive()) messages_.push_back(*transaction_);
        say(conversation_.end(reply));
      }
      if (closed_ || !conversation_.in_transaction()) transaction_.reset();
      ASSERT_TRUE(closed_ || conversation_.in_transaction() == transaction_.has_value());
    }
  }

 private:
  mail::Reply ask(Ask what) {
    const auto number = ++asked_[static_cast<std::size_t>(what)];
    return decide_ ? decide_(what, number) : mail::Reply(250, {2, 0, 0}, "OK");
  }
  void say(Say say) {
    said_ += say.reply.to_wire();
    closed_ = say.close;
    slow_ += say.slow ? 1 : 0;
  }
  std::string take_reply() {
    std::size_t end = 0;
    for (;;) {
      const auto line = end;
      end = said_.find("\r\n", end);
      if (end == std::string::npos) return {};
      end += 2;
      if (line + 3 < said_.size() && said_[line + 3] != '-') break;
    }
    auto reply = said_.substr(0, end);
    said_.erase(0, end);
    return reply;
  }

  const Settings settings_;
  Conversation conversation_;
  Decide decide_;
  std::optional<Message> transaction_;
  std::vector<Message> messages_;
  std::string input_, said_, last_;
  unsigned asked_[4] = {};
  unsigned slow_ = 0, handshakes_ = 0;
  bool closed_ = false;
};

}  // namespace smtpd::testing
