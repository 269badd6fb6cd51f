#include "forwarder/in_session.hpp"

#include <algorithm>

#include "core/failpoint.hpp"
#include "core/text.hpp"
#include "forwarder/trouble.hpp"

namespace forwarder {
namespace {

// RFC 7208 §4.6.4, where SPF decides at RCPT.
constexpr core::Seconds kSpfPatience{20};
// Where SPF only decides how many destinations a transaction may have.
constexpr core::Seconds kOwnablePatience{5};

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
      record_(log_, client_, command_, id_, durable() != nullptr ? durable()->activity : nullptr,
              *pipeline.means().clock),
      skipped_(policy::skipped_checks(config_->auth.exceptions, {client.address, &command_.from, {}})),
      inspection_(pipeline.admission(), {config_, client_, command_.from, skipped_}, log_),
      authentication_(begin_authentication()),
      shield_(durable() != nullptr ? durable()->ledger : nullptr),
      intake_({pipeline.means().memory, pipeline.means().disk, pipeline.means().spool, pipeline.means().metrics,
               config_->spill_above, this}) {}

InSession::~InSession() {
  leave_behind();
}

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

void InSession::octets(std::string_view slice) {
  if (durable() != nullptr && durable()->ledger != nullptr) hasher_.update(slice);
}

void InSession::headers(const mail::Headers& headers) {
  if (authentication_) authentication_->headers(headers);
}

void InSession::body(std::string_view slice) {
  if (authentication_) authentication_->body(slice);
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
    route.fallbacks.emplace_back();
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

// What the rules refuse by themselves.
std::optional<mail::Reply> InSession::refusal_by_rule(const policy::Route& route) const {
  switch (route.kind) {
    case policy::Route::Kind::forward:
    case policy::Route::Kind::drop:
      return std::nullopt;
    case policy::Route::Kind::reject: {
      const auto text = route.reply && !route.reply->lines.empty() ? route.reply->lines.front() : "Refused";
      const int code = route.reply ? route.reply->code : 550;
      const auto enhanced = route.reply ? route.reply->enhanced : mail::EnhancedCode{5, 1, 1};
      // The operator's own words stay as they are.
      const auto reason = code == 554 && enhanced == mail::EnhancedCode{5, 4, 6} ? "loop" : "rejected";
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

// Who the recipient is; a reply when the client or the recipient is refused. Whom we refuse or put off learns nothing
// about who is here (RL-13): what is about the client comes first, whoever is asked for; and no next hop hears of it.
net::Awaitable<std::optional<mail::Reply>> InSession::resolve(mail::ForwardPath to, policy::Route& route) {
  const auto admitted = co_await inspection_.recipient();
  record_.listed_by(inspection_.listed_by());
  if (auto refusal = refusal_of(admitted)) co_return refusal;
  // The HMAC of our own addresses is their proof (interface.md §6.21); and a bounce comes once, nobody repeats it.
  if (!to.is_bare_postmaster() && config_->srs->owns(to.mailbox)) co_return resolve_srs(to.mailbox, route);
  if (auto refusal = co_await check_spf()) co_return refusal;
  route = config_->routes->resolve(to, command_.from);
  if (route.kind != policy::Route::Kind::not_ours) {  // which domains are ours, the MX records tell
    const auto known = co_await inspection_.greylist(route.rule.empty() ? to.to_string() : route.rule);
    if (auto refusal = refusal_of(known)) co_return refusal;
  }
  co_return refusal_by_rule(route);
}

net::Awaitable<bool> InSession::ownable_by_spf() {
  if (!can_own() || !authentication_ || command_.from.null()) co_return false;
  const auto* spf = co_await authentication_->spf(core::Deadline::after(kOwnablePatience));
  co_return spf != nullptr&& policy::is_ownable(command_.from, *spf);
}

// promise.md C.4: while the sender is not known to be ownable, a transaction has one destination group, unless one
// alias alone expands to several.
net::Awaitable<std::optional<mail::Reply>> InSession::check_groups(const policy::Route& route) {
  std::set<std::string> had, wanted;
  bool lmtp = false;
  for (const auto& recipient : recipients_) {
    for (const auto& leg : recipient.legs) had.insert(target_for(*config_, leg.destination.domain).key);
  }
  for (const auto& destination : route.destinations) {
    const auto target = target_for(*config_, destination.domain);
    wanted.insert(target.key);
    lmtp = lmtp || target.protocol == Protocol::lmtp;
  }
  if (had.empty()) {
    groups_.clear();  // groups whose every recipient was refused are none: the next recipient may go elsewhere
    co_return std::nullopt;
  }
  // LMTP answers each recipient on its own: two of them could end differently.
  if (had == wanted && had.size() == 1 && !lmtp) co_return std::nullopt;
  if (co_await ownable_by_spf()) co_return std::nullopt;
  co_return refuse(452, {4, 5, 3}, "One destination at a time, please send this recipient separately",
                   "one-destination");
}

// Mail that is bound for the queue needs a queue (RS-14, promise.md C.6).
std::optional<mail::Reply> InSession::check_queue_room(const Recipient& recipient) const {
  if (recipient.custody != policy::Custody::queue || durable() == nullptr || durable()->store == nullptr) {
    return std::nullopt;
  }
  switch (durable()->store->room(config_->message_size)) {
    case queue::Room::ok:
      return std::nullopt;
    case queue::Room::full:
    case queue::Room::high_water:
      return refuse(452, {4, 3, 1}, "The queue is full, try again later", "memory");
    case queue::Room::sealed:
      break;
  }
  return refuse(451, {4, 3, 0}, "The queue does not take mail now, try again later", "local-error");
}

net::Awaitable<mail::Reply> InSession::rcpt(mail::RcptCommand command) {
  for (const auto& known : recipients_) {
    if (core::iequals(known.address.to_string(), command.to.to_string())) co_return mail::Reply(250, {2, 1, 5}, "Ok");
  }
  policy::Route route;
  const auto refused = [&](mail::Reply reply) {
    record_.recipient(command.to, reply.permanent() ? "rejected" : "deferred", reply, route.rule);
    return reply;
  };
  if (auto refusal = co_await resolve(command.to, route)) co_return refused(std::move(*refusal));
  Recipient recipient;
  recipient.address = command.to;
  recipient.rule = route.rule;
  recipient.domain = route.domain;
  recipient.custody = route.custody.value_or(config_->delivery.custody);
  recipient.notify = command.notify;
  recipient.orcpt_type = std::move(command.orcpt_type);
  recipient.orcpt = std::move(command.orcpt);
  if (route.kind == policy::Route::Kind::drop) co_return accept(std::move(recipient));

  if (route.rule != kSrsRule) {
    if (auto refusal = refusal_of(inspection_.rule(route))) co_return refused(std::move(*refusal));
  }
  if (auto refusal = co_await check_groups(route)) co_return refused(std::move(*refusal));
  if (auto refusal = check_queue_room(recipient)) co_return refused(std::move(*refusal));
  if (!srs_sender_) {
    auto sender = config_->srs->forward(command_.from, pipeline_.means().clock->wall());
    if (!sender) co_return refuse(451, {4, 3, 0}, "Cannot keep your return address now", "local-error");
    srs_sender_ = std::move(*sender);
  }
  for (std::size_t i = 0; i < route.destinations.size(); ++i) {
    Leg leg;
    leg.destination = route.destinations[i];
    leg.fallback = route.fallbacks[i];
    recipient.legs.push_back(std::move(leg));
  }
  if (!reverse_) reverse_ = inspection_.reverse();
  // interface.md §6.2: answered by the rule alone; without a queue there is only the in-session path.
  if (recipient.custody == policy::Custody::queue && durable() != nullptr) co_return accept(std::move(recipient));
  for (auto& leg : recipient.legs) ask(recipient, leg);
  co_return co_await settle_recipient(std::move(recipient));
}

// RFC 8689 §4.1: where a message asks for both, REQUIRETLS wins.
TlsWish InSession::tls_wish() const {
  if (command_.requiretls) return TlsWish::required;
  return tls_optional_ ? TlsWish::optional : TlsWish::ordinary;
}

Order InSession::order_for(Target target) const {
  Order order;
  order.config = config_;
  order.target = std::move(target);
  order.from = *srs_sender_;
  order.declared_size = command_.size.value_or(0);
  order.eight_bit = command_.body == mail::Body::eight_bit;
  order.smtputf8 = command_.smtputf8;
  if (config_->delivery.errors == ErrorDetail::full) {  // interface.md §6.24
    order.ret = command_.ret;
    order.envid = command_.envid;
  }
  order.client = core::client_network(client_.address);
  order.tls = tls_wish();
  return order;
}

// Puts the leg to its next hop: in the group that is there already, or in a new one.
void InSession::ask(const Recipient& recipient, Leg& leg) {
  auto target = target_for(*config_, leg.destination.domain);
  std::size_t group = 0;
  while (group < groups_.size() && groups_[group].target.key != target.key) ++group;
  if (group == groups_.size()) {
    Group fresh;
    fresh.target = target;
    fresh.delivery = pipeline_.means().engine->start(order_for(std::move(target)), log_);
    groups_.push_back(std::move(fresh));
  }
  leg.group = group;
  leg.index = groups_[group].delivery.add_recipient(
      leg.destination, passed_on(config_->delivery.errors, recipient.notify, recipient.orcpt_type, recipient.orcpt));
}

// policy.spf = "reject": no upstream hears of a client that SPF refuses (promise.md C.3.1).
net::Awaitable<std::optional<mail::Reply>> InSession::check_spf() {
  using Settings = policy::AuthSettings;
  if (config_->auth.spf != Settings::Spf::reject || skipped_.has(policy::Check::spf)) co_return std::nullopt;
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
  ONWARD_FAILPOINT(k02_rcpt);
  return mail::Reply(250, {2, 1, 5}, "Ok");
}

// The upstream's verdict on one leg, or on its fallbacks after a policy refusal. True: accepted, perhaps provisionally.
net::Awaitable<bool> InSession::settle_leg(const Recipient& recipient, Leg& leg, core::Deadline patience,
                                           mail::Outcome& refusal) {
  for (;;) {
    auto& delivery = groups_[*leg.group].delivery;
    const auto verdict = co_await delivery.recipient_verdict(leg.index, patience);
    if (!verdict) {
      // Provisionally: the upstream goes on, its verdict counts at the dot.
      if (delivery.reached()) co_return true;
      refusal.reply = mail::Reply(451, {4, 4, 1}, "The destination cannot be reached now");
      co_return false;
    }
    if (verdict->fate == mail::Fate::delivered) co_return true;
    // C.3.1: a TLS policy that was not met counts at the dot: "TLS-Required: No" may still come in the header.
    if (verdict->tls_policy && !header_known_) co_return true;
    refusal = *verdict;
    if (leg.fallback.empty() || !is_policy_refusal(*verdict)) co_return false;
    delivery.withdraw(leg.index);
    leg.next_fallback();
    ask(recipient, leg);
  }
}

// promise.md C.3.1, interface.md §6.11: the upstreams' verdicts, for as long as a client waits for a RCPT.
net::Awaitable<mail::Reply> InSession::settle_recipient(Recipient recipient) {
  const auto patience = core::Deadline::after(config_->delivery.rcpt_patience);
  std::vector<Result> refused;
  bool acceptable = false;
  for (auto& leg : recipient.legs) {
    mail::Outcome refusal;
    if (co_await settle_leg(recipient, leg, patience, refusal)) {
      acceptable = true;
    } else {
      leg.refused_at_rcpt = true;
      refused.push_back(Result{recipient.address.to_string(), std::move(refusal)});
    }
  }
  if (acceptable) co_return accept(std::move(recipient));

  // Nobody takes it: a refusal that a retry may change outweighs one that is final.
  const bool all_final =
      std::ranges::all_of(refused, [](const Result& result) { return result.outcome.fate == mail::Fate::failed; });
  recipients_.push_back(std::move(recipient));  // so that its names are masked
  auto reply = compose_answer(all_final ? promise::Answer::refused : promise::Answer::later, refused,
                              config_->delivery.errors, masks(), id_);
  const auto& written = recipients_.back();
  for (std::size_t i = 0; i < refused.size(); ++i) {
    const auto& leg = written.legs[i];
    groups_[*leg.group].delivery.withdraw(leg.index);
    const bool failed = refused[i].outcome.fate == mail::Fate::failed;
    record_.delivery({refused[i].shown, leg.destination, refused[i].outcome, failed ? "rejected" : "deferred"}, reply);
  }
  recipients_.pop_back();
  co_return reply;
}

std::vector<Mask> InSession::masks() const {
  std::vector<Mask> masks;
  for (const auto& recipient : recipients_) {
    for (const auto& leg : recipient.legs) {
      const auto hide = [&](const mail::Mailbox& hidden) {
        masks.push_back(Mask{hidden.to_string(), recipient.address.to_string()});
      };
      hide(leg.destination);
      for (const auto& other : leg.earlier) hide(other);
      for (const auto& other : leg.fallback) hide(other);
    }
  }
  if (srs_sender_ && !srs_sender_->null() && *srs_sender_ != command_.from) {
    masks.push_back(Mask{srs_sender_->to_string(), command_.from.to_string()});
  }
  return masks;
}

std::optional<mail::Reply> InSession::begin_data() {
  if (intake_.begin(command_.size.value_or(0))) {
    for (auto& group : groups_) group.delivery.data_begun();
    return std::nullopt;
  }
  return refuse(452, {4, 3, 1}, "No room for a message now, try again later", "memory");
}

}  // namespace forwarder
