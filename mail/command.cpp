// One command line at a time: a table of verbs, then one small parser for each that has arguments. What is refused
// here never reaches a session's state, so every limit of an argument is checked here too (threats RL-02, RL-06,
// SM-10).
#include "mail/command.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>
#include <vector>

#include "core/text.hpp"
#include "mail/utf8.hpp"

namespace mail {
namespace {

using Parsed = std::variant<Command, CommandError>;

constexpr std::size_t kMaxSizeDigits = 20;  // RFC 1870 §4
constexpr std::size_t kMaxEnvid = 100;      // RFC 3461 §4.4, encoded
constexpr std::size_t kMaxOrcpt = 500;      // RFC 3461 §4.2, encoded

CommandError fail(int code, EnhancedCode enhanced, const char* text) {
  return {Reply(code, enhanced, text), false};
}
CommandError fail_and_close(const char* text) {
  return {Reply(554, {5, 5, 1}, text), true};
}
CommandError bad_syntax(const char* text) {
  return fail(501, {5, 5, 4}, text);
}
CommandError bad_parameter(const char* text) {
  return fail(555, {5, 5, 4}, text);
}
CommandError not_utf8() {
  return fail(553, {5, 6, 7}, "Non-ASCII octets need SMTPUTF8");
}

constexpr bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

// The first word of `text`, taken off it together with the blanks around it.
std::string_view take_word(std::string_view& text) {
  text = core::trim(text);
  const auto end = text.find_first_of(" \t");
  const auto word = text.substr(0, end);
  text.remove_prefix(word.size());
  text = core::trim(text);
  return word;
}

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

// --- parameters of MAIL and RCPT (RFC 5321 §4.1.2: esmtp-param) ---

struct Parameter {
  std::string_view keyword;
  std::optional<std::string_view> value;
};

std::optional<Parameter> split_parameter(std::string_view word) {
  const auto equals = word.find('=');
  Parameter parameter{word.substr(0, equals), std::nullopt};
  const auto keyword = parameter.keyword;
  if (keyword.empty() || !core::is_alnum(keyword.front())) return std::nullopt;
  if (!std::all_of(keyword.begin(), keyword.end(), [](char c) { return core::is_alnum(c) || c == '-'; })) {
    return std::nullopt;
  }
  if (equals != std::string_view::npos) {
    const auto value = word.substr(equals + 1);
    // esmtp-value: no "=", no blank, no control, not empty; UTF-8 by RFC 6531 §3.3.
    if (value.empty() || value.find('=') != std::string_view::npos || !is_plain_utf8(value)) return std::nullopt;
    parameter.value = value;
  }
  return parameter;
}

std::optional<std::uint64_t> parse_size(std::string_view digits) {
  if (digits.empty() || digits.size() > kMaxSizeDigits || !std::all_of(digits.begin(), digits.end(), core::is_digit)) {
    return std::nullopt;
  }
  return core::parse_number(digits).value_or(std::numeric_limits<std::uint64_t>::max());
}

bool parse_notify(std::string_view value, Notify& notify) {
  notify = {};
  notify.given = true;
  for (const auto word : core::split(value, ',')) {
    if (core::iequals(word, "NEVER")) {
      notify.never = true;
    } else if (core::iequals(word, "SUCCESS")) {
      notify.success = true;
    } else if (core::iequals(word, "FAILURE")) {
      notify.failure = true;
    } else if (core::iequals(word, "DELAY")) {
      notify.delay = true;
    } else {
      return false;
    }
  }
  return !notify.never || (!notify.success && !notify.failure && !notify.delay);  // RFC 3461 §4.1
}

constexpr int hex_value(char c) {
  if (core::is_digit(c)) return c - '0';
  const char low = core::to_lower(c);
  return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

void append_utf8(std::string& out, char32_t c) {
  const auto put = [&out](char32_t octet) { out += static_cast<char>(static_cast<unsigned char>(octet)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xc0 | (c >> 6));
    put(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    put(0xe0 | (c >> 12));
    put(0x80 | ((c >> 6) & 0x3f));
    put(0x80 | (c & 0x3f));
  } else {
    put(0xf0 | (c >> 18));
    put(0x80 | ((c >> 12) & 0x3f));
    put(0x80 | ((c >> 6) & 0x3f));
    put(0x80 | (c & 0x3f));
  }
}

// RFC 6533 §3: utf-8-addr-xtext and utf-8-addr-unitext: "\x{1F600}" stands for a code point.
core::Result<std::string> decode_utf8_address(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    if (text.front() != '\\') {
      out += text.front();
      text.remove_prefix(1);
      continue;
    }
    const auto end = text.find('}');
    if (!text.starts_with("\\x{") || end == std::string_view::npos || end < 5 || end > 9) return core::Errc::malformed;
    char32_t value = 0;
    for (const char c : text.substr(3, end - 3)) {
      const int digit = hex_value(c);
      if (digit < 0) return core::Errc::malformed;
      value = value * 16 + static_cast<char32_t>(digit);
    }
    if (value > 0x10ffff) return core::Errc::malformed;
    append_utf8(out, value);  // a surrogate is found below
    text.remove_prefix(end + 1);
  }
  if (!is_plain_utf8(out)) return core::Errc::malformed;
  return out;
}

bool parse_envid(std::string_view value, std::string& envid) {
  auto decoded = decode_xtext(value);
  if (value.size() > kMaxEnvid || !decoded || !is_printable(*decoded)) return false;
  envid = std::move(*decoded);
  return true;
}

bool parse_orcpt(std::string_view value, RcptCommand& command) {
  const auto semicolon = value.find(';');
  if (value.size() > kMaxOrcpt || semicolon == std::string_view::npos) return false;
  const auto type = value.substr(0, semicolon);
  const auto address = value.substr(semicolon + 1);
  if (type.empty() || address.empty()) return false;
  if (!std::all_of(type.begin(), type.end(), [](char c) { return core::is_alnum(c) || c == '-'; })) return false;
  const bool utf8 = core::iequals(type, "utf-8");
  auto decoded = utf8 ? decode_utf8_address(address) : decode_xtext(address);
  if (!decoded || (!utf8 && !is_printable(*decoded))) return false;
  command.orcpt_type = type;
  command.orcpt = std::move(*decoded);
  return true;
}

using Failure = std::optional<CommandError>;

Failure apply(const Parameter& p, MailCommand& command, const CommandContext& context) {
  if (core::iequals(p.keyword, "SIZE")) {
    if (p.value) command.size = parse_size(*p.value);
    if (!command.size) return bad_syntax("Bad SIZE value");
  } else if (core::iequals(p.keyword, "BODY")) {
    if (p.value && core::iequals(*p.value, "7BIT")) {
      command.body = Body::seven_bit;
    } else if (p.value && core::iequals(*p.value, "8BITMIME")) {
      command.body = Body::eight_bit;
    } else if (p.value && core::iequals(*p.value, "BINARYMIME")) {
      return bad_parameter("BINARYMIME is not offered");  // interface.md §6.23
    } else {
      return bad_syntax("Bad BODY value");
    }
  } else if (core::iequals(p.keyword, "SMTPUTF8")) {
    if (p.value) return bad_syntax("SMTPUTF8 takes no value");
    command.smtputf8 = true;
  } else if (core::iequals(p.keyword, "REQUIRETLS") && context.offered_requiretls) {
    if (p.value) return bad_syntax("REQUIRETLS takes no value");
    command.requiretls = true;
  } else if (core::iequals(p.keyword, "RET")) {
    if (p.value && core::iequals(*p.value, "FULL")) {
      command.ret = MailCommand::Ret::full;
    } else if (p.value && core::iequals(*p.value, "HDRS")) {
      command.ret = MailCommand::Ret::headers;
    } else {
      return bad_syntax("Bad RET value");
    }
  } else if (core::iequals(p.keyword, "ENVID")) {
    if (!p.value || !parse_envid(*p.value, command.envid)) return bad_syntax("Bad ENVID value");
  } else {
    return bad_parameter("MAIL parameter not recognized");
  }
  return std::nullopt;
}

Failure apply(const Parameter& p, RcptCommand& command, const CommandContext&) {
  if (core::iequals(p.keyword, "NOTIFY")) {
    if (!p.value || !parse_notify(*p.value, command.notify)) return bad_syntax("Bad NOTIFY value");
  } else if (core::iequals(p.keyword, "ORCPT")) {
    if (!p.value || !parse_orcpt(*p.value, command)) return bad_syntax("Bad ORCPT value");
  } else {
    return bad_parameter("RCPT parameter not recognized");
  }
  return std::nullopt;
}

template <class C>
Failure apply_all(std::string_view text, C& command, const CommandContext& context) {
  std::vector<std::string_view> seen;
  for (text = core::trim(text); !text.empty();) {
    const auto parameter = split_parameter(take_word(text));
    if (!parameter) return bad_syntax("Bad parameter syntax");
    if (!context.extended) return bad_parameter("Parameters need EHLO");  // RFC 5321 §4.1.1.11
    for (const auto keyword : seen) {
      if (core::iequals(keyword, parameter->keyword)) return bad_syntax("Duplicate parameter");
    }
    seen.push_back(parameter->keyword);
    if (auto failure = apply(*parameter, command, context)) return failure;
  }
  return std::nullopt;
}

// --- paths ---

// How many octets the "<...>" at the start of `text` takes, its closing bracket included; 0: there is none. A ">" in a
// quoted string is no end.
std::size_t path_length(std::string_view text) {
  if (text.empty() || text.front() != '<') return 0;
  bool quoted = false;
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (quoted && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (text[i] == '>' && !quoted) {
      return i + 1;
    }
  }
  return 0;
}

struct PathAndRest {
  std::string_view path, parameters;
};

// "FROM:<...> PARAMETERS". A blank after the colon is common and harmless; nothing else is tolerated.
std::variant<PathAndRest, CommandError> split_path(std::string_view arguments, std::string_view keyword,
                                                   EnhancedCode bad_address) {
  if (!core::istarts_with(arguments, keyword)) {
    return bad_syntax(keyword == "FROM:" ? "Syntax: MAIL FROM:<address>" : "Syntax: RCPT TO:<address>");
  }
  arguments = core::trim(arguments.substr(keyword.size()));
  const auto length = path_length(arguments);
  if (length == 0 || (length < arguments.size() && !is_blank(arguments[length]))) {
    return fail(501, bad_address, "The address must stand in <>");
  }
  return PathAndRest{arguments.substr(0, length), arguments.substr(length)};
}

Parsed parse_mail(std::string_view arguments, const CommandContext& context) {
  constexpr EnhancedCode kBadSender{5, 1, 7};
  const auto split = split_path(arguments, "FROM:", kBadSender);
  if (const auto* error = std::get_if<CommandError>(&split)) return *error;
  const auto& [path, parameters] = std::get<PathAndRest>(split);
  MailCommand command;
  if (auto failure = apply_all(parameters, command, context)) return *failure;
  if (!command.smtputf8 && (core::has_8bit(path) || core::has_8bit(parameters))) return not_utf8();
  auto from = parse_reverse_path(path, command.smtputf8 ? Utf8::yes : Utf8::no);
  if (!from) return fail(501, kBadSender, "Bad sender address syntax");
  command.from = std::move(*from);
  return Command(std::move(command));
}

Parsed parse_rcpt(std::string_view arguments, const CommandContext& context) {
  constexpr EnhancedCode kBadRecipient{5, 1, 3};
  const auto split = split_path(arguments, "TO:", kBadRecipient);
  if (const auto* error = std::get_if<CommandError>(&split)) return *error;
  const auto& [path, parameters] = std::get<PathAndRest>(split);
  RcptCommand command;
  if (auto failure = apply_all(parameters, command, context)) return *failure;
  if (!context.smtputf8 && (core::has_8bit(path) || core::has_8bit(parameters))) return not_utf8();
  auto to = parse_forward_path(path, context.smtputf8 ? Utf8::yes : Utf8::no);
  if (!to) return fail(501, kBadRecipient, "Bad recipient address syntax");
  command.to = std::move(*to);
  return Command(std::move(command));
}

// --- the other commands ---

Parsed parse_helo(std::string_view arguments, bool extended) {
  if (arguments.empty()) return bad_syntax(extended ? "Syntax: EHLO hostname" : "Syntax: HELO hostname");
  // The domain of HELO and EHLO is ASCII also with SMTPUTF8 (RFC 6531 §3.7.1).
  if (!is_printable(arguments)) return bad_syntax("The host name must be printable ASCII");
  return Command(HeloCommand{std::string(arguments), extended});
}

// RFC 3030 §2: "BDAT" SP chunk-size [ SP "LAST" ].
Parsed parse_bdat(std::string_view arguments) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
  const auto size = core::parse_number(take_word(arguments));
  const bool last = core::iequals(arguments, "LAST");
  if (!size || *size > kMost || (!last && !arguments.empty())) return bad_syntax("Syntax: BDAT size [LAST]");
  return Command(BdatCommand{*size, last});
}

Parsed parse_vrfy(std::string_view arguments, const CommandContext& context) {
  // RFC 6531 §3.7.4.2: VRFY may carry SMTPUTF8 itself.
  constexpr std::string_view kKeyword = " SMTPUTF8";
  if (context.extended && core::iends_with(arguments, kKeyword)) {
    arguments = core::trim(arguments.substr(0, arguments.size() - kKeyword.size()));
    if (!is_plain_utf8(arguments)) return bad_syntax("Syntax: VRFY address");
  } else if (core::has_8bit(arguments)) {
    return not_utf8();
  } else if (!is_printable(arguments)) {
    return bad_syntax("Syntax: VRFY address");
  }
  if (arguments.empty() || arguments == "\"\"") return bad_syntax("Syntax: VRFY address");
  return Command(VrfyCommand{std::string(arguments)});
}

template <class C>
Parsed without_arguments(std::string_view arguments) {
  if (!arguments.empty()) return bad_syntax("This command takes no argument");
  return Command(C{});
}

// NOOP and HELP: the argument is free text and not used (RFC 5321 §4.1.1.8, §4.1.1.9).
template <class C>
Parsed with_free_argument(std::string_view arguments) {
  if (!is_printable(arguments)) return bad_syntax("Printable ASCII only");
  return Command(C{});
}

template <std::size_t N>
bool is_one_of(std::string_view word, const std::array<std::string_view, N>& words) {
  return std::any_of(words.begin(), words.end(), [&](auto each) { return core::iequals(word, each); });
}

constexpr std::array<std::string_view, 15> kUnimplemented{"AUTH",     "EXPN", "ETRN",  "ATRN", "TURN",
                                                          "SEND",     "SOML", "SAML",  "BURL", "XCLIENT",
                                                          "XFORWARD", "VERB", "DEBUG", "ONEX", "LHLO"};
constexpr std::array<std::string_view, 10> kHttp{"GET",   "POST",    "PUT",     "HEAD", "DELETE",
                                                 "TRACE", "CONNECT", "OPTIONS", "PRI",  "PATCH"};

// "Subject: x": the client sends a message where we take commands (its DATA was refused, or it is a web form).
bool is_header_line(std::string_view line) {
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) return false;
  const auto name = core::trim(line.substr(0, colon));
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) { return core::is_alnum(c) || c == '-'; });
}

}  // namespace

std::variant<Command, CommandError> parse_command(std::string_view line, const CommandContext& context) {
  if (line.starts_with("\x16\x03")) return fail_and_close("TLS is not spoken here before STARTTLS");  // RFC 8446 §5.1
  if (line.find_first_of(std::string_view("\0\r\n", 3)) != std::string_view::npos || line.size() > kMaxCommandLine) {
    return fail(500, {5, 5, 2}, "Syntax error");
  }
  auto arguments = line;
  const auto verb = is_blank(line.empty() ? ' ' : line.front()) ? std::string_view() : take_word(arguments);
  if (core::iequals(verb, "MAIL")) return parse_mail(arguments, context);
  if (core::iequals(verb, "RCPT")) return parse_rcpt(arguments, context);
  if (core::iequals(verb, "EHLO")) return parse_helo(arguments, true);
  if (core::iequals(verb, "HELO")) return parse_helo(arguments, false);
  if (core::iequals(verb, "BDAT")) return parse_bdat(arguments);
  if (core::iequals(verb, "DATA")) return without_arguments<DataCommand>(arguments);
  if (core::iequals(verb, "RSET")) return without_arguments<RsetCommand>(arguments);
  if (core::iequals(verb, "QUIT")) return without_arguments<QuitCommand>(arguments);
  if (core::iequals(verb, "STARTTLS")) return without_arguments<StartTlsCommand>(arguments);  // RFC 3207 §4
  if (core::iequals(verb, "NOOP")) return with_free_argument<NoopCommand>(arguments);
  if (core::iequals(verb, "HELP")) return with_free_argument<HelpCommand>(arguments);
  if (core::iequals(verb, "VRFY")) return parse_vrfy(arguments, context);
  if (is_one_of(verb, kUnimplemented)) return Command(UnimplementedCommand{std::string(verb)});
  if (is_one_of(verb, kHttp)) return fail_and_close("This is not a web server");
  if (is_header_line(line)) return fail_and_close("This is no command, but a header line");
  return fail(500, {5, 5, 2}, "Command not recognized");
}

std::string encode_xtext(std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (c > ' ' && c <= '~' && c != '+' && c != '=') {
      out += c;
      continue;
    }
    const auto octet = static_cast<unsigned char>(c);
    out += '+';
    out += kHex[octet >> 4];
    out += kHex[octet & 0xf];
  }
  return out;
}

std::string encode_utf8_address(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto point = first_code_point(text);
    if (point.length == 0) return {};
    // QCHAR.
    if (point.value > ' ' && point.value <= '~' && point.value != '+' && point.value != '=' && point.value != '\\') {
      out += text.front();
    } else {
      std::array<char, 16> escape{};
      const int size = std::snprintf(escape.data(), escape.size(), "\\x{%02X}", static_cast<unsigned>(point.value));
      out.append(escape.data(), static_cast<std::size_t>(size));
    }
    text.remove_prefix(point.length);
  }
  return out;
}

std::string encode_orcpt(std::string_view type, std::string_view address) {
  if (type.empty() || address.empty()) return {};
  const auto encoded = core::iequals(type, "utf-8") ? encode_utf8_address(address) : encode_xtext(address);
  if (encoded.empty()) return {};
  auto value = std::string(type) + ";" + encoded;
  return value.size() <= kMaxOrcpt ? value : std::string();
}

std::string to_string(const Notify& notify) {
  if (!notify.given) return {};
  std::string text;
  const auto add = [&text](bool wanted, std::string_view word) {
    if (!wanted) return;
    if (!text.empty()) text += ',';
    text += word;
  };
  add(notify.never, "NEVER");
  add(notify.success, "SUCCESS");
  add(notify.failure, "FAILURE");
  add(notify.delay, "DELAY");
  return text;
}

core::Result<std::string> decode_xtext(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c <= ' ' || c > '~' || c == '=') return core::Errc::malformed;
    if (c != '+') {
      out += c;
      continue;
    }
    const int high = i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
    if (high < 0 || low < 0) return core::Errc::malformed;
    out += static_cast<char>(static_cast<unsigned char>(high * 16 + low));
    i += 2;
  }
  return out;
}

}  // namespace mail
