#include "queue/dsn.hpp"

#include <algorithm>
#include <array>
#include <cassert>

#include "core/text.hpp"
#include "mail/header.hpp"
#include "queue/dsn_text.hpp"

namespace queue {
namespace {

constexpr std::size_t kMaxLine = 998;        // RFC 5322 §2.1.1, without CRLF
constexpr std::size_t kEncodedColumns = 76;  // RFC 2045 §6.7, §6.8
constexpr std::size_t kMaxMessageId = 250;

using Ret = mail::MailCommand::Ret;

// ---- encodings

enum class Encoding { seven_bit, eight_bit, quoted_printable, base64 };

std::string_view to_string(Encoding encoding) {
  switch (encoding) {
    case Encoding::seven_bit:
      return "7bit";
    case Encoding::eight_bit:
      return "8bit";
    case Encoding::quoted_printable:
      return "quoted-printable";
    case Encoding::base64:
      return "base64";
  }
  return "7bit";
}

// May stand in a message as it is, but for octets above 127: whole lines with CRLF, none too long, no NUL.
bool has_plain_lines(std::string_view text) {
  if (!text.empty() && !text.ends_with("\r\n")) return false;
  while (!text.empty()) {
    const auto end = text.find_first_of(std::string_view("\r\n\0", 3));
    if (end > kMaxLine || !text.substr(end).starts_with("\r\n")) return false;
    text.remove_prefix(end + 2);
  }
  return true;
}

// RFC 2045 §6.7; CRLF stays a line end.
std::string quoted_printable(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  std::size_t column = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i).starts_with("\r\n")) {
      out += "\r\n";
      column = 0;
      ++i;
      continue;
    }
    const char c = text[i];
    const bool last = i + 1 == text.size() || text.substr(i + 1).starts_with("\r\n");
    const bool blank = c == ' ' || c == '\t';
    const bool plain = (c > ' ' && c <= '~' && c != '=') || (blank && !last);
    const std::size_t width = plain ? 1 : 3;
    if (column + width > kEncodedColumns - (last ? 0 : 1)) {
      out += "=\r\n";
      column = 0;
    }
    if (plain) {
      out += c;
    } else {
      const auto octet = static_cast<unsigned char>(c);
      out += '=';
      out += kHex[octet >> 4];
      out += kHex[octet & 15];
    }
    column += width;
  }
  if (column > 0) out += "\r\n";
  return out;
}

std::string base64_lines(std::string_view octets) {
  const auto encoded = core::base64_encode(octets);
  std::string out;
  for (std::string_view rest = encoded; !rest.empty(); rest.remove_prefix(std::min(kEncodedColumns, rest.size()))) {
    out += rest.substr(0, kEncodedColumns);
    out += "\r\n";
  }
  return out;
}

struct Part {
  std::string type;         // value of Content-Type
  std::string description;  // of Content-Description
  Encoding encoding = Encoding::seven_bit;
  std::string content;  // encoded
};

void encode(Part& part, Encoding encoding, std::string_view content) {
  part.encoding = encoding;
  switch (encoding) {
    case Encoding::quoted_printable:
      part.content = quoted_printable(content);
      break;
    case Encoding::base64:
      part.content = base64_lines(content);
      break;
    case Encoding::seven_bit:
    case Encoding::eight_bit:
      part.content = content;
      break;
  }
}

// ---- the second part: message/delivery-status

std::int64_t seconds(core::Wall::time_point time) {
  return std::chrono::duration_cast<core::Seconds>(time.time_since_epoch()).count();
}

std::string_view to_string(DsnAction action) {
  switch (action) {
    case DsnAction::failed:
      return "failed";
    case DsnAction::delayed:
      return "delayed";
    case DsnAction::relayed:
      return "relayed";
    case DsnAction::expanded:
      return "expanded";
  }
  return "failed";
}

enum class AddressForm { ascii, utf8 };  // RFC 6533 §3: utf-8-addr-xtext, or the address itself

// "rfc822; a@b" or "utf-8; ...".
std::string typed_address(std::string_view type, std::string_view address, AddressForm form) {
  const auto clean = dsn_clean(address);
  const bool utf8 = core::iequals(type, "utf-8") || core::has_8bit(clean);
  if (!utf8) return core::printable(type.empty() ? "rfc822" : type) + "; " + clean;
  if (form == AddressForm::utf8) return "utf-8; " + clean;
  return "utf-8; " + mail::encode_utf8_address(clean);
}

mail::EnhancedCode status_of(const DsnRecipient& recipient) {
  const std::uint16_t klass = recipient.action == DsnAction::failed    ? 5
                              : recipient.action == DsnAction::delayed ? 4
                                                                       : 2;
  // A temporary failure that lasted until the end keeps what it was (RFC 3464 §2.3.4 asks for the last one).
  const bool fits =
      recipient.status.klass == klass || (recipient.action == DsnAction::failed && recipient.status.klass == 4);
  return fits ? recipient.status : mail::EnhancedCode{klass, 0, 0};
}

// "smtp; 550-5.1.1 first" and the following lines folded below.
std::string diagnostic_field(std::string_view type, const mail::Reply& reply, DsnDetail detail) {
  std::string text(type);
  text += ';';
  for (const auto& line : dsn_reply_lines(reply, detail)) text += " " + line;
  return mail::make_field("Diagnostic-Code", text);
}

void append_recipient(std::string& out, const DsnReport& report, const DsnRecipient& recipient, AddressForm form) {
  out += "\r\n";
  if (!recipient.orcpt.empty()) {
    out += mail::make_field("Original-Recipient", typed_address(recipient.orcpt_type, recipient.orcpt, form));
  }
  const auto* revealed = report.detail == DsnDetail::full && recipient.revealed ? &*recipient.revealed : nullptr;
  const auto& final_address =
      revealed != nullptr && !revealed->destination.empty() ? revealed->destination : recipient.address;
  out += mail::make_field("Final-Recipient", typed_address("", final_address, form));
  out += mail::make_field("Action", to_string(recipient.action));
  out += mail::make_field("Status", status_of(recipient).to_string());
  if (revealed != nullptr && !revealed->remote_mta.empty()) {
    out += mail::make_field("Remote-MTA", "dns; " + core::printable(revealed->remote_mta));
  }
  if (recipient.reply) {
    out += diagnostic_field(recipient.from_peer ? "smtp" : "x-onward", *recipient.reply, report.detail);
  }
  if (recipient.last_attempt) {
    out += mail::make_field("Last-Attempt-Date", mail::format_date(seconds(*recipient.last_attempt)));
  }
  if (!report.trace.empty()) out += mail::make_field("Final-Log-ID", core::printable(report.trace));
  if (recipient.action == DsnAction::delayed && recipient.retry_until) {
    out += mail::make_field("Will-Retry-Until", mail::format_date(seconds(*recipient.retry_until)));
  }
}

Part status_part(const DsnReport& report, AddressForm form) {
  std::string fields;
  if (!report.envid.empty()) fields += mail::make_field("Original-Envelope-Id", core::printable(report.envid));
  fields += mail::make_field("Reporting-MTA", "dns; " + core::printable(report.hostname));
  fields += mail::make_field("Arrival-Date", mail::format_date(seconds(report.arrival)));
  for (const auto& recipient : report.recipients) append_recipient(fields, report, recipient, form);
  Part part;
  part.description = "Delivery report";
  part.type = form == AddressForm::utf8 ? "message/global-delivery-status" : "message/delivery-status";
  encode(part, core::has_8bit(fields) ? Encoding::eight_bit : Encoding::seven_bit, fields);
  return part;
}

// ---- the third part: what comes back of the message

// The header without what is above the limit, cut between fields.
std::string_view bounded_header(std::string_view header) {
  if (header.size() <= kMaxReturned) return header;
  for (auto end = header.rfind("\r\n", kMaxReturned - 2); end != std::string_view::npos && end > 0;
       end = header.rfind("\r\n", end - 1)) {
    const char next = header[end + 2];
    if (next != ' ' && next != '\t') return header.substr(0, end + 2);
  }
  return {};
}

struct Original {
  Part part;
  DsnAttached attached = DsnAttached::header;
};

// RFC 3461 §4.3: the whole message only with RET=FULL, and only of one that failed.
bool wants_whole(const DsnReport& report) {
  return report.ret == Ret::full && std::ranges::any_of(report.recipients, [](const auto& recipient) {
           return recipient.action == DsnAction::failed;
         });
}

bool whole_is_there(const DsnReport& report) {
  return report.size <= kMaxReturned && report.header.size() + 2 + report.body.size() == report.size;
}

Original original_part(const DsnReport& report, AddressForm form) {
  Original original;
  auto& part = original.part;
  const bool utf8_header = core::has_8bit(report.header) && core::is_utf8(report.header);
  const bool readable = !core::has_8bit(report.header) || utf8_header;
  if (wants_whole(report)) {
    original.attached = DsnAttached::header_because_too_large;
    const auto whole = std::string(report.header) + "\r\n" + std::string(report.body);
    // message/rfc822 cannot be encoded (RFC 2046 §5.2.1), message/global can (RFC 6532 §3.7).
    const bool as_it_is = has_plain_lines(whole + (whole.ends_with("\r\n") ? "" : "\r\n"));
    if (whole_is_there(report) && readable && (as_it_is || utf8_header)) {
      const bool encoded = utf8_header && (form == AddressForm::ascii || !as_it_is);
      part.type = utf8_header ? "message/global" : "message/rfc822";
      part.description = "Your message";
      encode(part,
             encoded                 ? Encoding::base64
             : core::has_8bit(whole) ? Encoding::eight_bit
                                     : Encoding::seven_bit,
             whole);
      original.attached = DsnAttached::message;
      return original;
    }
  }
  const auto header = bounded_header(report.header);
  const bool plain = has_plain_lines(header);
  part.description = "Header of your message";
  part.type = utf8_header ? "message/global-headers" : "text/rfc822-headers";
  if (!core::has_8bit(header) && plain) {
    encode(part, Encoding::seven_bit, header);
  } else if (utf8_header && plain && form == AddressForm::utf8) {
    encode(part, Encoding::eight_bit, header);
  } else {
    encode(part, Encoding::quoted_printable, header);
  }
  return original;
}

// ---- the whole

Part text_part(const DsnReport& report, DsnAttached attached, AddressForm form) {
  const auto text = dsn_text(report, attached);
  Part part;
  part.description = "What happened";
  const bool ascii = !core::has_8bit(text);
  part.type = ascii ? "text/plain; charset=us-ascii" : "text/plain; charset=utf-8";
  encode(part,
         ascii                       ? Encoding::seven_bit
         : form == AddressForm::utf8 ? Encoding::eight_bit
                                     : Encoding::quoted_printable,
         text);
  return part;
}

// One that no line of any part begins with.
std::string choose_boundary(std::string_view unique, std::span<const Part> parts) {
  for (unsigned number = 0;; ++number) {
    auto boundary = "onward-" + std::string(unique.substr(0, 40)) + "-" + std::to_string(number);
    const auto holds = [&](const Part& part) { return part.content.find("--" + boundary) != std::string::npos; };
    if (std::ranges::none_of(parts, holds)) return boundary;
  }
}

// The original's Message-ID, when it is one that can be referred to; "" otherwise.
std::string message_id_of(std::string_view header) {
  const auto headers = mail::Headers::parse(header);
  if (!headers) return {};
  const auto* field = headers->first("Message-ID");
  if (field == nullptr) return {};
  const auto id = mail::unfold(field->value());
  const bool good = id.size() > 4 && id.size() <= kMaxMessageId && id.front() == '<' && id.back() == '>' &&
                    id.find('@') != std::string::npos &&
                    std::ranges::all_of(id, [](char c) { return c > ' ' && c <= '~'; }) &&
                    id.find_first_of("<>", 1) == id.size() - 1;
  return good ? id : std::string();
}

std::string header_of(const DsnReport& report, std::string_view unique) {
  const auto host = core::printable(report.hostname);
  std::string out;
  out += mail::make_field("Date", mail::format_date(seconds(report.now)));
  out += mail::make_field("From", "Mail Delivery System <postmaster@" + host + ">");
  out += mail::make_field("To", "<" + dsn_clean(report.sender.to_string()) + ">");
  out += mail::make_field("Subject", dsn_subject(report));
  out += mail::make_field("Message-ID", "<" + std::string(unique) + ".dsn@" + host + ">");
  if (const auto id = message_id_of(report.header); !id.empty()) {
    out += mail::make_field("In-Reply-To", id);
    out += mail::make_field("References", id);
  }
  out += mail::make_field("Auto-Submitted", "auto-replied");  // RFC 3834 §5
  out += mail::make_field("MIME-Version", "1.0");
  return out;
}

}  // namespace

bool wants_dsn(const mail::Notify& notify, DsnEvent event) {
  if (!notify.given) return event != DsnEvent::success;
  if (notify.never) return false;
  switch (event) {
    case DsnEvent::failure:
      return notify.failure;
    case DsnEvent::delay:
      return notify.delay;
    case DsnEvent::success:
      return notify.success;
  }
  return false;
}

std::vector<std::size_t> dsn_recipients(const mail::ReversePath& sender, std::span<const mail::Notify> recipients,
                                        DsnEvent event) {
  std::vector<std::size_t> wanted;
  if (sender.null()) return wanted;
  for (std::size_t i = 0; i < recipients.size(); ++i) {
    if (wants_dsn(recipients[i], event)) wanted.push_back(i);
  }
  return wanted;
}

Dsn make_dsn(const DsnReport& report) {
  assert(!report.sender.null() && !report.recipients.empty());
  const auto form = report.sender.mailbox.is_ascii() ? AddressForm::ascii : AddressForm::utf8;
  std::string unique;
  for (const char c : report.unique) unique += core::is_alnum(c) ? c : '0';

  const auto original = original_part(report, form);
  const std::array parts{text_part(report, original.attached, form), status_part(report, form), original.part};
  const auto boundary = choose_boundary(unique, parts);

  Dsn dsn;
  dsn.smtputf8 = form == AddressForm::utf8;
  dsn.eight_bit = std::ranges::any_of(parts, [](const Part& part) { return part.encoding == Encoding::eight_bit; });
  auto& out = dsn.content;
  out = header_of(report, unique);
  out +=
      mail::make_field("Content-Type", "multipart/report; report-type=delivery-status; boundary=\"" + boundary + "\"");
  if (dsn.eight_bit) out += mail::make_field("Content-Transfer-Encoding", "8bit");
  out += "\r\n";
  for (const auto& part : parts) {
    out += "--" + boundary + "\r\n";
    out += mail::make_field("Content-Type", part.type);
    out += mail::make_field("Content-Description", part.description);
    out += mail::make_field("Content-Transfer-Encoding", to_string(part.encoding));
    out += "\r\n" + part.content + "\r\n";
  }
  out += "--" + boundary + "--\r\n";
  return dsn;
}

}  // namespace queue
