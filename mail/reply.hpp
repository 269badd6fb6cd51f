// SMTP replies: made here, parsed here, cleansed here (RFC 5321 §4.2, RFC 2034, RFC 3463). This is the only place that
// turns a reply into bytes, so that no peer's text reaches a wire or a log as it came (threats UP-01..UP-06). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"

namespace mail {

// RFC 3463: class.subject.detail; {0,0,0}: none.
struct EnhancedCode {
  std::uint16_t klass = 0, subject = 0, detail = 0;
  explicit operator bool() const { return klass != 0; }
  std::string to_string() const;  // "5.7.1"
  friend bool operator==(const EnhancedCode&, const EnhancedCode&) = default;
};
// Parses "5.7.1" at the start of `text` followed by a blank or the end; subject and detail 0..999, at most 3 digits.
std::optional<EnhancedCode> parse_enhanced_code(std::string_view text);

struct Reply {
  int code = 0;  // 200..599
  EnhancedCode enhanced;
  std::vector<std::string> lines;  // text without code and enhanced code; at least one when printed (may be empty)

  Reply() = default;
  Reply(int c, EnhancedCode e, std::string text) : code(c), enhanced(e) { lines.push_back(std::move(text)); }

  bool positive() const { return code >= 200 && code < 300; }
  bool intermediate() const { return code >= 300 && code < 400; }
  bool transient() const { return code >= 400 && code < 500; }
  bool permanent() const { return code >= 500 && code < 600; }

  // The octets for the wire: every line with our code (and enhanced code where there is one), CRLF at each end; text
  // printable ASCII only (others '?'), a line at most 512 octets all told (RFC 5321 §4.5.3.1.5), at most 20 lines.
  std::string to_wire() const;
  // One line for logs: "550 5.1.1 text / text".
  std::string to_log() const;
  friend bool operator==(const Reply&, const Reply&) = default;
};

// A refusal of our own: `text [reason id]` (interface.md §4). mail/reasons.hpp has `reason` with these codes.
Reply make_refusal(int code, EnhancedCode enhanced, std::string_view text, std::string_view reason,
                   std::string_view id);

// Parses a server's reply from a byte stream. CRLF ends lines, nothing else does; a bare CR or LF, a bad code, codes
// that differ between lines, or more than 64 KiB are Errc::protocol and the connection is of no more use (UP-02,
// UP-03). Of long replies 4 KiB of text and the first 20 lines are kept. The enhanced code is taken from the first line
// that has one whose class fits the code; where none fits it is X.0.0 (UP-06).
class ReplyParser {
 public:
  static constexpr std::size_t kMaxOctets = 65536;
  static constexpr std::size_t kMaxKeptText = 4096;
  static constexpr std::size_t kMaxKeptLines = 20;

  // Consumes octets of `input` up to the end of one reply at most; `consumed` says how many. An empty optional: more
  // input is needed. After an error the parser stays in error. After a reply it starts anew.
  core::Result<std::optional<Reply>> feed(std::string_view input, std::size_t& consumed);
  void reset();

  // With keep_all_lines, up to 64 keyword lines of an EHLO reply are kept whole instead of 20 (UP-12).
  void keep_lines(std::size_t most) { max_lines_ = most; }
  // Text octets kept; EHLO replies want more than refusals do.
  void keep_text(std::size_t most) { max_text_ = most; }

 private:
  core::Result<std::optional<Reply>> line_done();
  std::string line_;
  Reply reply_;
  std::size_t octets_ = 0, text_ = 0, max_lines_ = kMaxKeptLines, max_text_ = kMaxKeptText;
  bool cr_ = false, failed_ = false;
};

}  // namespace mail
