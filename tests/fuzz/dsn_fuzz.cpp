// links: queue
// A DSN of any values: CRLF line ends of at most 998 octets, a header that parses, three parts between boundaries that
// stand nowhere else, one block a recipient, 8-bit octets only where they are announced, and nothing hidden shown.
// Input: texts, each behind an octet of its length, taken in turn; the rest is the original message.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/text.hpp"
#include "mail/header.hpp"
#include "queue/dsn.hpp"

namespace {

void check(bool good) {
  if (!good) __builtin_trap();
}

constexpr std::string_view kHidden = "HiddenDestinationThatNobodyMaySee";

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}
  unsigned octet() {
    if (rest_.empty()) return 0;
    const auto value = static_cast<unsigned char>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }
  std::string text() {
    const auto size = std::min<std::size_t>(octet(), rest_.size());
    const std::string value(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return value;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

queue::DsnRecipient recipient(Input& input) {
  queue::DsnRecipient made;
  const auto options = input.octet();
  made.action = static_cast<queue::DsnAction>(options & 3);
  made.cause = static_cast<queue::DsnCause>((options >> 2 & 3) % 3);
  made.from_peer = (options & 16) != 0;
  made.status = {static_cast<std::uint16_t>(input.octet() % 6), static_cast<std::uint16_t>(input.octet() % 8),
                 static_cast<std::uint16_t>(input.octet())};
  made.address = input.text();
  if ((options & 32) != 0) {
    made.orcpt_type = input.text();
    made.orcpt = input.text();
  }
  if ((options & 64) != 0) {
    made.reply = mail::Reply(550, made.status, input.text());
    made.reply->lines.push_back(input.text());
  }
  if ((options & 128) != 0) made.last_attempt = made.retry_until = core::Wall::time_point(core::Seconds(1'800'000'000));
  made.revealed = queue::DsnRevealed{std::string(kHidden) + "@x", std::string(kHidden)};
  return made;
}

std::size_t count(std::string_view text, std::string_view what) {
  std::size_t found = 0;
  for (auto at = text.find(what); at != std::string_view::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

void check_lines(std::string_view content, bool utf8_header, bool eight_bit) {
  bool header = true;
  while (!content.empty()) {
    const auto end = content.find_first_of(std::string_view("\r\n\0", 3));
    check(end != std::string_view::npos && end <= 998 && content.substr(end).starts_with("\r\n"));
    header = header && end > 0;
    if (core::has_8bit(content.substr(0, end))) check(header ? utf8_header : eight_bit);
    content.remove_prefix(end + 2);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const auto options = input.octet();
  queue::DsnReport report;
  report.hostname = "mx.example";
  report.sender.mailbox = {(options & 1) != 0 ? "\xc3\xa9" : "a", "b.example"};
  report.ret = static_cast<mail::MailCommand::Ret>((options >> 1 & 3) % 3);
  report.detail = (options & 8) != 0 ? queue::DsnDetail::code_only : queue::DsnDetail::masked;
  report.envid = input.text();
  report.trace = input.text();
  report.unique = input.text();
  report.help_url = input.text();
  report.arrival = report.now = core::Wall::time_point(core::Seconds(1'800'000'000));
  for (auto left = 1 + (options >> 4 & 3); left > 0; --left) report.recipients.push_back(recipient(input));
  const auto original = input.rest();
  const auto cut = original.find("\r\n\r\n");
  report.header = original.substr(0, cut == std::string_view::npos ? cut : cut + 2);
  if (cut != std::string_view::npos) report.body = original.substr(cut + 4);
  report.size = report.header.size() + 2 + report.body.size();

  const auto dsn = queue::make_dsn(report);
  const std::string_view content = dsn.content;
  check(dsn.smtputf8 == ((options & 1) != 0));
  // A body that is returned whole and has no line end gets the boundary's: still whole lines.
  check_lines(content, dsn.smtputf8, dsn.eight_bit);
  const auto header_end = content.find("\r\n\r\n");
  const auto headers = mail::Headers::parse(content.substr(0, header_end + 2));
  check(headers.has_value() && headers->count("Content-Type") == 1 && headers->count("To") == 1);
  const auto type = mail::unfold(headers->first("Content-Type")->value());
  const auto quote = type.find('"');
  const auto mark = "--" + type.substr(quote + 1, type.size() - quote - 2);
  check(count(content, mark) == 4 && content.ends_with("\r\n" + mark + "--\r\n"));
  const auto status = content.find(mark, content.find(mark) + 1);
  const auto status_end = content.find(mark, status + 1);
  check(count(content.substr(status, status_end - status), "\r\nFinal-Recipient: ") == report.recipients.size());
  check(count(content.substr(status, status_end - status), "\r\nAction: ") == report.recipients.size());
  const std::string_view whole(reinterpret_cast<const char*>(data), size);
  if (whole.find(kHidden) == std::string_view::npos) check(content.find(kHidden) == std::string_view::npos);
  return 0;
}
