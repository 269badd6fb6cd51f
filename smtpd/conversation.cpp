#include "smtpd/conversation.hpp"

#include <algorithm>
#include <utility>

#include "core/text.hpp"

namespace smtpd {

using mail::DataFault;
using mail::Reply;

namespace {

// Which octet of `slice` is the first fault; there is one. Only commands behind it are smuggled ones, and that must not
// depend on how the octets were sliced (SM-02).
std::size_t fault_position(mail::DataDecoder decoder, std::string_view slice) {
  std::string nowhere;
  for (std::size_t i = 0; i < slice.size(); ++i) {
    decoder.feed(slice.substr(i, 1), nowhere);
    if (decoder.fault() != DataFault::none) return i;
    nowhere.clear();
  }
  return slice.size();
}

}  // namespace

void CommandScent::feed(std::string_view input) {
  constexpr std::string_view kCommand = "mail from";
  constexpr auto kMidLine = std::string_view::npos;
  if (found_) return;
  for (const char c : input) {
    if (c == '\r' || c == '\n') {
      matched_ = 0;
    } else if (matched_ == kMidLine) {
      continue;
    } else if (core::to_lower(c) != kCommand[matched_]) {
      matched_ = kMidLine;
    } else if (++matched_ == kCommand.size()) {
      found_ = true;
      return;
    }
  }
}

Event Conversation::next(std::string_view input, std::size_t& consumed, std::string& content) {
  consumed = 0;
  switch (mode_) {
    case Mode::data:
      return next_data(input, consumed, content);
    case Mode::chunk:
      return next_chunk(input, consumed, content);
    case Mode::command:
      break;
  }
  return next_command(input, consumed);
}

Event Conversation::next_command(std::string_view input, std::size_t& consumed) {
  const auto line = lines_.next(input);
  consumed = line.consumed;
  switch (line.kind) {
    case Line::Kind::more:
      return NeedInput{};
    case Line::Kind::bare_end:
      return dialogue_.bare_line_end();
    case Line::Kind::too_long:
      return dialogue_.line_too_long();
    case Line::Kind::tls:
      return dialogue_.not_smtp();
    case Line::Kind::proxy:
      return dialogue_.unexpected_proxy();
    case Line::Kind::good:
      break;
  }
  auto step = dialogue_.feed(line.text, input.size() > consumed ? Behind::octets : Behind::nothing);
  if (auto* say = std::get_if<Say>(&step)) return std::move(*say);
  if (auto* start_tls = std::get_if<StartTls>(&step)) return std::move(*start_tls);
  if (auto* mail = std::get_if<Mail>(&step)) return std::move(*mail);
  if (auto* rcpt = std::get_if<Rcpt>(&step)) return std::move(*rcpt);
  if (auto* chunk = std::get_if<Bdat>(&step)) return start_chunk(*chunk);
  mode_ = Mode::data;
  decoder_ = {};
  scent_ = {};
  size_ = 0;
  return Begin{};
}

// RFC 3030 §2. A chunk that cannot be used is swallowed before it is answered, or its octets would be read as commands;
// but nobody may make us swallow more than a message (RS-07, SM-10).
Event Conversation::start_chunk(Bdat chunk) {
  const bool usable = dialogue_.in_transaction() && dialogue_.accepted_recipients() > 0;
  const bool first = !dialogue_.in_chunks();
  if (first) {
    size_ = 0;
    checker_ = {};
  }
  const auto limit = settings_.message_size;
  mode_ = Mode::chunk;
  chunk_left_ = chunk_size_ = chunk.size;
  chunk_last_ = chunk.last;
  if (!usable) {
    doom(dialogue_.in_transaction()
             ? mail::make_refusal(554, {5, 5, 1}, "No valid recipients", "no-recipients", dialogue_.id())
             : mail::make_refusal(503, {5, 5, 1}, "MAIL and RCPT come before BDAT", "bad-sequence", dialogue_.id()));
    if (chunk.size <= limit) return Content{};
    return finish_and_close(std::move(*doom_));
  }
  if (chunk.size > limit && chunk.size - limit > limit - size_) return finish_and_close(too_big());  // above 2 x
  if (chunk.size > limit - size_) doom(too_big());
  if (!first || doom_) return Content{};
  dialogue_.on_chunks_started();
  return Begin{};
}

std::optional<Say> Conversation::begin(std::optional<Reply> refusal) {
  if (mode_ == Mode::chunk) {
    if (refusal) doom(std::move(*refusal));
    return std::nullopt;
  }
  if (!refusal) return Say{dialogue_.on_data_started()};
  return finish(std::move(*refusal), Cause::none);
}

Event Conversation::next_data(std::string_view input, std::size_t& consumed, std::string& content) {
  if (!decoder_.done()) {
    if (input.empty()) return NeedInput{};
    const auto slice = input.substr(0, kSlice);
    std::string dropped;
    auto& out = doom_ ? dropped : content;
    const auto before = out.size();
    const auto decoder_before = decoder_;
    consumed = decoder_.feed(slice, out);
    size_ += out.size() - before;
    if (decoder_.fault() != DataFault::none) {
      const auto used = slice.substr(0, consumed);
      scent_.feed(used.substr(bad_framing_ ? 0 : fault_position(decoder_before, used)));
    }
    judge(decoder_.fault());
    // RS-07: twice the limit has been read, and no end in sight.
    if (!decoder_.done() && decoder_.octets() / 2 > settings_.message_size) return finish_and_close(too_big());
    return Content{};
  }
  // SM-01: the true end has come; only now may we speak. A false end that commands follow: the client (or whoever
  // stands behind it) is attacking, nothing more is taken from this connection.
  if (decoder_.fault() != DataFault::none && scent_.found()) {
    return finish_and_close(
        mail::make_refusal(550, {5, 6, 0}, "Bare CR, bare LF or NUL, and commands behind it: smuggling", "smuggling",
                           dialogue_.message_id()),
        Cause::smuggling);
  }
  if (doom_) return finish(std::move(*doom_), Cause::message);
  return EndOfData{};
}

Event Conversation::next_chunk(std::string_view input, std::size_t& consumed, std::string& content) {
  if (chunk_left_ > 0) {
    if (input.empty()) return NeedInput{};
    const auto slice = input.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(chunk_left_, kSlice)));
    consumed = slice.size();
    chunk_left_ -= slice.size();
    if (doom_) return Content{};
    checker_.feed(slice);
    size_ += slice.size();
    if (checker_.fault() == DataFault::none) content.append(slice);
    return Content{};
  }
  if (chunk_last_) checker_.finish();
  // SM-04: a fault is told at LAST.
  if (!doom_ && !chunk_last_) {
    mode_ = Mode::command;
    return dialogue_.on_chunk(chunk_size_);
  }
  if (!doom_) judge(checker_.fault());
  if (doom_) return finish(std::move(*doom_), Cause::message);
  return EndOfData{};
}

void Conversation::judge(DataFault fault) {
  if (fault != DataFault::none && !bad_framing_) {
    bad_framing_ = true;
    doom(mail::make_refusal(550, {5, 6, 0}, "Message contains a bare CR, a bare LF or a NUL", "bad-message",
                            dialogue_.message_id()));
  } else if (!doom_ && size_ > settings_.message_size) {
    doom(too_big());
  }
}

void Conversation::doom(Reply reply) {
  doom_ = std::move(reply);
  dialogue_.drop_transaction();
}

Say Conversation::end(Reply reply) {
  return finish(std::move(reply), Cause::none);
}

Say Conversation::finish(Reply reply, Cause cause) {
  mode_ = Mode::command;
  bad_framing_ = false;
  doom_.reset();
  return dialogue_.on_transaction_end(std::move(reply), cause);
}

Say Conversation::finish_and_close(Reply reply, Cause cause) {
  auto say = finish(std::move(reply), cause);
  say.close = true;
  return say;
}

Reply Conversation::too_big() const {
  return mail::make_refusal(552, {5, 3, 4},
                            "Message too big, the limit is " + std::to_string(settings_.message_size) + " octets",
                            "too-big", dialogue_.message_id());
}

}  // namespace smtpd
