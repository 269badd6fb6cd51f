#include "queue/dsn_text.hpp"

#include <algorithm>

#include "core/text.hpp"
#include "mail/header.hpp"
#include "mail/utf8.hpp"

namespace queue {
namespace {

constexpr std::size_t kColumns = 76;
constexpr std::size_t kMaxWord =
    500;  // of what is shown; longer ones are no addresses, and would break the line's bound
constexpr std::string_view kUnderAddress = "    ", kUnderReason = "        ";

std::string date(core::Wall::time_point time) {
  return mail::format_date(std::chrono::duration_cast<core::Seconds>(time.time_since_epoch()).count());
}

// The start of `word`, whole characters.
std::string_view bounded(std::string_view word) {
  if (word.size() <= kMaxWord) return word;
  auto end = kMaxWord;
  while (end > 0 && (static_cast<unsigned char>(word[end]) & 0xc0) == 0x80) --end;
  return word.substr(0, end);
}

// Appends the words of `text`, wrapped, each line behind `indent`.
void append_wrapped(std::string& out, std::string_view indent, std::string_view text) {
  std::size_t column = 0;
  for (const auto each : core::split(text, ' ')) {
    const auto word = bounded(each);
    if (word.empty()) continue;
    if (column > 0 && column + 1 + word.size() > kColumns) {
      out += "\r\n";
      column = 0;
    }
    if (column == 0) {
      out += indent;
      column = indent.size();
    } else {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
  }
  out += "\r\n";
}

bool any(const DsnReport& report, DsnAction action) {
  return std::ranges::any_of(report.recipients, [action](const auto& each) { return each.action == action; });
}

bool all_maybe_delivered(const DsnReport& report) {
  return std::ranges::all_of(report.recipients, [](const auto& each) {
    return each.action != DsnAction::failed || each.cause == DsnCause::maybe_delivered;
  });
}

// RFC 3463 §3: what the sender of a message that failed can do about it.
std::string_view advice(mail::EnhancedCode status) {
  const auto& [klass, subject, detail] = status;
  switch (subject) {
    case 1:
      if (detail == 7 || detail == 8) {
        return "The receiving server does not accept your own address. Ask whoever runs your mail.";
      }
      return "The address does not exist there, or not any more. Check it for typing errors, or ask the recipient in "
             "another way for the right one.";
    case 2:
      if (detail == 2) return "The mailbox is full. Try again later, or tell the recipient in another way.";
      if (detail == 3) return "The message is too large for the mailbox. Send it in parts, or send a link.";
      return "The mailbox takes no messages now. Tell the recipient in another way.";
    case 3:
      if (detail == 4) return "The message is too large for the receiving server. Send it in parts, or send a link.";
      return "The receiving server has a trouble of its own. Try again later.";
    case 4:
      if (detail == 6) return "The address leads back to itself. Tell the recipient in another way, or write to us.";
      return "The receiving server could not be reached. Try again later, and tell the recipient in another way.";
    case 6:
      return "The receiving server cannot handle a message of this kind. Send it in a simpler form, as plain text "
             "for example.";
    case 7:
      return "The receiving server refused the message by its rules, for example because it took it for spam. Tell "
             "the recipient in another way; whoever runs that server can say why.";
    default:
      return "Try again later. If it happens again, write to us.";
  }
}

std::string address_line(const DsnReport& report, const DsnRecipient& recipient) {
  auto line = std::string("  <").append(bounded(dsn_clean(recipient.address))) + ">";
  if (report.detail == DsnDetail::full && recipient.revealed && !recipient.revealed->destination.empty()) {
    line.append(",\r\n    forwarded to <").append(bounded(dsn_clean(recipient.revealed->destination))) += ">";
  }
  return line + "\r\n";
}

void append_reply(std::string& out, const DsnRecipient& recipient, DsnDetail detail) {
  if (!recipient.reply) return;
  for (const auto& line : dsn_reply_lines(*recipient.reply, detail)) append_wrapped(out, kUnderReason, line);
}

void append_failed(std::string& out, const DsnReport& report, const DsnRecipient& recipient) {
  out += address_line(report, recipient);
  switch (recipient.cause) {
    case DsnCause::maybe_delivered:
      append_wrapped(out, kUnderAddress,
                     "The receiving server was given the whole message three times, and each time the connection was "
                     "lost before it answered. The message may have arrived, perhaps more than once.");
      append_wrapped(out, kUnderAddress,
                     "What to do: ask the recipient in another way whether it is there, before you send it again.");
      return;
    case DsnCause::expired:
      append_wrapped(out, kUnderAddress,
                     recipient.reply ? "We tried for as long as we do. The last answer was:"
                                     : "We tried for as long as we do, and had no answer.");
      break;
    case DsnCause::refused:
      append_wrapped(out, kUnderAddress,
                     !recipient.reply      ? "It was refused."
                     : recipient.from_peer ? "The receiving server refused it and said:"
                                           : "It cannot be delivered:");
      break;
  }
  append_reply(out, recipient, report.detail);
  append_wrapped(out, kUnderAddress, "What to do: " + std::string(advice(recipient.status)));
}

void append_delayed(std::string& out, const DsnReport& report, const DsnRecipient& recipient) {
  out += address_line(report, recipient);
  if (recipient.reply) append_wrapped(out, kUnderAddress, "The last answer was:");
  append_reply(out, recipient, report.detail);
  if (recipient.retry_until) {
    append_wrapped(out, kUnderAddress, "We go on trying until " + date(*recipient.retry_until) + ".");
  }
}

template <class Append>
void append_section(std::string& out, const DsnReport& report, DsnAction action, std::string_view intro,
                    Append append) {
  if (!any(report, action)) return;
  append_wrapped(out, "", "Your message of " + date(report.arrival) + " " + std::string(intro));
  out += "\r\n";
  for (const auto& recipient : report.recipients) {
    if (recipient.action != action) continue;
    append(out, report, recipient);
    out += "\r\n";
  }
}

}  // namespace

std::string dsn_clean(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto point = mail::first_code_point(text);
    const auto length = std::max<std::size_t>(point.length, 1);
    if (point.length > 0 && !mail::is_control(point.value)) {
      out += text.substr(0, length);
    } else {
      out += '?';
    }
    text.remove_prefix(length);
  }
  return out;
}

std::vector<std::string> dsn_reply_lines(const mail::Reply& reply, DsnDetail detail) {
  auto shown = reply;
  if (detail == DsnDetail::code_only) shown.lines = {std::string()};
  std::vector<std::string> lines;
  const auto wire = shown.to_wire();
  for (std::string_view rest = wire; !rest.empty();) {
    const auto end = rest.find("\r\n");
    lines.emplace_back(core::trim(rest.substr(0, end)));
    rest.remove_prefix(end + 2);
  }
  return lines;
}

std::string dsn_subject(const DsnReport& report) {
  if (any(report, DsnAction::failed)) {
    return all_maybe_delivered(report) ? "Your message may not have been delivered"
                                       : "Your message could not be delivered";
  }
  return any(report, DsnAction::delayed) ? "Your message is delayed" : "Your message was passed on";
}

std::string dsn_text(const DsnReport& report, DsnAttached attached) {
  const auto host = core::printable(report.hostname);
  std::string out;
  append_wrapped(out, "", "This is the mail server " + host + ".");
  out += "\r\n";
  append_section(out, report, DsnAction::failed, "could not be delivered to:", append_failed);
  append_section(
      out, report, DsnAction::delayed,
      "has not been delivered yet. You need not send it again: we go on trying. It waits for:", append_delayed);
  const auto only_address = [](std::string& to, const DsnReport& of, const DsnRecipient& recipient) {
    to += address_line(of, recipient);
  };
  append_section(
      out, report, DsnAction::relayed,
      "was taken by the server of the recipient. You will hear no more of it, unless it fails there:", only_address);
  append_section(out, report, DsnAction::expanded,
                 "was passed on to the addresses behind this one. You will hear no more of it, unless it fails there:",
                 only_address);
  switch (attached) {
    case DsnAttached::message:
      append_wrapped(out, "", "Your message is attached.");
      break;
    case DsnAttached::header:
      append_wrapped(out, "", "The header of your message is attached.");
      break;
    case DsnAttached::header_because_too_large:
      append_wrapped(out, "", "Your message is too large to be returned. Its header is attached.");
      break;
  }
  append_wrapped(out, "",
                 "Questions: postmaster@" + host + ", please with this reference: " + core::printable(report.trace));
  if (!report.help_url.empty()) append_wrapped(out, "", "More: " + core::printable(report.help_url));
  return out;
}

}  // namespace queue
