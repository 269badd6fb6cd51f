// What the framing of message data means, written as plainly as possible over whole strings: the second opinion that
// the codec's tests and fuzzer compare with. Shares no code with the codec.
#pragma once

#include <string>
#include <string_view>

#include "mail/data_codec.hpp"

namespace naive {

struct Fault {
  mail::DataFault kind = mail::DataFault::none;
  std::size_t at = std::string::npos;
};

// The first bare CR, bare LF or NUL; a CR at the very end is bare.
inline Fault first_fault(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\0') return {mail::DataFault::nul, i};
    if (text[i] == '\r' && (i + 1 == text.size() || text[i + 1] != '\n')) return {mail::DataFault::bare_cr, i};
    if (text[i] == '\n' && (i == 0 || text[i - 1] != '\r')) return {mail::DataFault::bare_lf, i};
  }
  return {};
}

struct Decoded {
  bool done = false;
  std::size_t consumed = 0;
  mail::DataFault fault = mail::DataFault::none;
  bool false_end = false;
  std::string content;
};

// Only meaningful when done: what an unfinished message means may still change.
inline Decoded decode(std::string_view wire) {
  Decoded result;
  const std::string text = "\r\n" + std::string(wire);
  const auto end = text.find("\r\n.\r\n");
  if (end == std::string::npos) return result;
  result.done = true;
  result.consumed = end + 3;
  const std::string body(wire.substr(0, end));

  const auto fault = first_fault(body);
  result.fault = fault.kind;
  std::string before = "\r\n" + body.substr(0, fault.at);
  for (std::size_t at = 0; (at = before.find("\r\n.", at)) != std::string::npos; at += 2) before.erase(at + 2, 1);
  result.content = before.substr(2);

  std::string lax = "\r\n";
  for (const char c : body) {
    if (c != '\0') lax += c;
  }
  for (std::size_t i = 0; i + 2 < lax.size(); ++i) {
    const auto is_end = [](char c) { return c == '\r' || c == '\n'; };
    if (is_end(lax[i]) && lax[i + 1] == '.' && is_end(lax[i + 2])) result.false_end = true;
  }
  return result;
}

}  // namespace naive
