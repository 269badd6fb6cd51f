#include "forwarder/pipeline.hpp"

#include "core/failpoint.hpp"
#include "forwarder/in_session.hpp"

namespace forwarder {
namespace {

constexpr unsigned kForgeriesAllowed = 20;  // RL-08
constexpr std::size_t kForgersRemembered = 10'000;
constexpr std::chrono::hours kForgeryWindow{1};
constexpr std::chrono::minutes kOurSpfKept{5};
constexpr std::size_t kOurSpfMost = 1000;
constexpr int kPressureAtMail = 2;  // architecture.md, budget ladder: 452 4.3.1 at MAIL

}  // namespace

Pipeline::Pipeline(Means means, std::shared_ptr<const Config> config, core::Log log)
    : means_(std::move(means)),
      config_(std::move(config)),
      log_(std::move(log)),
      admission_({means_.executor, means_.resolver, means_.metrics, means_.clock, means_.admission}, log_) {}

net::Awaitable<MailVerdict> Pipeline::mail(const Client& client, mail::MailCommand command, unsigned number) {
  MailVerdict verdict;
  std::string id = client.session_id + "-" + std::to_string(number);
  if (auto refusal = co_await admit(client, command, id)) {
    verdict.reply = std::move(*refusal);
    co_return verdict;
  }
  if (command.size && *command.size > config_->message_size) {
    verdict.reply = mail::make_refusal(552, {5, 3, 4}, "The message is larger than we take", "too-big", id);
    co_return verdict;
  }
  if (means_.memory->pressure() >= kPressureAtMail || means_.disk->pressure() >= kPressureAtMail) {
    means_.metrics->add(core::Counter::memory_refused);
    verdict.reply = mail::make_refusal(452, {4, 3, 1}, "No room for a message now, try again later", "memory", id);
    co_return verdict;
  }
  // RS-14, DU-06: the queue's own room; a long queue is the business of mail that is bound for it only.
  if (means_.durable != nullptr && means_.durable->store != nullptr &&
      means_.durable->store->room(config_->message_size) == queue::Room::full) {
    means_.metrics->add(core::Counter::memory_refused);
    verdict.reply =
        mail::make_refusal(452, {4, 3, 1}, "No disk space for a message now, try again later", "memory", id);
    co_return verdict;
  }
  const core::Log log = log_.with("session", client.session_id).with("id", id);
  verdict.transaction = std::make_unique<InSession>(*this, config_, client, std::move(command), std::move(id), log);
  verdict.reply = mail::Reply(250, {2, 1, 0}, "Ok");
  ONWARD_FAILPOINT(k01_mail);
  co_return verdict;
}

// Rates and the sender's domain.
net::Awaitable<std::optional<mail::Reply>> Pipeline::admit(const Client& client, const mail::MailCommand& command,
                                                           const std::string& id) {
  const auto config = config_;
  const auto verdict = co_await admission_.mail(config, client, command);
  if (verdict.kind == policy::Verdict::Kind::accept) co_return std::nullopt;
  const bool explain = verdict.code >= 500 && !config->help_url.empty();
  const auto text = explain ? verdict.text + ". Refer to " + config->help_url : verdict.text;
  auto reply = mail::make_refusal(verdict.code, verdict.enhanced, text, verdict.reason, id);
  log_.info("sender_refused", {{"session", client.session_id},
                               {"id", id},
                               {"status", reply.permanent() ? "rejected" : "deferred"},
                               {"client_ip", client.address.to_string()},
                               {"helo", client.helo},
                               {"mail_from", command.from.to_string()},
                               {"reply", reply.to_log()}});
  co_return reply;
}

net::Awaitable<auth::SpfResult> Pipeline::spf_of_us(core::IpAddress source, mail::ReversePath from,
                                                    core::Deadline deadline) {
  const auto key = std::pair(source, from.null() ? std::string() : from.mailbox.domain);
  const auto now = means_.clock->steady();
  if (const auto known = our_spf_.find(key); known != our_spf_.end() && now < known->second.until) {
    co_return known->second.result;
  }
  auth::SpfInput input;
  input.client = source;
  input.helo = config_->hostname;
  input.mail_from = std::move(from);
  input.receiver = config_->hostname;
  input.explain = false;
  OurSpf fresh;
  fresh.result = co_await forwarder::spf_of_us(*means_.resolver, std::move(input), deadline);
  if (fresh.result.result == auth::Verdict::temperror) co_return fresh.result;
  fresh.until = now + kOurSpfKept;
  if (our_spf_.size() >= kOurSpfMost) our_spf_.clear();
  our_spf_[key] = fresh;
  co_return fresh.result;
}

bool Pipeline::count_forged_srs(const core::IpAddress& client) {
  const auto now = means_.clock->steady();
  if (forgeries_.size() >= kForgersRemembered) {
    std::erase_if(forgeries_, [now](const auto& entry) { return now - entry.second.since > kForgeryWindow; });
    if (forgeries_.size() >= kForgersRemembered) forgeries_.clear();
  }
  auto& entry = forgeries_[core::client_network(client)];
  if (entry.count == 0 || now - entry.since > kForgeryWindow) {
    entry.count = 0;
    entry.since = now;
  }
  return ++entry.count > kForgeriesAllowed;
}

}  // namespace forwarder
