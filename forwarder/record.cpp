#include "forwarder/record.hpp"

#include <fmt/format.h>

#include <utility>

namespace forwarder {

Record::Record(const core::Log& log, const Client& client, const mail::MailCommand& mail, std::string id,
               queue::ActivityLog* activity, const core::Clock& clock)
    : log_(log), client_(client), mail_(mail), id_(std::move(id)), activity_(activity), clock_(clock) {}

void Record::message(const mail::Headers& headers, std::uint64_t size) {
  if (const auto* field = headers.first("Message-ID")) message_id_ = mail::unfold(field->value());
  if (const auto* field = headers.first("Subject")) subject_ = mail::unfold(field->value());
  size_ = size;
}

// "" when it was not looked at.
std::string_view Record::word_of(Method method) const {
  if (!results_) return "";
  switch (method) {
    case Method::spf:
      return results_->spf_checked ? auth::to_string(results_->spf.result) : "";
    case Method::dkim:
      return auth::to_string(policy::summary(results_->dkim));
    case Method::dmarc:
      return results_->dmarc_checked ? auth::to_string(results_->dmarc.result) : "";
    case Method::arc:
      return auth::to_string(results_->arc.result);
  }
  return "";
}

queue::Activity Record::row(std::string_view status, const mail::Reply& reply) const {
  queue::Activity row;
  row.time = std::chrono::duration_cast<core::Milliseconds>(clock_.wall().time_since_epoch()).count();
  row.id = id_;
  row.session = client_.session_id;
  row.message_id = message_id_;
  row.client_ip = client_.address.to_string();
  row.helo = client_.helo;
  row.mail_from = mail_.from.to_string();
  row.subject = subject_;
  row.size = size_;
  row.status = status;
  row.spf = word_of(Method::spf);
  row.dkim = word_of(Method::dkim);
  row.dmarc = word_of(Method::dmarc);
  row.arc = word_of(Method::arc);
  row.dnsbl = dnsbl_;
  row.reply = reply.to_log();
  return row;
}

void Record::recipient(const mail::ForwardPath& to, std::string_view status, const mail::Reply& reply,
                       std::string_view rule) const {
  log_.info("recipient", {{"status", status},
                          {"message_id", message_id_},
                          {"client_ip", client_.address.to_string()},
                          {"helo", client_.helo},
                          {"mail_from", mail_.from.to_string()},
                          {"rcpt_to", to.to_string()},
                          {"rule", rule},
                          {"subject", subject_},
                          {"size", size_},
                          {"spf", word_of(Method::spf)},
                          {"dkim", word_of(Method::dkim)},
                          {"dmarc", word_of(Method::dmarc)},
                          {"arc", word_of(Method::arc)},
                          {"dnsbl", dnsbl_},
                          {"reply", reply.to_log()}});
  if (activity_ == nullptr) return;
  auto written = row(status, reply);
  written.rcpt_to = to.to_string();
  static_cast<void>(activity_->record(std::move(written)));
}

void Record::delivery(const Leg& leg, const mail::Reply& reply) const {
  const auto& outcome = leg.outcome;
  const bool unknown = outcome.fate == mail::Fate::unknown;
  const auto upstream_reply = outcome.from_peer ? outcome.reply.to_log() : std::string();
  const auto error =
      outcome.fate == mail::Fate::delivered || outcome.from_peer ? std::string() : outcome.reply.to_log();
  const auto took = data_done_ == core::Steady::time_point()
                        ? core::Milliseconds(0)
                        : std::chrono::duration_cast<core::Milliseconds>(clock_.steady() - data_done_);
  log_.info("delivery", {{"status", leg.status},
                         {"message_id", message_id_},
                         {"client_ip", client_.address.to_string()},
                         {"helo", client_.helo},
                         {"mail_from", mail_.from.to_string()},
                         {"rcpt_to", leg.shown},
                         {"destination", leg.destination.to_string()},
                         {"subject", subject_},
                         {"size", size_},
                         {"spf", word_of(Method::spf)},
                         {"dkim", word_of(Method::dkim)},
                         {"dmarc", word_of(Method::dmarc)},
                         {"arc", word_of(Method::arc)},
                         {"dnsbl", dnsbl_},
                         {"quarantine", quarantine_},
                         {"forecast", forecast_},
                         {"reply", reply.to_log()},
                         {"upstream_host", outcome.host},
                         {"upstream_address", outcome.address},
                         {"upstream_tls", outcome.tls},
                         {"upstream_reply", upstream_reply},
                         {"error", error},
                         {"dup_possible", unknown},
                         {"ms", took.count()}});
  if (activity_ == nullptr) return;
  auto written = row(leg.status, reply);
  written.rcpt_to = leg.shown;
  written.destination = leg.destination.to_string();
  written.upstream_host = outcome.host;
  written.upstream_address = outcome.address;
  written.upstream_tls = outcome.tls;
  written.upstream_reply = upstream_reply;
  written.error = error;
  static_cast<void>(activity_->record(std::move(written)));
}

void Record::announce_copy(std::string_view next_hop) const {
  log_.announce("dup_possible", {{"message_id", message_id_}, {"next_hop", next_hop}, {"dup_possible", true}});
}

void Record::authentication(const policy::Verdict& verdict, bool ownable) const {
  const auto& results = *results_;
  std::string signatures;
  for (const auto& one : results.dkim) {
    if (one.result == auth::Verdict::none) continue;
    signatures +=
        fmt::format("{}{}/{}={}", signatures.empty() ? "" : " ", one.domain, one.selector, auth::to_string(one.result));
  }
  std::string_view action = "accept";
  if (verdict.kind == policy::Verdict::Kind::reject) action = "reject";
  if (verdict.kind == policy::Verdict::Kind::defer) action = "defer";
  if (verdict.quarantine) action = "quarantine";
  log_.info("authentication", {{"client_ip", client_.address.to_string()},
                               {"spf", word_of(Method::spf)},
                               {"spf_domain", results.spf.domain},
                               {"spf_reason", results.spf.reason},
                               {"dkim", word_of(Method::dkim)},
                               {"dkim_signatures", signatures},
                               {"dmarc", word_of(Method::dmarc)},
                               {"author", results.dmarc.domain},
                               {"policy_domain", results.dmarc.policy_domain},
                               {"policy", auth::to_string(results.dmarc.policy)},
                               {"disposition", auth::to_string(results.dmarc.disposition)},
                               {"spf_aligned", results.dmarc.spf_aligned},
                               {"dkim_aligned", results.dmarc.dkim_aligned},
                               {"dmarc_reason", results.dmarc.reason},
                               {"arc", word_of(Method::arc)},
                               {"arc_reason", results.arc.reason},
                               {"ownable", ownable},
                               {"action", action},
                               {"overridden", verdict.overridden}});
  if (activity_ != nullptr && verdict.kind != policy::Verdict::Kind::defer) dmarc_sighting(verdict, signatures);
}

// For the aggregate reports of the domain whose policy was applied.
void Record::dmarc_sighting(const policy::Verdict& verdict, std::string_view signatures) const {
  const auto& dmarc = results_->dmarc;
  const bool judged = dmarc.result == auth::Verdict::pass || dmarc.result == auth::Verdict::fail;
  if (!results_->dmarc_checked || !judged) return;
  const auto word = [](bool aligned) { return aligned ? "pass" : "fail"; };
  queue::DmarcSighting sighting;
  sighting.time = std::chrono::duration_cast<core::Milliseconds>(clock_.wall().time_since_epoch()).count();
  sighting.policy_domain = dmarc.policy_domain;
  sighting.record = dmarc.record;
  sighting.author = dmarc.domain;
  sighting.client_ip = client_.address.to_string();
  auto done = auth::DmarcPolicy::none;
  if (verdict.quarantine) done = auth::DmarcPolicy::quarantine;
  if (verdict.kind == policy::Verdict::Kind::reject && verdict.reason == "dmarc") done = auth::DmarcPolicy::reject;
  sighting.disposition = auth::to_string(done);
  if (verdict.overridden) {
    sighting.reason = "trusted_forwarder";
  } else if (done != dmarc.disposition) {
    sighting.reason = "local_policy";
  } else if (dmarc.testing && dmarc.result == auth::Verdict::fail) {
    sighting.reason = "policy_test_mode";
  }
  sighting.dkim = word(dmarc.dkim_aligned);
  sighting.spf = word(dmarc.spf_aligned);
  sighting.envelope_from = mail_.from.mailbox.domain;
  sighting.spf_domain = results_->spf.domain;
  sighting.spf_result = word_of(Method::spf);
  sighting.signatures = signatures;
  static_cast<void>(activity_->record(std::move(sighting)));
}

void record_event(const queue::Event& event, const core::Log& log, queue::ActivityLog* activity,
                  const core::Clock& clock) {
  using What = queue::Event::What;
  std::string_view status = "deferred", what = "deferred";
  switch (event.what) {
    case What::delivered:
      status = what = "delivered";
      break;
    case What::failed:
      status = "bounced";
      what = "failed";
      break;
    case What::deferred:
      break;
    case What::fallback:
      what = "fallback";
      break;
    case What::delay_told:
      what = "delay_told";
      break;
    case What::lease_lost:
      what = "lease_lost";
      break;
  }
  const auto& envelope = event.work.job.envelope;
  const auto& recipient = event.recipient;
  const auto session = envelope.id.substr(0, envelope.id.find('-'));
  const auto reply = recipient.last_reply.code != 0 ? recipient.last_reply.to_log() : std::string();
  const auto upstream_reply = recipient.reply_from_peer ? reply : std::string();
  const bool bad = event.what != What::delivered;
  log.info("queue_delivery", {{"id", envelope.id},
                              {"session", session},
                              {"status", status},
                              {"what", what},
                              {"message_id", envelope.message_id},
                              {"mail_from", envelope.sender.to_string()},
                              {"rcpt_to", recipient.address.to_string()},
                              {"destination", recipient.destination.to_string()},
                              {"size", envelope.size},
                              {"attempts", recipient.attempts},
                              {"upstream_host", recipient.last_host},
                              {"upstream_address", recipient.last_address},
                              {"upstream_tls", recipient.last_tls},
                              {"upstream_reply", upstream_reply},
                              {"error", bad && !recipient.reply_from_peer ? reply : std::string()},
                              {"unreported", event.unreported},
                              {"dup_possible", event.dup_possible}});
  if (activity == nullptr || event.what == What::lease_lost || event.what == What::delay_told) return;
  queue::Activity row;
  row.time = std::chrono::duration_cast<core::Milliseconds>(clock.wall().time_since_epoch()).count();
  row.id = envelope.id;
  row.session = session;
  row.message_id = envelope.message_id;
  row.client_ip = envelope.client_ip;
  row.helo = envelope.helo;
  row.mail_from = envelope.sender.to_string();
  row.rcpt_to = recipient.address.to_string();
  row.destination = recipient.destination.to_string();
  row.subject = envelope.subject;
  row.size = envelope.size;
  row.status = status;
  row.upstream_host = recipient.last_host;
  row.upstream_address = recipient.last_address;
  row.upstream_tls = recipient.last_tls;
  row.upstream_reply = upstream_reply;
  if (bad && !recipient.reply_from_peer) row.error = reply;
  static_cast<void>(activity->record(std::move(row)));
}

}  // namespace forwarder
