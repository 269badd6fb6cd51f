// links: mail
// Whatever a server says: one reply or an error, alike in every slicing; and what we print of it, or of any text, is
// exactly one reply with our code (UP-01..UP-03, UP-06).
#include <cstddef>
#include <cstdint>

#include "core/text.hpp"
#include "mail/reply.hpp"

namespace {

void check(bool good) {
  if (!good) __builtin_trap();
}

void check_printed(const mail::Reply& reply) {
  const auto wire = reply.to_wire();
  std::size_t used = 0, lines = 0, start = 0;
  mail::ReplyParser parser;
  const auto back = parser.feed(wire, used);
  check(back.has_value() && back->has_value() && used == wire.size());
  check((*back)->code == reply.code);
  if (reply.enhanced && reply.code / 100 != 3) check((*back)->enhanced.klass == reply.code / 100);
  for (auto end = wire.find("\r\n"); end != std::string::npos; end = wire.find("\r\n", start)) {
    const auto line = wire.substr(start, end - start);
    check(line.size() + 2 <= 512 && core::printable(line) == line);
    start = end + 2;
    ++lines;
  }
  check(start == wire.size() && lines >= 1 && lines <= 20);
  const auto log = reply.to_log();
  check(core::printable(log) == log);
}

struct Run {
  bool error = false;
  std::vector<mail::Reply> replies;
  friend bool operator==(const Run&, const Run&) = default;
};

Run run(std::string_view text, std::size_t slice) {
  Run result;
  mail::ReplyParser parser;
  while (!text.empty()) {
    std::size_t used = 0;
    auto reply = parser.feed(text.substr(0, slice), used);
    if (!reply.has_value()) {
      result.error = true;
      return result;
    }
    check(used > 0);
    text.remove_prefix(used);
    if (*reply) result.replies.push_back(**reply);
  }
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto whole = run(text, text.size());
  check(run(text, 1) == whole && run(text, 7) == whole);
  for (const auto& reply : whole.replies) {
    check(reply.code >= 200 && reply.code <= 599 && !reply.lines.empty());
    check(!reply.enhanced || reply.enhanced.klass == reply.code / 100);
    check(reply.lines.size() <= mail::ReplyParser::kMaxKeptLines);
    check_printed(reply);
  }
  if (size < 3) return 0;
  // The same octets as text of our own replies.
  mail::Reply reply(200 + (data[0] | (data[1] << 8)) % 400, {data[2], 1, 2}, "");
  reply.lines.clear();
  for (const auto line : core::split(text.substr(3), '\n')) reply.lines.emplace_back(line);
  check_printed(reply);
  check_printed(mail::make_refusal(550, {5, 7, 1}, text, "dmarc", "id"));
  if (const auto code = mail::parse_enhanced_code(text); code) check(text.starts_with(code->to_string().substr(0, 2)));
  return 0;
}
