#include "forwarder/in_session.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/text.hpp"
#include "forwarder/dressing.hpp"
#include "forwarder/tls_policy.hpp"

namespace forwarder {
namespace {

// promise.md C.4.1: how long a group that is ready waits for one that is not.
constexpr core::Seconds kGroupsWait{10};
// The reverse name is for the Received field only: nobody waits long for it.
constexpr core::Seconds kReversePatience{1};
// Rule name of a bounce that comes back.
constexpr std::string_view kSrsRule = "srs";
// threats DN-08: all of authentication is over so long after the final dot, known or not.
constexpr core::Seconds kAuthPatience{5};
// RFC 7208 §4.6.4, where SPF decides at RCPT.
constexpr core::Seconds kSpfPatience{20};
// The forecast is a courtesy: nobody waits long for it.
constexpr core::Seconds kForecastPatience{2};

// Where mail will leave from as far as configuration tells.
std::optional<core::IpAddress> first_source(const DeliverySettings& delivery) {
  const bool six = delivery.prefer == Family::ipv6;
  for (const auto* pool :
       {six ? &delivery.source_ipv6 : &delivery.source_ipv4, six ? &delivery.source_ipv4 : &delivery.source_ipv6}) {
    if (!pool->empty()) return pool->front().address;
  }
  return std::nullopt;
}

auth::VerifySettings verify_settings(const Config& config, core::Wall::time_point now) {
  auth::VerifySettings settings;
  settings.now = now;
  settings.discovery = config.dmarc_discovery;
  settings.suffixes = config.suffixes.get();
  settings.spf = config.auth.spf != policy::AuthSettings::Spf::off;
  settings.dmarc = config.auth.dmarc != policy::AuthSettings::Dmarc::off;
  return settings;
}

}  // namespace

InSession::InSession(Pipeline& pipeline, std::shared_ptr<const Config> config, const Client& client,
                     mail::MailCommand command, std::string id, const core::Log& log)
    : pipeline_(pipeline),
      config_(std::move(config)),
      client_(client),
      command_(std::move(command)),
      id_(std::move(id)),
      log_(log),
      skipped_(policy::skipped_checks(config_->auth.exceptions, {client.address, &command_.from, {}})),
      authentication_(begin_authentication()),
      intake_({pipeline.means().memory, pipeline.means().disk, pipeline.means().spool, pipeline.means().metrics,
               config_->spill_above, authentication_.get()}) {}

InSession::~InSession() = default;

// SPF starts here. Null: nothing is to be checked, or to be sealed.
std::unique_ptr<Authentication> InSession::begin_authentication() const {
  if (!config_->auth.active() && !config_->sealer) return nullptr;
  const auto& means = pipeline_.means();
  const auto now = means.clock->wall();
  auth::SpfInput envelope;
  envelope.client = client_.address;
  envelope.helo = client_.helo;
  envelope.mail_from = command_.from;
  envelope.receiver = config_->hostname;
  envelope.time = core::Wall::to_time_t(now);
  envelope.explain = config_->auth.spf == policy::AuthSettings::Spf::reject;  // nobody else reads it (DN-07)
  return std::make_unique<Authentication>(
      Authentication::Means{means.executor, means.resolver, means.dkim_library, means.metrics},
      verify_settings(*config_, now), std::move(envelope));
}

mail::Reply InSession::refuse(int code, mail::EnhancedCode enhanced, std::string_view text,
                              std::string_view reason) const {
  if (code < 500 || config_->help_url.empty()) return mail::make_refusal(code, enhanced, text, reason, id_);
  return mail::make_refusal(code, enhanced, std::string(text) + ". Refer to " + config_->help_url, reason, id_);
}

// ---- RCPT

// interface.md §6.25: SRS comes before everything. Errors are the reply.
std::optional<mail::Reply> InSession::resolve_srs(const mail::Mailbox& to, policy::Route& route) {
  if (!command_.from.null()) {  // RL-11: only bounces come back this way
    return refuse(550, {5, 7, 1}, "This address takes bounces only", "srs");
  }
  const auto original = config_->srs->reverse(to.local, pipeline_.means().clock->wall());
  if (original) {
    route.kind = policy::Route::Kind::forward;
    route.rule = kSrsRule;
    route.destinations.push_back(*original);
    return std::nullopt;
  }
  switch (original.error()) {
    case srs::ReverseError::expired:
    case srs::ReverseError::from_future:
      return refuse(550, {5, 7, 1}, "This bounce address is no longer valid", "srs");  // RL-09
    case srs::ReverseError::not_srs:
    case srs::ReverseError::malformed:
    case srs::ReverseError::bad_hash:
    case srs::ReverseError::forgotten:
      break;
  }
  if (pipeline_.count_forged_srs(client_.address)) {  // RL-08
    return refuse(421, {4, 7, 0}, "Too many invalid bounce addresses", "srs");
  }
  return refuse(550, {5, 1, 1}, "This bounce address was not made here", "srs");
}

// Who the recipient is; a reply when it is refused.
std::optional<mail::Reply> InSession::resolve(const mail::ForwardPath& to, policy::Route& route) {
  if (!to.is_bare_postmaster() && config_->srs->owns(to.mailbox)) return resolve_srs(to.mailbox, route);
  route = config_->routes->resolve(to, command_.from);
  switch (route.kind) {
    case policy::Route::Kind::forward:
    case policy::Route::Kind::drop:
      return std::nullopt;
    case policy::Route::Kind::reject: {
      const auto text = route.reply && !route.reply->lines.empty() ? route.reply->lines.front() : "Refused";
      const int code = route.reply ? route.reply->code : 550;
      const auto enhanced = route.reply ? route.reply->enhanced : mail::EnhancedCode{5, 1, 1};
      // The operator's own words stay as they are.
      const auto reason = enhanced == mail::EnhancedCode{5, 4, 6} ? "loop" : "rejected";
      return mail::make_refusal(code, enhanced, text, reason, id_);
    }
    case policy::Route::Kind::unknown:
      pipeline_.means().metrics->add(core::Counter::recipients_unknown);
      return refuse(550, {5, 1, 1}, "No such address here", "unknown-recipient");
    case policy::Route::Kind::sender_denied:
      return refuse(550, {5, 7, 1}, "This address does not take mail from you", "sender-denied");
    case policy::Route::Kind::not_ours:
      break;
  }
  return refuse(550, {5, 7, 1}, "We do not relay to this domain", "relay-denied");
}

// promise.md C.4: while the sender is not known to be ownable, a transaction has one destination group, unless one
// alias alone expands to several.
std::optional<mail::Reply> InSession::join_groups(const policy::Route& route, std::vector<Target>& targets) {
  std::set<std::string> keys;
  bool lmtp = false;
  for (const auto& destination : route.destinations) {
    targets.push_back(target_for(*config_, destination.domain));
    keys.insert(targets.back().key);
    lmtp = lmtp || targets.back().protocol == Protocol::lmtp;
  }
  const bool same = groups_.size() == 1 && keys.size() == 1 && *keys.begin() == groups_.front().target.key;
  // Groups whose every recipient was refused are none: the next recipient may go elsewhere.
  const bool in_use =
      std::any_of(recipients_.begin(), recipients_.end(), [](const Recipient& r) { return !r.legs.empty(); });
  if (!in_use) {
    if (!same) groups_.clear();
    return std::nullopt;
  }
  // LMTP answers each recipient on its own: two of them could end differently.
  if (same && !lmtp) return std::nullopt;
  return refuse(452, {4, 5, 3}, "One destination at a time, please send this recipient separately", "one-destination");
}

net::Awaitable<mail::Reply> InSession::rcpt(mail::RcptCommand command) {
  for (const auto& known : recipients_) {
    if (core::iequals(known.address.to_string(), command.to.to_string())) co_return mail::Reply(250, {2, 1, 5}, "Ok");
  }
  policy::Route route;
  if (auto refusal = resolve(command.to, route)) {
    log_recipient(command.to, "rejected", *refusal, route.rule);
    co_return std::move(*refusal);
  }
  Recipient recipient;
  recipient.address = command.to;
  recipient.rule = route.rule;
  recipient.domain = route.domain;
  if (route.kind == policy::Route::Kind::drop) co_return accept(std::move(recipient));

  if (auto refusal = co_await check_spf(route)) {
    log_recipient(command.to, refusal->permanent() ? "rejected" : "deferred", *refusal, route.rule);
    co_return std::move(*refusal);
  }
  std::vector<Target> targets;
  if (auto refusal = join_groups(route, targets)) {
    log_recipient(command.to, "deferred", *refusal, route.rule);
    co_return std::move(*refusal);
  }
  if (!srs_sender_) {
    auto sender = config_->srs->forward(command_.from, pipeline_.means().clock->wall());
    if (!sender) co_return refuse(451, {4, 3, 0}, "Cannot keep your return address now", "local-error");
    srs_sender_ = std::move(*sender);
  }
  for (std::size_t i = 0; i < targets.size(); ++i) {
    std::size_t group = 0;
    while (group < groups_.size() && groups_[group].target.key != targets[i].key) ++group;
    if (group == groups_.size()) {
      Order order;
      order.config = config_;
      order.target = targets[i];
      order.from = *srs_sender_;
      order.declared_size = command_.size.value_or(0);
      order.eight_bit = command_.body == mail::Body::eight_bit;
      order.smtputf8 = command_.smtputf8;
      order.client = core::client_network(client_.address);
      if (command_.requiretls) order.tls = TlsWish::required;
      Group fresh;
      fresh.target = targets[i];
      fresh.delivery = pipeline_.means().engine->start(std::move(order), log_);
      groups_.push_back(std::move(fresh));
    }
    Leg leg;
    leg.group = group;
    leg.destination = route.destinations[i];
    leg.index = groups_[group].delivery.add_recipient(route.destinations[i]);
    recipient.legs.push_back(std::move(leg));
  }
  if (!reverse_) reverse_.emplace(pipeline_.means().executor, *pipeline_.means().resolver, client_.address);
  co_return co_await settle_recipient(std::move(recipient));
}

// policy.spf = "reject": no upstream hears of a client that SPF refuses (promise.md C.3.1). Bounces to us need no SPF:
// the HMAC of their address is the proof (interface.md §6.21).
net::Awaitable<std::optional<mail::Reply>> InSession::check_spf(const policy::Route& route) {
  using Settings = policy::AuthSettings;
  if (config_->auth.spf != Settings::Spf::reject || route.rule == kSrsRule || skipped_.has(policy::Check::spf)) {
    co_return std::nullopt;
  }
  const auto* spf = co_await authentication_->spf(core::Deadline::after(kSpfPatience));
  auth::SpfResult unknown;
  unknown.result = auth::Verdict::temperror;
  co_return refusal_of(policy::decide_spf(config_->auth, spf != nullptr ? *spf : unknown, skipped_));
}

// The reply that a verdict asks for; nothing: go on.
std::optional<mail::Reply> InSession::refusal_of(const policy::Verdict& verdict) const {
  if (verdict.kind == policy::Verdict::Kind::accept) return std::nullopt;
  return refuse(verdict.code, verdict.enhanced, verdict.text, verdict.reason);
}

mail::Reply InSession::accept(Recipient recipient) {
  recipients_.push_back(std::move(recipient));
  return mail::Reply(250, {2, 1, 5}, "Ok");
}

// promise.md C.3.1, interface.md §6.11: the upstreams' verdicts, for as long as a client waits for a RCPT.
net::Awaitable<mail::Reply> InSession::settle_recipient(Recipient recipient) {
  const auto patience = core::Deadline::after(config_->delivery.rcpt_patience);
  std::vector<Result> refused;
  bool acceptable = false;
  for (auto& leg : recipient.legs) {
    auto& delivery = groups_[leg.group].delivery;
    auto verdict = co_await delivery.recipient_verdict(leg.index, patience);
    if (!verdict) {
      if (delivery.reached()) {
        acceptable = true;  // provisionally: the upstream goes on, its verdict counts at the dot
        continue;
      }
      verdict.emplace();
      verdict->reply = mail::Reply(451, {4, 4, 1}, "The destination cannot be reached now");
    }
    // C.3.1: a TLS policy that was not met counts at the dot, for "TLS-Required: No" may still come in the header.
    if (verdict->fate == mail::Fate::delivered || verdict->tls_policy) {
      acceptable = true;
    } else {
      leg.refused_at_rcpt = true;
      refused.push_back(Result{recipient.address.to_string(), std::move(*verdict)});
    }
  }
  if (acceptable) co_return accept(std::move(recipient));

  // Nobody takes it: a refusal that a retry may change outweighs one that is final.
  const bool all_final =
      std::all_of(refused.begin(), refused.end(), [](const Result& r) { return r.outcome.fate == mail::Fate::failed; });
  const auto address = recipient.address;
  const auto rule = recipient.rule;
  recipients_.push_back(std::move(recipient));  // so that its names are masked
  auto reply = compose_answer(all_final ? promise::Answer::refused : promise::Answer::later, refused,
                              config_->delivery.errors, masks(), id_);
  for (std::size_t i = 0; i < refused.size(); ++i) log_result(refused[i], recipients_.back().legs[i], reply);
  for (const auto& leg : recipients_.back().legs) groups_[leg.group].delivery.withdraw(leg.index);
  recipients_.pop_back();
  log_recipient(address, all_final ? "rejected" : "deferred", reply, rule);
  co_return reply;
}

std::vector<Mask> InSession::masks() const {
  std::vector<Mask> masks;
  for (const auto& recipient : recipients_) {
    for (const auto& leg : recipient.legs) {
      masks.push_back(Mask{leg.destination.to_string(), recipient.address.to_string()});
    }
  }
  if (srs_sender_ && !srs_sender_->null() && *srs_sender_ != command_.from) {
    masks.push_back(Mask{srs_sender_->to_string(), command_.from.to_string()});
  }
  return masks;
}

// ---- DATA

std::optional<mail::Reply> InSession::begin_data() {
  if (intake_.begin(command_.size.value_or(0))) {
    for (auto& group : groups_) group.delivery.data_begun();
    return std::nullopt;
  }
  return refuse(452, {4, 3, 1}, "No room for a message now, try again later", "memory");
}

// What is wrong with the message itself.
std::optional<mail::Reply> InSession::check_message() {
  const auto& headers = intake_.headers();
  if (headers.count("Received") > config_->received_headers) {  // LP-01, RFC 5321 §6.3
    return refuse(554, {5, 4, 6}, "Too many Received fields: a mail loop", "loop");
  }
  for (const auto* field : headers.all("Delivered-To")) {  // LP-02, RFC 9228
    for (const auto& recipient : recipients_) {
      if (config_->loop_token->verify(field->value(), recipient.address.mailbox)) {
        return refuse(554, {5, 4, 6}, "This message has been here already: a mail loop", "loop");
      }
    }
  }
  return std::nullopt;
}

// SPF, DKIM, ARC, DMARC, and what they mean. A reply when the message is refused for it.
net::Awaitable<std::optional<mail::Reply>> InSession::authenticate() {
  if (!authentication_) co_return std::nullopt;
  auto& metrics = *pipeline_.means().metrics;
  results_ = co_await authentication_->finish(core::Deadline::after(kAuthPatience));
  const auto& authors = authentication_->authors();
  skipped_ = policy::skipped_checks(config_->auth.exceptions, {client_.address, &command_.from, authors.domains});
  const bool bounce = command_.from.null() && std::ranges::all_of(recipients_, [](const Recipient& recipient) {
                        return recipient.rule == kSrsRule;
                      });
  verdict_ = policy::decide(config_->auth, {*results_, authors, command_.from, skipped_, bounce});
  log_authentication();
  if (verdict_.quarantine) metrics.add(core::Counter::auth_quarantined);
  if (verdict_.overridden) metrics.add(core::Counter::auth_overridden);
  if (verdict_.kind == policy::Verdict::Kind::reject) metrics.add(core::Counter::auth_rejected);
  if (verdict_.kind == policy::Verdict::Kind::defer) metrics.add(core::Counter::auth_deferred);
  co_return refusal_of(verdict_);
}

std::set<std::string> InSession::forwarded_domains() const {
  std::set<std::string> domains;
  for (const auto& recipient : recipients_) domains.insert(recipient.domain);
  return domains;
}

// What each next hop will find: SPF of our sender from our address there, and DMARC of the author by what is left of
// it.
net::Awaitable<std::optional<mail::Reply>> InSession::look_ahead() {
  if (!authentication_ || config_->auth.forecast == policy::AuthSettings::Forecast::off) co_return std::nullopt;
  const auto deadline = core::Deadline::after(kForecastPatience);
  const bool cut = !forged_results(intake_.headers(), intake_.header_section(), config_->hostname).empty();
  const auto ours = signing_domains(*config_, forwarded_domains());
  std::optional<mail::Reply> refusal;
  for (const auto& group : groups_) {
    auto source = group.delivery.source();
    if (!source) source = first_source(config_->delivery);  // the session was given back before it was ever opened
    auth::Future future;
    future.signed_domains = ours;
    future.results_cut = cut;
    if (source) {
      auto sender = *srs_sender_;
      future.spf = co_await pipeline_.spf_of_us(*source, std::move(sender), deadline);
    }
    const auto our_spf = auth::to_string(source ? future.spf.result : auth::Verdict::none);
    const auto expected = co_await authentication_->forecast(std::move(future), deadline);
    forecast_ = policy::forecast_word(expected);
    log_.info("forecast", {{"next_hop", group.target.key},
                           {"source", source ? source->to_string() : std::string()},
                           {"our_spf", our_spf},
                           {"dmarc", forecast_},
                           {"author", expected.domain},
                           {"policy", auth::to_string(expected.policy)},
                           {"dkim_aligned", expected.dkim_aligned}});
    if (expected.result == auth::Verdict::fail && expected.disposition != auth::DmarcPolicy::none) {
      pipeline_.means().metrics->add(core::Counter::forecast_failed);
    }
    auto reply = refusal_of(policy::decide_forecast(config_->auth, expected, skipped_));
    if (reply && !refusal) refusal = std::move(*reply);
  }
  co_return refusal;
}

std::shared_ptr<const ReceivedParcel> InSession::make_parcel(core::Result<void>& result) {
  const auto now = pipeline_.means().clock->wall();
  Dressing dressing{*config_, intake_.headers(), intake_.header_section(), intake_.body_hash(), {}, {}, {}};
  for (const auto& recipient : recipients_) {
    if (!recipient.legs.empty()) dressing.recipients.push_back(&recipient.address);
  }
  dressing.domains = forwarded_domains();
  if (results_) {
    dressing.results = &*results_;
    dressing.envelope = &authentication_->envelope();
    dressing.quarantine = verdict_.quarantine;
  }
  auto& info = dressing.received;
  info.client = &client_;
  info.ptr = reverse_ ? reverse_->name() : std::string();
  info.hostname = config_->hostname;
  info.id = id_;
  if (recipients_.size() == 1) info.only_recipient = recipients_.front().address.to_string();
  info.smtputf8 = command_.smtputf8;
  info.time = core::Wall::to_time_t(now);
  auto message = dress(dressing, now);
  if (!message) {
    result = message.error();
    return nullptr;
  }
  return std::make_shared<const ReceivedParcel>(std::move(*message), intake_.take(), *pipeline_.means().spool);
}

// Everything but the dots. False: the client may not be answered with more than 451, no dot must go out.
net::Awaitable<bool> InSession::stream_to_all(std::shared_ptr<const ReceivedParcel> parcel, core::Deadline deadline) {
  // interface.md §6.29: whether SMTPUTF8 is needed is decided by the header (addresses see to themselves).
  const bool utf8 = command_.smtputf8 && parcel->content().has_8bit_header;
  const bool lift_tls = !command_.requiretls && tls_is_optional(intake_.headers());  // RFC 8689 §4.1: the stronger wins
  for (auto& group : groups_) {
    if (lift_tls) group.delivery.lift_tls_policy();
    group.delivery.begin_body(parcel, utf8);
  }
  const auto limit = groups_.size() > 1 ? deadline.within(kGroupsWait) : deadline;
  bool all = true;
  for (auto& group : groups_) all = co_await group.delivery.ready(limit) && all;
  co_return all;
}

// C.3.2 and C.4 for a sender that is not ownable: no dot goes out when it is known that the client will have to come
// again, because some destination has put us off (docs/decisions/007), or because only some recipients are refused now
// that were not refused at RCPT (their retry hears each verdict at its RCPT).
bool InSession::must_hold_dots() const {
  bool refused_now = false, any_open = false;
  for (const auto& recipient : recipients_) {
    for (const auto& leg : recipient.legs) {
      const auto verdict = groups_[leg.group].delivery.known(leg.index);
      if (!verdict || verdict->fate == mail::Fate::deferred) return true;
      const bool by_rcpt = verdict->fate == mail::Fate::failed && verdict->scope == mail::Scope::recipient;
      refused_now = refused_now || (by_rcpt && !leg.refused_at_rcpt);
      any_open = any_open || verdict->fate == mail::Fate::delivered;
    }
  }
  return refused_now && any_open;
}

net::Awaitable<void> InSession::dot_to_all(ClientProbe& probe, core::Deadline deadline) {
  for (auto& group : groups_) {
    if (group.delivery.wants_dot()) group.delivery.send_dot();
  }
  for (auto& group : groups_) {
    static_cast<void>(co_await group.delivery.wait(deadline));
    // interface.md §6.8: the IPv6 address was refused, not the message; the same message goes out over IPv4 now.
    if (!group.delivery.other_family_may_help() || probe.gone()) continue;
    group.delivery.retry_other_family();
    if (!co_await group.delivery.ready(deadline) || !group.delivery.wants_dot() || probe.gone()) continue;
    group.delivery.send_dot();
    static_cast<void>(co_await group.delivery.wait(deadline));
  }
}

net::Awaitable<mail::Reply> InSession::end_of_data(ClientProbe& probe) {
  data_done_ = pipeline_.means().clock->steady();
  auto& metrics = *pipeline_.means().metrics;
  const auto deadline = core::Deadline::after(config_->delivery.deadline);
  const auto reject = [&](mail::Reply reply) {
    metrics.add(reply.permanent() ? core::Counter::messages_rejected : core::Counter::messages_deferred);
    for (const auto& recipient : recipients_) {
      log_recipient(recipient.address, reply.permanent() ? "rejected" : "deferred", reply, recipient.rule);
    }
    return reply;
  };
  switch (co_await intake_.finish()) {
    case Intake::Fault::none:
      break;
    case Intake::Fault::no_room:
      co_return reject(refuse(452, {4, 3, 1}, "No room for the message now, try again later", "memory"));
    case Intake::Fault::io:
      co_return reject(refuse(451, {4, 3, 0}, "The message could not be kept now, try again later", "local-error"));
    case Intake::Fault::header_too_large:
      co_return reject(refuse(552, {5, 3, 4}, "The header is larger than we take", "bad-header"));
    case Intake::Fault::malformed_header:
      co_return reject(refuse(550, {5, 6, 0}, "The header is malformed", "bad-header"));
  }
  size_ = intake_.size();
  if (auto refusal = check_message()) co_return reject(std::move(*refusal));
  if (groups_.empty()) {  // every recipient is dropped by rule
    metrics.add(core::Counter::messages_dropped);
    const mail::Reply reply(250, {2, 0, 0}, "Ok, id " + id_);
    for (const auto& recipient : recipients_) log_recipient(recipient.address, "dropped", reply, recipient.rule);
    co_return reply;
  }
  if (auto refusal = co_await authenticate()) co_return reject(std::move(*refusal));
  if (auto refusal = co_await look_ahead()) co_return reject(std::move(*refusal));
  if (reverse_) static_cast<void>(co_await reverse_->wait(core::Deadline::after(kReversePatience)));
  core::Result<void> signed_all;
  const auto parcel = make_parcel(signed_all);
  if (!signed_all) co_return reject(refuse(451, {4, 3, 0}, "The message could not be signed now", "local-error"));

  const bool ready = co_await stream_to_all(parcel, deadline);
  if (ready && !must_hold_dots()) {
    if (probe.gone()) {  // I3: nobody hears our answer; without a dot no copy exists
      log_.info("client_gone", {{"at", "dot"}});
      for (auto& group : groups_) group.delivery.abort();
      groups_.clear();
      co_return refuse(451, {4, 4, 2}, "You have left", "client-gone");
    }
    co_await dot_to_all(probe, deadline);
  }
  co_return conclude();
}

std::vector<Result> InSession::collect() const {
  std::vector<std::vector<mail::Outcome>> outcomes;
  for (const auto& group : groups_) outcomes.push_back(group.delivery.outcomes_so_far());
  std::vector<Result> results;
  for (const auto& recipient : recipients_) {
    for (const auto& leg : recipient.legs) {
      results.push_back(Result{recipient.address.to_string(), outcomes[leg.group][leg.index]});
    }
  }
  return results;
}

mail::Reply InSession::conclude() {
  auto& metrics = *pipeline_.means().metrics;
  const auto results = collect();
  std::vector<mail::Fate> fates;
  for (const auto& result : results) fates.push_back(result.outcome.fate);
  // There is no queue yet, so that no message can become ours.
  const auto decision = promise::decide(promise::Sender::not_ownable, fates);
  auto reply = compose_answer(decision.answer, results, config_->delivery.errors, masks(), id_);
  std::size_t i = 0;
  for (const auto& recipient : recipients_) {
    for (const auto& leg : recipient.legs) log_result(results[i++], leg, reply);
    if (recipient.legs.empty()) log_recipient(recipient.address, "dropped", reply, recipient.rule);
  }
  switch (decision.answer) {
    case promise::Answer::accepted:
      metrics.add(core::Counter::messages_forwarded);
      break;
    case promise::Answer::later:
      metrics.add(core::Counter::messages_deferred);
      break;
    case promise::Answer::refused:
    case promise::Answer::partial:
      metrics.add(core::Counter::messages_rejected);
      break;
  }
  return reply;
}

// ---- log

void InSession::log_recipient(const mail::ForwardPath& to, std::string_view status, const mail::Reply& reply,
                              std::string_view rule) const {
  log_.info("recipient", {{"status", status},
                          {"client_ip", client_.address.to_string()},
                          {"helo", client_.helo},
                          {"mail_from", command_.from.to_string()},
                          {"rcpt_to", to.to_string()},
                          {"rule", rule},
                          {"spf", word_of(Method::spf)},
                          {"dkim", word_of(Method::dkim)},
                          {"dmarc", word_of(Method::dmarc)},
                          {"arc", word_of(Method::arc)},
                          {"reply", reply.to_log()}});
}

// Everything that was found about the message's sender, in one event.
void InSession::log_authentication() const {
  const auto& results = *results_;
  std::string signatures;
  for (const auto& one : results.dkim) {
    if (one.result == auth::Verdict::none) continue;
    signatures +=
        fmt::format("{}{}/{}={}", signatures.empty() ? "" : " ", one.domain, one.selector, auth::to_string(one.result));
  }
  std::string_view action = "accept";
  if (verdict_.kind == policy::Verdict::Kind::reject) action = "reject";
  if (verdict_.kind == policy::Verdict::Kind::defer) action = "defer";
  if (verdict_.quarantine) action = "quarantine";
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
                               {"ownable", policy::is_ownable(command_.from, results, authentication_->authors())},
                               {"action", action},
                               {"overridden", verdict_.overridden}});
}

// "" when it was not looked at.
std::string_view InSession::word_of(Method method) const {
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

void InSession::log_result(const Result& result, const Leg& leg, const mail::Reply& reply) const {
  const auto& outcome = result.outcome;
  const bool delivered = outcome.fate == mail::Fate::delivered;
  const bool unknown = outcome.fate == mail::Fate::unknown || outcome.fate == mail::Fate::late;
  if (unknown) pipeline_.means().metrics->add(core::Counter::dup_possible);
  const auto* message_id = intake_.headers().first("Message-ID");
  const auto* subject = intake_.headers().first("Subject");
  const auto took = pipeline_.means().clock->steady() - data_done_;
  log_.info("delivery", {{"status", delivered                            ? "forwarded"
                                    : outcome.fate == mail::Fate::failed ? "rejected"
                                                                         : "deferred"},
                         {"message_id", message_id != nullptr ? mail::unfold(message_id->value()) : std::string()},
                         {"client_ip", client_.address.to_string()},
                         {"helo", client_.helo},
                         {"mail_from", command_.from.to_string()},
                         {"rcpt_to", result.shown},
                         {"destination", leg.destination.to_string()},
                         {"subject", subject != nullptr ? mail::unfold(subject->value()) : std::string()},
                         {"size", size_},
                         {"spf", word_of(Method::spf)},
                         {"dkim", word_of(Method::dkim)},
                         {"dmarc", word_of(Method::dmarc)},
                         {"arc", word_of(Method::arc)},
                         {"quarantine", verdict_.quarantine},
                         {"forecast", forecast_},
                         {"reply", reply.to_log()},
                         {"upstream_host", outcome.host},
                         {"upstream_address", outcome.address},
                         {"upstream_tls", outcome.tls},
                         {"upstream_reply", outcome.from_peer ? outcome.reply.to_log() : std::string()},
                         {"error", delivered || outcome.from_peer ? std::string() : outcome.reply.to_log()},
                         {"dup_possible", unknown},
                         {"ms", data_done_ == core::Steady::time_point()
                                    ? std::int64_t{0}
                                    : std::chrono::duration_cast<core::Milliseconds>(took).count()}});
}

}  // namespace forwarder
