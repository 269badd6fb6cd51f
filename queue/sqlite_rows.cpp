#include "queue/sqlite_rows.hpp"

#include <algorithm>

#include "core/text.hpp"
#include "queue/sqlite_schema.hpp"

namespace queue {
namespace {

std::vector<Fallback> read_fallback(std::string_view text) {
  std::vector<Fallback> fallback;
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    const auto tab = std::min(line.find('\t'), line.size());
    fallback.push_back({mailbox_of(line.substr(0, tab)), std::string(line.substr(std::min(tab + 1, line.size())))});
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return fallback;
}

mail::Reply read_reply(std::int64_t code, std::string_view text) {
  mail::Reply reply;
  reply.code = static_cast<int>(code);
  if (code == 0) return reply;
  bool first = true;
  for (const auto line : core::split(text, '\n')) {
    if (std::exchange(first, false)) {
      if (const auto enhanced = mail::parse_enhanced_code(line)) reply.enhanced = *enhanced;
    } else {
      reply.lines.emplace_back(line);
    }
  }
  return reply;
}

mail::Notify read_notify(std::int64_t bits) {
  mail::Notify notify;
  notify.given = (bits & 1) != 0;
  notify.never = (bits & 2) != 0;
  notify.success = (bits & 4) != 0;
  notify.failure = (bits & 8) != 0;
  notify.delay = (bits & 16) != 0;
  return notify;
}

}  // namespace

std::string_view cut(std::string_view text, std::size_t most) {
  return text.substr(0, most);
}

mail::Mailbox mailbox_of(std::string_view text) {
  const auto at = text.rfind('@');  // a domain holds none
  if (at == std::string_view::npos) return {std::string(text), ""};
  return {std::string(text.substr(0, at)), std::string(text.substr(at + 1))};
}

std::int64_t flags_of(const Envelope& envelope) {
  return (envelope.eight_bit ? 1 : 0) | (envelope.smtputf8 ? 2 : 0) | (envelope.needs_smtputf8 ? 4 : 0) |
         (envelope.requiretls ? 8 : 0) | (envelope.has_8bit_header ? 16 : 0) | (envelope.has_8bit_body ? 32 : 0) |
         (envelope.tls_optional ? 64 : 0);
}

std::int64_t notify_bits(const mail::Notify& notify) {
  return (notify.given ? 1 : 0) | (notify.never ? 2 : 0) | (notify.success ? 4 : 0) | (notify.failure ? 8 : 0) |
         (notify.delay ? 16 : 0);
}

std::string fallback_text(const std::vector<Fallback>& fallback) {
  std::string text;
  for (const auto& next : fallback) text += next.destination.to_string() + "\t" + next.hop + "\n";
  return text;
}

std::string reply_text(const mail::Reply& reply) {
  std::string text = reply.enhanced ? reply.enhanced.to_string() : std::string();
  for (const auto& line : reply.lines) {
    if (text.size() + line.size() > kMaxReplyText) break;
    text += '\n';
    for (const char c : line) text += c == '\n' ? ' ' : c;
  }
  return text;
}

Job read_message(const sqlite::Statement& row, int at) {
  Job job;
  auto& envelope = job.envelope;
  job.key = row.integer(at++);
  envelope.id = row.string(at++);
  envelope.sender.mailbox = mailbox_of(row.text(at++));
  envelope.srs_sender.mailbox = mailbox_of(row.text(at++));
  envelope.envid = row.string(at++);
  envelope.ret = static_cast<mail::MailCommand::Ret>(std::clamp<std::int64_t>(row.integer(at++), 0, 2));
  const auto flags = row.integer(at++);
  envelope.eight_bit = (flags & 1) != 0;
  envelope.smtputf8 = (flags & 2) != 0;
  envelope.needs_smtputf8 = (flags & 4) != 0;
  envelope.requiretls = (flags & 8) != 0;
  envelope.has_8bit_header = (flags & 16) != 0;
  envelope.has_8bit_body = (flags & 32) != 0;
  envelope.tls_optional = (flags & 64) != 0;
  envelope.client_ip = row.string(at++);
  envelope.helo = row.string(at++);
  envelope.message_id = row.string(at++);
  envelope.subject = row.string(at++);
  envelope.size = row.unsigned_integer(at++);
  envelope.header_size = row.unsigned_integer(at++);
  envelope.created = row.integer(at++);
  envelope.expires = row.integer(at++);
  return job;
}

Recipient read_recipient(const sqlite::Statement& row, int at) {
  Recipient recipient;
  recipient.number = static_cast<unsigned>(row.integer(at++) & ((1 << kNumberBits) - 1));
  recipient.address.mailbox = mailbox_of(row.text(at++));
  recipient.rule = row.string(at++);
  recipient.domain = row.string(at++);
  recipient.destination = mailbox_of(row.text(at++));
  recipient.hop = row.string(at++);
  recipient.fallback = read_fallback(row.text(at++));
  recipient.notify = read_notify(row.integer(at++));
  recipient.orcpt_type = row.string(at++);
  recipient.orcpt = row.string(at++);
  recipient.fingerprint = row.digest(at++);
  recipient.restamped = row.digest(at++);
  recipient.state = static_cast<State>(std::clamp<std::int64_t>(row.integer(at++), 0, 2));
  recipient.attempts = static_cast<unsigned>(row.integer(at++));
  recipient.unknowns = static_cast<unsigned>(row.integer(at++));
  recipient.next_attempt = row.integer(at++);
  recipient.failing_since = row.integer(at++);
  recipient.act_by = row.integer(at++);
  recipient.delay_told = row.integer(at++) != 0;
  const auto code = row.integer(at++);
  recipient.last_reply = read_reply(code, row.text(at++));
  recipient.reply_from_peer = row.integer(at++) != 0;
  recipient.last_host = row.string(at++);
  recipient.last_address = row.string(at++);
  recipient.last_tls = row.string(at++);
  recipient.lease = row.unsigned_integer(at++);
  recipient.lease_until = row.integer(at++);
  recipient.hold = static_cast<Hold>(std::clamp<std::int64_t>(row.integer(at++), 0, 3));
  recipient.hold_reason = row.string(at++);
  return recipient;
}

HoldRule read_hold_rule(const sqlite::Statement& row) {
  HoldRule rule;
  rule.number = row.integer(0);
  rule.to_domain = row.string(1);
  rule.sender = row.string(2);
  rule.recipient = row.string(3);
  rule.reason = row.string(4);
  rule.created = row.integer(5);
  rule.expires = row.integer(6);
  return rule;
}

}  // namespace queue
