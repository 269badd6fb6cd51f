// SMTP commands: one line in, one value out (RFC 5321 §4.1, with the parameters of the extensions offered). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "mail/address.hpp"
#include "mail/reply.hpp"

namespace mail {

// RFC 5321 §4.5.3.1.4 asks for 512; longer parameters (ORCPT, ENVID, SMTPUTF8) need more (threats RS-04).
inline constexpr std::size_t kMaxCommandLine = 2048;

enum class Body { unspecified, seven_bit, eight_bit };

// RFC 3461 §4.1, as a set of bits.
struct Notify {
  bool given = false, never = false, success = false, failure = false, delay = false;
  friend bool operator==(const Notify&, const Notify&) = default;
};

struct HeloCommand {
  std::string domain;     // as given: a name, a literal, or whatever lax clients send, in printable ASCII (SM-14)
  bool extended = false;  // EHLO
};
struct MailCommand {
  ReversePath from;
  std::optional<std::uint64_t> size;                                     // RFC 1870
  Body body = Body::unspecified;                                         // RFC 6152
  bool smtputf8 = false;                                                 // RFC 6531
  bool requiretls = false;                                               // RFC 8689
  enum class Ret { unspecified, full, headers } ret = Ret::unspecified;  // RFC 3461
  std::string envid;                                                     // decoded from xtext
};
struct RcptCommand {
  ForwardPath to;
  Notify notify;
  std::string orcpt_type, orcpt;  // decoded from xtext / utf-8-addr-xtext
};
struct DataCommand {};
struct BdatCommand {
  std::uint64_t size = 0;  // octets, at most 2^63-1
  bool last = false;
};
struct RsetCommand {};
struct NoopCommand {};
struct QuitCommand {};
struct StartTlsCommand {};
struct VrfyCommand {
  std::string argument;
};
struct HelpCommand {};
// EXPN, ETRN, TURN, SEND, ...: known, not implemented (502 5.5.1).
struct UnimplementedCommand {
  std::string verb;
};

using Command = std::variant<HeloCommand, MailCommand, RcptCommand, DataCommand, BdatCommand, RsetCommand, NoopCommand,
                             QuitCommand, StartTlsCommand, VrfyCommand, HelpCommand, UnimplementedCommand>;

// Why a line is no command we take: the reply to give, and whether the connection must end (HTTP, TLS: SM-13).
struct CommandError {
  Reply reply;
  bool close = false;
};

struct CommandContext {
  bool extended = false;  // EHLO was said: parameters may come; RET, ENVID, NOTIFY and ORCPT whether offered or not
  bool offered_requiretls = false;
  bool smtputf8 = false;  // the open transaction's MAIL said SMTPUTF8: RCPT may hold UTF-8 (RFC 6531 §3.4)
};

// `line` without its line end. Unknown verbs give 500 5.5.2; bad syntax 501 5.5.4 (5.1.7 / 5.1.3 for addresses);
// unknown or unoffered parameters 555 5.5.4; 8-bit octets without SMTPUTF8 553 5.6.7 (RFC 6531 §3.5); NUL, CR or LF
// 500 5.5.2; HTTP, TLS and header lines 554 5.5.1 with close (SM-13). SIZE of more than 64 bits is UINT64_MAX.
std::variant<Command, CommandError> parse_command(std::string_view line, const CommandContext& context);

// RFC 3461 §4: "+2B" for "+", and so on. Decoding gives any octet back, controls included: who uses it must look.
std::string encode_xtext(std::string_view text);
core::Result<std::string> decode_xtext(std::string_view text);

// utf-8-addr-xtext of RFC 6533 §3: ASCII, with "\x{1F600}" for all that may not stand as it is. Empty for what is no
// UTF-8.
std::string encode_utf8_address(std::string_view address);

// What stands behind "ORCPT=": "rfc822;Bob+2Bx@example.com", or "utf-8;" with the escapes of RFC 6533 §3 (in ASCII, so
// that it may be said with and without SMTPUTF8). Empty when there is no type or when it would be longer than the 500
// octets of RFC 3461 §4.2: then it is better left out.
std::string encode_orcpt(std::string_view type, std::string_view address);
// What stands behind "NOTIFY=": "NEVER", "SUCCESS,DELAY"; empty when nothing was given.
std::string to_string(const Notify& notify);

}  // namespace mail
