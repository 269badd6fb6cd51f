// From the end of the data to the dots and their answers (promise.md C.3.3 to C.4.3): the ledger, authentication, what
// goes on top, who is waited for and how long. in_session_end.cpp decides what comes of it.
#include <algorithm>

#include "core/failpoint.hpp"
#include "forwarder/dressing.hpp"
#include "forwarder/in_session.hpp"
#include "forwarder/tls_policy.hpp"
#include "forwarder/trouble.hpp"

namespace forwarder {
namespace {

// promise.md C.4.1: how long a group that is ready waits for one that is not.
constexpr core::Seconds kGroupsWait{10};
// The reverse name is for the Received field only: nobody waits long for it.
constexpr core::Seconds kReversePatience{1};
// threats DN-08: all of authentication is over so long after the final dot, known or not.
constexpr core::Seconds kAuthPatience{5};
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

// What a leg is that nobody has asked about: its message is to be queued.
mail::Outcome to_be_queued() {
  mail::Outcome outcome;
  outcome.fate = mail::Fate::late;
  outcome.scope = mail::Scope::message;
  outcome.reply = mail::Reply(451, {4, 4, 0}, "Not tried yet");
  return outcome;
}

}  // namespace

mail::Reply InSession::reject(mail::Reply reply) {
  auto& metrics = *pipeline_.means().metrics;
  metrics.add(reply.permanent() ? core::Counter::messages_rejected : core::Counter::messages_deferred);
  for (const auto& recipient : recipients_) {
    record_.recipient(recipient.address, reply.permanent() ? "rejected" : "deferred", reply, recipient.rule);
  }
  return reply;
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
  if (is_repeating()) return refuse(554, {5, 4, 6}, "This message has been here too often: a mail loop", "loop");
  return std::nullopt;
}

// LP-04: a loop that takes our marks off. Messages without a Message-ID cannot be told from notices that are all alike.
bool InSession::is_repeating() {
  const auto* field = intake_.headers().first("Message-ID");
  auto* state = pipeline_.means().admission;
  if (state == nullptr || field == nullptr) return false;
  const auto message_id = mail::unfold(field->value());
  const auto body = intake_.body_hash().to_base64();
  for (const auto& recipient : recipients_) {
    const auto address = recipient.address.to_string();
    auto passage = state->repeats.enter({message_id, address, body}, pipeline_.means().clock->steady());
    if (!passage) return true;
    passages_.push_back(std::move(passage));
  }
  return false;
}

// promise.md C.5: what is known of these copies. A reply when somebody else's attempt is not over, or there is no room.
net::Awaitable<std::optional<mail::Reply>> InSession::consult_ledger(core::Deadline deadline) {
  if (durable() == nullptr || durable()->ledger == nullptr) co_return std::nullopt;
  Shield::Origin origin;
  origin.digest = hasher_.finish(intake_.headers());
  origin.sender = command_.from.to_string();
  origin.trace = id_;
  const auto* spf = authentication_ ? co_await authentication_->spf(core::Deadline::after(kAuthPatience)) : nullptr;
  const bool passed = spf != nullptr && policy::is_ownable(command_.from, *spf);
  origin.scope = queue::make_scope(passed ? spf->domain : std::string(), client_.address);
  shield_.know(std::move(origin));
  for (auto& recipient : recipients_) {
    for (auto& leg : recipient.legs) shield_.name(recipient, leg);
  }
  switch (co_await shield_.consult(recipients_, deadline)) {
    case Shield::State::go_on:
      co_return std::nullopt;
    case Shield::State::busy:
      co_return refuse(451, {4, 4, 2}, "An earlier attempt to deliver this message is not over", "in-flight");
    case Shield::State::full:
      break;
  }
  co_return refuse(451, {4, 3, 0}, "Too much is on its way now, try again later", "local-error");
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
  record_.results(*results_);
  record_.verdict(verdict_);
  ownable_ = can_own() && policy::is_ownable(command_.from, *results_, authors);
  record_.authentication(verdict_, ownable_);
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
  std::map<std::string, std::optional<core::IpAddress>> sources;  // by next hop
  for (const auto& recipient : recipients_) {
    for (const auto& leg : recipient.legs) {
      auto& source = sources[target_for(*config_, leg.destination.domain).key];
      if (leg.group) source = groups_[*leg.group].delivery.source();
    }
  }
  std::optional<mail::Reply> refusal;
  for (auto& [next_hop, source] : sources) {
    if (!source) source = first_source(config_->delivery);  // no session with it is open yet
    auth::Future future;
    future.signed_domains = ours;
    future.results_cut = cut;
    if (source) {
      auto sender = *srs_sender_;
      future.spf = co_await pipeline_.spf_of_us(*source, std::move(sender), deadline);
    }
    const auto our_spf = auth::to_string(source ? future.spf.result : auth::Verdict::none);
    const auto expected = co_await authentication_->forecast(std::move(future), deadline);
    const auto word = policy::forecast_word(expected);
    record_.forecast(word);
    log_.info("forecast", {{"next_hop", next_hop},
                           {"source", source ? source->to_string() : std::string()},
                           {"our_spf", our_spf},
                           {"dmarc", word},
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

queue::Envelope InSession::envelope_of(const ReceivedParcel& parcel) const {
  queue::Envelope envelope;
  envelope.id = id_;
  envelope.sender = command_.from;
  envelope.srs_sender = *srs_sender_;
  envelope.envid = command_.envid;
  envelope.ret = command_.ret;
  envelope.eight_bit = command_.body == mail::Body::eight_bit;
  envelope.smtputf8 = command_.smtputf8;
  envelope.needs_smtputf8 = needs_utf8_;
  envelope.requiretls = command_.requiretls;
  envelope.tls_optional = tls_optional_;
  envelope.has_8bit_header = parcel.content().has_8bit_header;
  envelope.has_8bit_body = parcel.content().has_8bit_body;
  envelope.client_ip = client_.address.to_string();
  envelope.helo = client_.helo;
  const auto text_of = [&](std::string_view name) {
    const auto* field = intake_.headers().first(name);
    return field != nullptr ? mail::unfold(field->value()) : std::string();
  };
  envelope.message_id = text_of("Message-ID");
  envelope.subject = text_of("Subject");
  envelope.header_size = parcel.header_text().size();
  return envelope;
}

// interface.md §6.2: a sender that is not ownable takes the in-session path; its next hops are asked now.
net::Awaitable<void> InSession::open_queue_legs() {
  const auto patience = core::Deadline::after(config_->delivery.rcpt_patience);
  for (auto& recipient : recipients_) {
    for (auto& leg : recipient.legs) {
      if (!leg.group && !leg.settled) ask(recipient, leg);
    }
  }
  for (auto& recipient : recipients_) {
    if (recipient.custody != policy::Custody::queue) continue;
    for (auto& leg : recipient.legs) {
      mail::Outcome refusal;
      if (leg.group && !co_await settle_leg(recipient, leg, patience, refusal)) leg.refused_at_rcpt = true;
    }
  }
}

void InSession::begin_bodies() {
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    auto& delivery = groups_[g].delivery;
    for (const auto& recipient : recipients_) {
      for (const auto& leg : recipient.legs) {
        if (leg.group == g && leg.settled) delivery.withdraw(leg.index);
      }
    }
    if (tls_wish() == TlsWish::optional) delivery.lift_tls_policy();
    delivery.begin_body(parcel_, needs_utf8_);
  }
}

// Everything but the dots is out, everywhere. False: not by the deadline.
net::Awaitable<bool> InSession::all_ready(core::Deadline deadline) {
  const auto limit = groups_.size() > 1 ? deadline.within(kGroupsWait) : deadline;
  bool all = true;
  for (auto& group : groups_) all = co_await group.delivery.ready(limit) && all;
  co_return all;
}

// For a sender that is not ownable: no dot goes out when only some recipients are refused now that were not refused at
// RCPT: their retry hears each verdict at its RCPT (C.3.2). Without a ledger, also when it is known that the client
// will have to come again anyway, because some destination has put us off: the retry would make second copies.
bool InSession::must_hold_dots() const {
  if (ownable_) return false;
  const bool remembers = durable() != nullptr && durable()->ledger != nullptr;
  bool refused_now = false, any_open = false;
  for (const auto& recipient : recipients_) {
    for (const auto& leg : recipient.legs) {
      if (leg.settled || !leg.group) continue;
      const auto verdict = groups_[*leg.group].delivery.known(leg.index);
      if (!remembers && (!verdict || verdict->fate == mail::Fate::deferred)) return true;
      if (!verdict) continue;
      const bool by_rcpt = verdict->fate == mail::Fate::failed && verdict->scope == mail::Scope::recipient;
      refused_now = refused_now || (by_rcpt && !leg.refused_at_rcpt);
      any_open = any_open || verdict->fate == mail::Fate::delivered;
    }
  }
  return refused_now && any_open;
}

void InSession::journal_and_send(Group& group) {
  ONWARD_FAILPOINT(k10_before_dot_journal);
  group.flight.journal_dot();
  ONWARD_FAILPOINT(k11_after_dot_journal);
  group.delivery.send_dot();
  group.dot_sent = true;
}

void InSession::send_dots() {
  for (auto& group : groups_) {
    if (group.dot_sent || !group.delivery.wants_dot()) continue;
    journal_and_send(group);
  }
}

// What a destination has taken is remembered before anything else can go wrong, and while others are still waited for.
void InSession::journal_delivered() {
  for (const auto& recipient : recipients_) {
    for (const auto& leg : recipient.legs) {
      if (leg.settled || !leg.group || !leg.flight) continue;
      auto& group = groups_[*leg.group];
      if (!group.delivery.settled(leg.index) || !group.flight.open(*leg.flight)) continue;
      const auto outcome = outcome_of(leg);
      if (outcome.fate != mail::Fate::delivered) continue;
      group.flight.settle(*leg.flight, outcome);
      ONWARD_FAILPOINT(k14_2xx_journalled);
    }
  }
}

net::Awaitable<void> InSession::collect_answers(ClientProbe& probe, core::Deadline deadline) {
  const auto news = std::make_shared<net::Signal>(pipeline_.means().executor);
  for (auto& group : groups_) group.delivery.watch(news);
  const auto is_over = [](const Group& group) { return !group.dot_sent || group.delivery.finished(); };
  while (!std::ranges::all_of(groups_, is_over) && co_await news->wait(deadline)) journal_delivered();
  journal_delivered();
  for (auto& group : groups_) {
    if (group.dot_sent) co_await try_other_family(group, probe, deadline);
  }
}

// interface.md §6.8: the IPv6 address was refused, not the message; the same message goes out over IPv4 now.
net::Awaitable<void> InSession::try_other_family(Group& group, ClientProbe& probe, core::Deadline deadline) {
  if (!group.delivery.other_family_may_help() || probe.gone()) co_return;
  group.delivery.retry_other_family();
  group.dot_sent = false;
  if (!co_await group.delivery.ready(deadline) || !group.delivery.wants_dot() || probe.gone()) co_return;
  journal_and_send(group);
  static_cast<void>(co_await group.delivery.wait(deadline));
}

// Rules with `fallback`: the destination will not have the message, by policy; the next one is tried now. True: a leg
// was tried.
net::Awaitable<bool> InSession::try_fallbacks(ClientProbe& probe, core::Deadline deadline) {
  bool tried = false;
  for (auto& recipient : recipients_) {
    for (auto& leg : recipient.legs) {
      if (leg.settled || !leg.group || leg.fallback.empty() || !is_policy_refusal(outcome_of(leg))) continue;
      if (deadline.passed() || probe.gone()) co_return tried;
      if (leg.flight) groups_[*leg.group].flight.settle(*leg.flight, outcome_of(leg));
      leg.next_fallback();
      leg.flight.reset();
      leg.refused_at_rcpt = false;
      shield_.name(recipient, leg);
      const auto group = groups_.size();
      Group fresh;
      fresh.target = target_for(*config_, leg.destination.domain);
      fresh.delivery = pipeline_.means().engine->start(order_for(fresh.target), log_);
      groups_.push_back(std::move(fresh));
      leg.group = group;
      leg.index = groups_[group].delivery.add_recipient(
          leg.destination,
          passed_on(config_->delivery.errors, recipient.notify, recipient.orcpt_type, recipient.orcpt));
      tried = true;
      if (co_await shield_.consult(recipients_, deadline) != Shield::State::go_on || leg.settled) continue;
      if (co_await shield_.claim(recipients_, groups_, deadline) != Shield::State::go_on || leg.settled) continue;
      auto& delivery = groups_[group].delivery;
      delivery.begin_body(parcel_, needs_utf8_);
      if (!co_await delivery.ready(deadline) || probe.gone()) continue;
      send_dots();
      static_cast<void>(co_await delivery.wait(deadline));
    }
  }
  co_return tried;
}

// Brings the message to all groups. A reply when it ends before any dot.
net::Awaitable<std::optional<mail::Reply>> InSession::relay(ClientProbe& probe, core::Deadline deadline) {
  const auto busy = [&](Shield::State state) {
    return state == Shield::State::busy
               ? refuse(451, {4, 4, 2}, "An earlier attempt to deliver this message is not over", "in-flight")
               : refuse(451, {4, 3, 0}, "Too much is on its way now, try again later", "local-error");
  };
  if (!ownable_) co_await open_queue_legs();
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    if (!shield_.needs_care(recipients_, g)) continue;
    groups_[g].delivery.be_careful();
    record_.announce_copy(groups_[g].target.key);
  }
  auto state = co_await shield_.claim(recipients_, groups_, deadline);
  if (state == Shield::State::go_on) state = co_await shield_.claim_unasked(recipients_, unasked_, deadline);
  if (state != Shield::State::go_on) co_return busy(state);
  if (groups_.empty() && !probe.gone()) co_return std::nullopt;  // all of it is bound for the queue
  if (ownable_ && groups_.size() > 1) {  // C.4.2: what is ours if only some take it is on disk before the first dot
    custody_.emplace(Custody::Means{*durable(), *config_, pipeline_.means().executor}, envelope_of(*parcel_), parcel_);
    if (const auto error = co_await custody_->provide(recipients_)) {
      log_.warn("not_stored", {{"error", core::describe(error)}});
      custody_.reset();
      co_return refuse(451, {4, 3, 0}, "The message could not be kept now, try again later", "local-error");
    }
  }
  begin_bodies();
  const bool ready = co_await all_ready(deadline);
  const bool remembers = durable() != nullptr && durable()->ledger != nullptr;
  if (!ready && !ownable_ && !remembers) co_return std::nullopt;
  if (must_hold_dots()) co_return std::nullopt;
  // I3: nobody hears our answer, and the client may be on its way with the same message already; without a dot, and
  // without a row that is ours, no copy exists.
  if (probe.gone()) {
    log_.info("client_gone", {{"at", "dot"}});
    for (auto& group : groups_) group.delivery.abort();
    groups_.clear();
    if (custody_) custody_->drop();
    co_return refuse(451, {4, 4, 2}, "You have left", "client-gone");
  }
  send_dots();
  co_await collect_answers(probe, deadline);
  while (co_await try_fallbacks(probe, deadline)) {
  }
  co_return std::nullopt;
}

net::Awaitable<mail::Reply> InSession::end_of_data(ClientProbe& probe) {
  record_.data_done();
  ONWARD_FAILPOINT(k05_end_of_data);
  const auto deadline = core::Deadline::after(config_->delivery.deadline);
  const auto& patience = config_->delivery.handoff;
  const auto handoff = patience.count() > 0 ? deadline.within(patience) : deadline;
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
  record_.message(intake_.headers(), intake_.size());
  header_known_ = true;
  tls_optional_ = tls_is_optional(intake_.headers());
  if (auto refusal = check_message()) {
    pipeline_.means().metrics->add(core::Counter::loops);
    co_return reject(std::move(*refusal));
  }
  const auto has_legs = [](const Recipient& recipient) { return !recipient.legs.empty(); };
  if (std::ranges::none_of(recipients_, has_legs)) {  // every recipient is dropped by rule
    pipeline_.means().metrics->add(core::Counter::messages_dropped);
    const mail::Reply reply(250, {2, 0, 0}, "Ok, id " + id_);
    for (const auto& recipient : recipients_) record_.recipient(recipient.address, "dropped", reply, recipient.rule);
    co_return reply;
  }
  if (auto refusal = co_await consult_ledger(deadline)) co_return reject(std::move(*refusal));
  const auto is_settled = [](const Leg& leg) { return leg.settled.has_value(); };
  const bool all_known = std::ranges::all_of(
      recipients_, [&](const Recipient& recipient) { return std::ranges::all_of(recipient.legs, is_settled); });
  if (all_known) co_return co_await conclude();

  if (auto refusal = co_await authenticate()) co_return reject(std::move(*refusal));
  ONWARD_FAILPOINT(k06_auth_done);
  if (auto refusal = co_await look_ahead()) co_return reject(std::move(*refusal));
  if (reverse_) static_cast<void>(co_await reverse_->wait(core::Deadline::after(kReversePatience)));
  core::Result<void> signed_all;
  parcel_ = make_parcel(signed_all);
  if (!signed_all) co_return reject(refuse(451, {4, 3, 0}, "The message could not be signed now", "local-error"));
  // interface.md §6.29: whether SMTPUTF8 is needed is decided by the header (addresses see to themselves).
  needs_utf8_ = command_.smtputf8 && parcel_->content().has_8bit_header;
  if (auto refusal = co_await relay(probe, ownable_ ? handoff : deadline)) co_return reject(std::move(*refusal));
  co_return co_await conclude();
}

mail::Outcome InSession::outcome_of(const Leg& leg) const {
  if (leg.settled) return *leg.settled;
  if (!leg.group) return to_be_queued();
  return groups_[*leg.group].delivery.outcomes_so_far()[leg.index];
}

}  // namespace forwarder
