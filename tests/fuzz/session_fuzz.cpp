// links: smtpd
// The server's whole sans-io part: framing, dialogue, DATA and BDAT. The first octet chooses how the input is sliced
// and what the world answers. Properties: no octet is left hanging, replies are well formed, a transaction exists
// exactly while the dialogue says so, nothing with bare CR, LF or NUL or above the size limit is ever handed on, and
// slicing does not change what is said.
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "smtpd/conversation.hpp"

namespace {

using namespace smtpd;

void require(bool condition) {
  if (!condition) __builtin_trap();
}

Settings make_settings() {
  Settings settings;
  settings.hostname = "mx.test";
  settings.message_size = 200;
  settings.recipients = 3;
  return settings;
}
const Settings kSettings = make_settings();

class World {
 public:
  explicit World(std::uint8_t mood) : mood_(mood) {}

  // Everything that can be done with what has come.
  void take(std::string_view octets) {
    input_ += octets;
    for (unsigned idle = 0; !closed_;) {
      std::size_t consumed = 0;
      std::string nowhere;
      auto event = conversation_.next(input_, consumed, message_ ? *message_ : nowhere);
      require(consumed <= input_.size());
      input_.erase(0, consumed);
      if (!conversation_.in_transaction()) message_.reset();
      if (std::holds_alternative<NeedInput>(event)) {
        require(input_.size() < mail::kMaxCommandLine);  // memory stays bounded
        return;
      }
      idle = consumed > 0 ? 0 : idle + 1;
      require(idle < 4);  // every event but the end of a chunk or of data uses octets
      handle(event);
      require(closed_ || conversation_.in_transaction() == message_.has_value());
    }
  }
  const std::string& said() const { return said_; }

 private:
  mail::Reply answer() {
    ++asked_;
    switch ((mood_ >> 4U) + asked_ * (mood_ & 1U)) {
      case 3:
        return {451, {4, 3, 0}, "later"};
      case 5:
        return {550, {5, 1, 1}, "no"};
      case 7:
        return {421, {4, 7, 0}, "go"};
      default:
        return {250, {2, 0, 0}, "OK"};
    }
  }
  void say(const Say& say) {
    const auto wire = say.reply.to_wire();
    require(wire.size() >= 6 && wire.ends_with("\r\n"));
    require(say.reply.code >= 200 && say.reply.code < 560);
    require(say.reply.code != 421 || say.close);
    said_ += wire;
    closed_ = say.close;
    if (closed_) message_.reset();
  }
  void handle(Event& event) {
    if (auto* reply = std::get_if<Say>(&event)) return say(*reply);
    if (std::holds_alternative<StartTls>(event)) {
      require(input_.empty());
      return conversation_.on_tls_started();
    }
    if (std::holds_alternative<Mail>(event)) {
      require(!message_);
      const auto reply = answer();
      if (reply.positive()) message_.emplace();
      return say(conversation_.on_mail(reply, "id-1"));
    }
    if (std::holds_alternative<Rcpt>(event)) {
      require(message_.has_value());
      return say(conversation_.on_rcpt(answer()));
    }
    if (std::holds_alternative<Begin>(event)) {
      require(message_.has_value() && conversation_.dialogue().accepted_recipients() > 0);
      const auto reply = answer();
      auto words = conversation_.begin(reply.positive() ? std::nullopt : std::optional(reply));
      if (!conversation_.in_transaction()) message_.reset();
      if (words) say(*words);
      return;
    }
    if (std::holds_alternative<EndOfData>(event)) {
      require(message_.has_value());
      check_content(*message_);
      message_.reset();
      return say(conversation_.end(answer()));
    }
  }
  static void check_content(std::string_view content) {
    require(content.size() <= kSettings.message_size);
    for (std::size_t i = 0; i < content.size(); ++i) {
      require(content[i] != '\0');
      require(content[i] != '\n' || (i > 0 && content[i - 1] == '\r'));
      require(content[i] != '\r' || (i + 1 < content.size() && content[i + 1] == '\n'));
    }
  }

  std::uint8_t mood_;
  Conversation conversation_{kSettings, "id", TlsOffer::starttls};
  std::optional<std::string> message_;
  std::string input_, said_;
  unsigned asked_ = 0;
  bool closed_ = false;
};

// EHLO, DATA and STARTTLS look at what is behind them in the buffer, so there slicing matters, and is meant to.
bool looks_behind(std::string_view said) {
  return said.find("pipelining id") != std::string_view::npos;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const auto mood = data[0];
  const std::string_view input(reinterpret_cast<const char*>(data + 1), size - 1);
  // A binary PROXY header is known only when it comes in one piece: its first line is an empty command.
  if (input.starts_with("\r\n\r\n")) return 0;
  // Line by line, as a patient client sends; then octet by octet.
  World lines(mood), octets(mood);
  for (std::size_t begin = 0; begin < input.size();) {
    const auto newline = input.find('\n', begin);
    const auto end = newline == std::string_view::npos ? input.size() : newline + 1;
    lines.take(input.substr(begin, end - begin));
    begin = end;
  }
  for (const char& c : input) octets.take(std::string_view(&c, 1));
  require(lines.said() == octets.said() || looks_behind(lines.said()));
  World whole(mood);
  whole.take(input);
  require(whole.said() == lines.said() || looks_behind(whole.said()));
  return 0;
}
