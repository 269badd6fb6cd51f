#include "forwarder/reports.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "auth/dkim_sign.hpp"
#include "core/digest.hpp"
#include "core/text.hpp"
#include "forwarder/masking.hpp"
#include "forwarder/next_hop.hpp"
#include "queue/dsn.hpp"

namespace forwarder {
namespace {

using Kind = queue::Report::Kind;
using Why = queue::Report::Why;

queue::DsnEvent event_of(Kind kind) {
  switch (kind) {
    case Kind::failed:
      return queue::DsnEvent::failure;
    case Kind::delayed:
      return queue::DsnEvent::delay;
    case Kind::relayed:
      break;
  }
  return queue::DsnEvent::success;
}

core::Wall::time_point wall_time(std::int64_t seconds) {
  return core::Wall::from_time_t(static_cast<std::time_t>(seconds));
}

// Letters and digits that no other report has: of the message, the kind, and what was done when.
std::string unique_of(const queue::Report& report, ReportTime time) {
  std::string text = fmt::format("{}|{}|{}|{}", report.work->job.envelope.id, static_cast<int>(report.kind), time.now,
                                 report.about.size());
  for (const auto& about : report.about)
    text += fmt::format("|{}:{}", about.recipient.number, about.recipient.attempts);
  static constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz012345";
  std::string out;
  for (const auto octet : core::sha256(text)) out += kLetters[octet & 31];
  return out;
}

queue::DsnCause cause_of(Why why) {
  switch (why) {
    case Why::expired:
      return queue::DsnCause::expired;
    case Why::maybe_delivered:
      return queue::DsnCause::maybe_delivered;
    default:
      return queue::DsnCause::refused;
  }
}

queue::DsnDetail detail_of(ErrorDetail errors) {
  switch (errors) {
    case ErrorDetail::full:
      return queue::DsnDetail::full;
    case ErrorDetail::code_only:
      return queue::DsnDetail::code_only;
    case ErrorDetail::masked:
      break;
  }
  return queue::DsnDetail::masked;
}

// The last answer as the sender may see it: every destination of the message is hidden, not only this one's.
std::optional<mail::Reply> shown_reply(const Config& config, const queue::Report::About& about,
                                       const std::vector<Mask>& masks) {
  const auto& reply = about.recipient.last_reply;
  if (reply.code == 0) return std::nullopt;
  auto shown = reply;
  if (config.delivery.errors == ErrorDetail::masked) {
    for (auto& line : shown.lines) line = mask_text(line, masks);
  }
  return shown;
}

std::vector<Mask> masks_of(const queue::Report& report) {
  std::vector<Mask> masks;
  for (const auto& about : report.about) {
    const auto shown = about.recipient.address.to_string();
    masks.push_back({about.recipient.destination.to_string(), shown});
    for (const auto& other : about.recipient.fallback) masks.push_back({other.destination.to_string(), shown});
  }
  const auto& envelope = report.work->job.envelope;
  if (!envelope.srs_sender.null() && envelope.srs_sender != envelope.sender) {
    masks.push_back({envelope.srs_sender.to_string(), envelope.sender.to_string()});
  }
  return masks;
}

queue::DsnRecipient dsn_recipient(const Config& config, const queue::Report& report, const queue::Report::About& about,
                                  const std::vector<Mask>& masks, ReportTime time) {
  const auto& row = about.recipient;
  const auto& envelope = report.work->job.envelope;
  queue::DsnRecipient out;
  out.address = row.address.to_string();
  out.orcpt_type = row.orcpt_type;
  out.orcpt = row.orcpt;
  out.cause = cause_of(about.why);
  out.reply = shown_reply(config, about, masks);
  out.from_peer = row.reply_from_peer;
  out.status = row.last_reply.enhanced;
  out.last_attempt = wall_time(time.wall);
  switch (report.kind) {
    case Kind::failed:
      out.action = queue::DsnAction::failed;
      if (about.why == Why::maybe_delivered) out.status = {5, 4, 2};
      if (about.why == Why::expired) out.status = {5, 4, 7};
      break;
    case Kind::delayed:
      out.action = queue::DsnAction::delayed;
      out.retry_until = wall_time(time.wall + (envelope.expires - time.now) / 1000);
      break;
    case Kind::relayed:
      out.action = queue::DsnAction::relayed;
      break;
  }
  if (config.delivery.errors == ErrorDetail::full) {
    out.revealed = queue::DsnRevealed{row.destination.to_string(), row.last_host};
  }
  return out;
}

// Where the sender's mail goes: through our own rules when it is an address of ours.
std::vector<mail::Mailbox> reached_by(const Config& config, const mail::Mailbox& sender) {
  const auto route = config.routes->resolve(mail::ForwardPath{sender}, mail::ReversePath());
  switch (route.kind) {
    case policy::Route::Kind::not_ours:
      return {sender};
    case policy::Route::Kind::forward:
      return route.destinations;
    default:
      return {};  // dropped, refused or unknown: nobody can be told
  }
}

}  // namespace

core::Result<std::string> sign_own(const Config& config, std::string_view content, std::int64_t wall) {
  mail::HeaderScanner scanner;
  const auto body_at = scanner.feed(content);
  assert(body_at);
  const auto headers = mail::Headers::parse(content.substr(0, *body_at - 2));
  assert(headers);
  auth::BodyHasher hasher;
  hasher.update(content.substr(*body_at));
  const auto hash = hasher.finish();
  const auth::SignedFields fields(headers->fields());
  std::string prefix;
  for (const auto& signer : config.signers) {
    const auto field = signer->sign(fields, hash, wall_time(wall));
    if (!field) return field.error();
    prefix += *field;
  }
  return prefix;
}

std::vector<queue::Report::About> wanted(Kind kind, const queue::Envelope& envelope,
                                         std::vector<queue::Report::About> about) {
  if (envelope.sender.null()) return {};
  std::erase_if(
      about, [&](const queue::Report::About& one) { return !queue::wants_dsn(one.recipient.notify, event_of(kind)); });
  return about;
}

core::Result<std::optional<queue::Composed>> make_report(const Config& config, const queue::Report& report,
                                                         std::string_view header, ReportTime time) {
  const auto& envelope = report.work->job.envelope;
  if (envelope.sender.null() || report.about.empty()) return std::optional<queue::Composed>();
  const auto to = reached_by(config, envelope.sender.mailbox);
  if (to.empty()) return std::optional<queue::Composed>();

  queue::DsnReport dsn;
  dsn.hostname = config.hostname;
  dsn.sender = envelope.sender;
  dsn.envid = envelope.envid;
  dsn.trace = envelope.id;
  dsn.unique = unique_of(report, time);
  dsn.help_url = config.help_url;
  dsn.arrival = wall_time(time.wall - (time.now - envelope.created) / 1000);
  dsn.now = wall_time(time.wall);
  dsn.detail = detail_of(config.delivery.errors);
  const auto masks = masks_of(report);
  for (const auto& about : report.about) {
    dsn.recipients.push_back(dsn_recipient(config, report, about, masks, time));
  }
  dsn.ret = envelope.ret;
  dsn.header = header;
  dsn.size = envelope.size;
  auto made = queue::make_dsn(dsn);
  auto prefix = sign_own(config, made.content, time.wall);
  if (!prefix) return prefix.error();

  queue::Composed composed;
  composed.octets = *prefix + made.content;
  auto& message = composed.message;
  // The id of the message it is about, and a letter that no client's message has.
  message.envelope.id = fmt::format("{}-{}{}", envelope.id,
                                    report.kind == Kind::failed    ? "f"
                                    : report.kind == Kind::delayed ? "d"
                                                                   : "r",
                                    dsn.unique.substr(0, 6));
  message.envelope.smtputf8 = message.envelope.needs_smtputf8 = made.smtputf8;
  message.envelope.eight_bit = message.envelope.has_8bit_body = made.eight_bit;
  message.envelope.requiretls = envelope.requiretls;  // RFC 8689 §5: it quotes the header
  message.envelope.helo = config.hostname;
  message.envelope.subject = "delivery report";
  message.envelope.size = composed.octets.size();
  message.envelope.header_size = composed.octets.find("\r\n\r\n") + 2;
  message.envelope.created = time.now;
  message.envelope.expires = time.now + config.queue.schedule.lifetime.count();
  for (const auto& destination : to) {
    queue::Recipient row;
    row.address = mail::ForwardPath{envelope.sender.mailbox};
    row.rule = "report";
    row.destination = destination;
    row.hop = target_for(config, destination.domain).key;
    message.recipients.push_back(std::move(row));
  }
  return std::optional(std::move(composed));
}

}  // namespace forwarder
