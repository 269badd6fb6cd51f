#include "smtpd/line_reader.hpp"

#include "mail/command.hpp"

namespace smtpd {
namespace {

constexpr std::string_view kProxyV1 = "PROXY ";
constexpr std::string_view kProxyV2("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::string_view kTlsHandshake("\x16\x03", 2);

}  // namespace

Line LineReader::next(std::string_view input) {
  if (discarding_) return discard(input);
  if (input.starts_with(kTlsHandshake)) return {Line::Kind::tls, {}, input.size()};
  if (first_ && (input.starts_with(kProxyV1) || input.starts_with(kProxyV2))) {
    return {Line::Kind::proxy, {}, input.size()};
  }
  const auto window = input.substr(0, mail::kMaxCommandLine);
  const auto end = window.find_first_of("\r\n");
  // A CR at the end of what has come may still get its LF.
  const auto after = end == std::string_view::npos ? end
                     : window[end] == '\n'         ? end
                                                   : window.find_first_not_of('\r', end);
  if (after == std::string_view::npos) {
    if (input.size() < mail::kMaxCommandLine) return {};
    discarding_ = true;
    return discard(input);
  }
  first_ = false;
  const auto text = window.substr(0, end);
  if (window[after] != '\n') return {Line::Kind::bare_end, text, after};  // CR and then something else
  // RFC 5321 §2.3.8: exactly CR LF.
  return {after == end + 1 ? Line::Kind::good : Line::Kind::bare_end, text, after + 1};
}

Line LineReader::discard(std::string_view input) {
  const auto newline = input.find('\n');
  const auto count = newline == std::string_view::npos ? input.size() : newline + 1;
  discarded_ += count;
  const bool done = newline != std::string_view::npos || discarded_ >= kMaxDiscard;
  return {done ? Line::Kind::too_long : Line::Kind::more, {}, count};
}

}  // namespace smtpd
