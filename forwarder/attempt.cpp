#include "forwarder/attempt.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "core/failpoint.hpp"
#include "mail/data_codec.hpp"

namespace forwarder {
namespace {

// A message up to this size leaves in one write together with its dot.
constexpr std::size_t kHeldAtMost = kWholeSlice;
constexpr core::Seconds kResetTimeout{10};

}  // namespace

// ---- the owner's side

Attempt::~Attempt() {
  if (engine_gone) return;
  engine_.attempts_.erase(this);
  engine_.unlend(*this);
}

Attempt::Attempt(Engine& engine, Order order, core::Log log)
    : changed(engine.executor_),
      engine_(engine),
      order_(std::move(order)),
      log_(std::move(log)),
      wake_(engine.executor_),
      pass_(engine.gate_.enter()),
      deadline_(core::Deadline::after(order_.config->delivery.deadline)),
      candidates_({engine.resolver_, engine.random_, engine.metrics_, engine.marks_, engine.families_,
                   engine.transport(), engine.sts(), abandoned_, changed},
                  order_.config, order_.target, order_.tls, log_) {
  engine_.attempts_.insert(this);
}

std::size_t Attempt::add(mail::Mailbox to, RcptParameters parameters) {
  Recipient recipient;
  recipient.to = std::move(to);
  recipient.parameters = std::move(parameters);
  deadline_ = core::Deadline::after(order_.config->delivery.deadline);
  recipients.push_back(std::move(recipient));
  wake_.notify();
  return recipients.size() - 1;
}

void Attempt::begin_body(std::shared_ptr<const Parcel> parcel, bool needs_smtputf8) {
  engine_.unlend(*this);
  parcel_ = std::move(parcel);
  needs_utf8_ = needs_smtputf8;
  wish_ = Wish::body;
  deadline_ = core::Deadline::after(order_.config->delivery.deadline);
  wake_.notify();
}

void Attempt::lift_tls_policy() {
  if (order_.tls != TlsWish::ordinary) return;
  order_.tls = TlsWish::optional;
  candidates_.lift_tls_policy();
  for (auto& recipient : recipients) {
    if (!recipient.outcome || !recipient.outcome->tls_policy) continue;
    recipient.outcome.reset();
    recipient.verdict.reset();
    recipient.asked = false;
  }
  wake_.notify();
}

void Attempt::send_dot() {
  assert(body_ready && !dot_sent);
  wish_ = Wish::dot;
  wake_.notify();
}

void Attempt::retry_other_family() {
  assert(finished && family_refused);
  for (auto& recipient : recipients) {
    if (recipient.outcome && recipient.outcome->fate == mail::Fate::delivered) continue;
    recipient.outcome.reset();
    recipient.verdict.reset();
    recipient.asked = false;
  }
  finished = false;
  body_ready = false;
  dot_sent = false;
  family_refused = false;
  wish_ = Wish::body;
  deadline_ = core::Deadline::after(order_.config->delivery.deadline);
  wake_.notify();
}

void Attempt::data_begun() {
  if (wish_ == Wish::recipients && !finished) engine_.lend(*this);
}

void Attempt::be_careful() {
  order_.careful = true;
  give_back();
}

void Attempt::give_back() {
  lease_ = core::Deadline::after(core::Seconds(0));
  wake_.notify();
}

void Attempt::hurry() {
  hurried_ = true;
  changed.notify();
  leave_when_hurried();
}

// There is nothing to wait for, whatever a silent host keeps it from ending.
void Attempt::leave_when_hurried() {
  if (hurried_ && abandoned_ && wish_ != Wish::dot) pass_ = {};
}

void Attempt::abandon() {
  abandoned_ = true;
  // After the dot the answer is still worth having: it is journalled, and nobody else may be tried before it (I4).
  if (!dot_sent && upstream_) upstream_->stream->cancel();
  leave_when_hurried();
  turn_->notify();
  wake_.notify();
}

// ---- the coroutine

net::Awaitable<void> Attempt::run(std::shared_ptr<Attempt> self) {
  while (!self->abandoned_) {
    if (self->finished && self->upstream_) co_await self->release();
    const bool busy = self->unasked() || (self->wish_ == Wish::body && !self->body_ready) ||
                      (self->wish_ == Wish::dot && !self->dot_sent && !self->finished);
    if (busy && !self->finished) {
      co_await self->step();
      self->changed.notify();
      if (self->watcher) self->watcher->notify();
      continue;
    }
    const bool holds = self->upstream_ != nullptr && self->wish_ == Wish::recipients;
    if (holds && !self->any_accepted()) {
      co_await self->release();
      continue;
    }
    static_cast<void>(co_await self->wake_.wait(holds ? self->lease_ : core::Deadline::never()));
    if (self->upstream_ && self->wish_ == Wish::recipients && self->lease_.passed()) co_await self->release();
  }
  if (self->upstream_) co_await self->release();
}

net::Awaitable<void> Attempt::step() {
  if (engine_.rehearsal_ != nullptr) {
    rehearse(*engine_.rehearsal_);
    co_return;
  }
  switch (wish_) {
    case Wish::recipients:
      co_await converge();
      lease_ = core::Deadline::after(order_.config->delivery.lease);
      break;
    case Wish::body:
      co_await send_body();
      body_ready = true;
      if (!any_accepted()) finished = true;
      break;
    case Wish::dot:
      co_await finish();
      finished = true;
      break;
  }
}

// The dry run's step: everybody accepts everything.
void Attempt::rehearse(Rehearsal& rehearsal) {
  mail::Outcome accepted;
  accepted.fate = mail::Fate::delivered;
  accepted.reply = mail::Reply(250, {2, 0, 0}, "Nobody was asked: this is a dry run");
  std::vector<mail::Mailbox> to;
  for (auto& recipient : recipients) {
    if (recipient.withdrawn) continue;
    recipient.verdict = accepted;
    if (wish_ == Wish::dot) recipient.outcome = accepted;
    to.push_back(recipient.to);
  }
  if (wish_ == Wish::dot) rehearsal.would_send(order_, to, *parcel_);
  body_ready = wish_ != Wish::recipients;
  finished = wish_ == Wish::dot;
}

bool Attempt::unasked() const {
  if (wish_ != Wish::recipients) return false;
  return std::any_of(recipients.begin(), recipients.end(),
                     [](const Recipient& r) { return r.pending() && !r.verdict; });
}

bool Attempt::any_accepted() const {
  return std::any_of(recipients.begin(), recipients.end(), [](const Recipient& r) { return r.accepted(); });
}

Judgement Attempt::blame(Stage stage, const mail::Reply* reply, core::Error error) {
  auto judgement = judge(upstream_->trouble(stage, reply, error));
  if (reply == nullptr && error == core::Errc::protocol) engine_.metrics_.add(core::Counter::upstream_replies_bad);
  return judgement;
}

mail::Outcome Attempt::outcome_of(const Judgement& judgement) const {
  mail::Outcome outcome;
  outcome.fate = judgement.fate;
  outcome.scope = judgement.scope;
  outcome.reply = judgement.reply;
  outcome.from_peer = judgement.from_peer;
  outcome.tls_policy = judgement.tls_policy;
  if (upstream_) {
    outcome.host = upstream_->host;
    outcome.address = upstream_->endpoint.to_string();
    outcome.tls = upstream_->tls_text();
  } else {
    outcome.host = candidates_.last_host();
    outcome.address = candidates_.last_address();
  }
  return outcome;
}

void Attempt::settle_pending(const Judgement& judgement) {
  const auto outcome = outcome_of(judgement);
  for (auto& recipient : recipients) {
    if (!recipient.pending()) continue;
    recipient.verdict = outcome;
    recipient.outcome = outcome;
  }
}

void Attempt::settle_pending_own(mail::Fate fate, mail::Reply reply) {
  Judgement judgement;
  judgement.fate = fate;
  judgement.scope = mail::Scope::message;
  judgement.reply = std::move(reply);
  settle_pending(judgement);
}

void Attempt::drop_session() {
  if (upstream_) upstream_->stream->close();
  upstream_.reset();
  mail_said_ = false;
  in_body_ = false;
  utf8_said_ = false;
  for (auto& recipient : recipients) recipient.asked = false;
}

// This session is of no use; another candidate is next.
void Attempt::failed_here(const Judgement& judgement) {
  candidates_.failed(*upstream_, judgement);
  drop_session();
}

// Our client's share of the destination's connections, waited for until the deadline.
net::Awaitable<bool> Attempt::take_share() {
  const std::string& key = order_.target.key;
  for (bool again = false; !abandoned_; again = true) {
    if (!share_)
      share_ = engine_.slots_.try_share(key, order_.client, order_.config->delivery.connections_per_destination);
    if (share_) co_return true;
    engine_.reclaim(key, order_.client);
    Slots::Turn turn{key, turn_, again};
    if (!co_await engine_.slots_.wait_share(std::move(turn), order_.client, deadline_)) co_return false;
  }
  engine_.slots_.pass_on(key);
  co_return false;
}

net::Awaitable<std::unique_ptr<Upstream>> Attempt::take_session() {
  const auto& delivery = order_.config->delivery;
  const std::string& key = order_.target.key;
  const bool has_share = co_await take_share();
  for (bool again = false; has_share && !abandoned_; again = true) {
    if (allow_kept_ && !order_.careful) {
      auto kept = engine_.pool_.take(key, delivery, order_.tls);
      if (kept && !(candidates_.ipv4_only() && kept->is_ipv6())) {
        engine_.metrics_.add(core::Counter::upstream_reused);
        reused_ = true;
        co_return kept;
      }
      if (kept) kept->stream->close();  // over IPv6, which is known to be refused
    }
    reused_ = false;
    auto connection = engine_.slots_.try_connection(key, delivery.connections_per_destination);
    if (!connection && engine_.pool_.close_one(key)) {
      connection = engine_.slots_.try_connection(key, delivery.connections_per_destination);
    }
    if (connection) {
      auto opened = co_await candidates_.open_next(deadline_);
      if (opened) {
        opened->connection = std::move(connection);
        opened->key = key;
        opened->generation = engine_.pool_.generation();
      }
      co_return opened;
    }
    engine_.reclaim(key, std::nullopt);
    Slots::Turn turn{key, turn_, again};
    if (!co_await engine_.slots_.wait_connection(std::move(turn), deadline_)) break;
  }
  if (abandoned_) engine_.slots_.pass_on(key);
  candidates_.timed_out();
  co_return nullptr;
}

// A recipient or sender that cannot be written without SMTPUTF8, to a server without it (interface.md §6.12).
bool Attempt::refused_for_utf8() {
  if (upstream_->dialogue.capabilities().smtputf8) return false;
  bool any = needs_utf8_ || (!order_.from.null() && !order_.from.mailbox.is_ascii());
  for (const auto& recipient : recipients) any = any || (recipient.pending() && !recipient.to.is_ascii());
  if (!any) return false;
  settle_pending_own(mail::Fate::failed, mail::Reply(550, {5, 6, 7}, "The destination does not support SMTPUTF8"));
  return true;
}

// Brings the open transaction to the point where every pending recipient has been asked; moves on to the next candidate
// as long as failures are the host's and not the recipients'.
net::Awaitable<void> Attempt::converge() {
  while (!abandoned_) {
    if (!upstream_) {
      upstream_ = co_await take_session();
      if (abandoned_) co_return;
      if (!upstream_) {
        share_.release();
        settle_pending(*candidates_.last_word());
        co_return;
      }
      if (order_.careful) upstream_->dialogue.restrain();
      ONWARD_FAILPOINT(k07_connected);
      held_before_ = true;
      source_ = upstream_->trouble(Stage::mail, nullptr, {}).source;
      changed.notify();
    }
    auto& dialogue = upstream_->dialogue;
    if (refused_for_utf8()) co_return;
    if (!mail_said_) {
      dialogue.forget_transaction();
      MailParameters parameters;
      parameters.from = order_.from;
      parameters.size = parcel_ ? parcel_->size() : order_.declared_size;
      parameters.eight_bit = order_.eight_bit || (parcel_ && parcel_->has_8bit_body());
      utf8_said_ = (order_.smtputf8 || needs_utf8_) && dialogue.capabilities().smtputf8;
      parameters.smtputf8 = utf8_said_;
      parameters.requiretls = order_.tls == TlsWish::required;
      parameters.ret = order_.ret;
      parameters.envid = order_.envid;
      dialogue.mail(parameters);
      mail_said_ = true;
      ++upstream_->transactions;
    }
    for (auto& recipient : recipients) {
      if (!recipient.pending() || recipient.asked) continue;
      recipient.index = dialogue.rcpt(recipient.to, recipient.parameters);
      recipient.asked = true;
    }
    const auto said = co_await upstream_->exchange(deadline_.within(command_timeout()));
    if (abandoned_) co_return;
    // A kept session that ended meanwhile, in silence or with a 421, says nothing about the host.
    const bool stale = reused_ && (dialogue.mail_reply() ? dialogue.mail_reply()->code == 421 : !said);
    if (stale) {
      drop_session();
      continue;
    }
    if (!said) {
      failed_here(blame(dialogue.stage(), nullptr, said.error()));
      allow_kept_ = false;
      continue;
    }
    if (read_verdicts()) co_return;
    allow_kept_ = false;
  }
}

// Reads the replies to MAIL and RCPT. False: this session failed as a whole, another candidate is next.
bool Attempt::read_verdicts() {
  const auto& dialogue = upstream_->dialogue;
  const auto& mail = *dialogue.mail_reply();
  if (!mail.positive()) {
    const auto judgement = blame(Stage::mail, &mail, {});
    if (judgement.about_address || judgement.scope == mail::Scope::host || judgement.scope == mail::Scope::address) {
      failed_here(judgement);
      return false;
    }
    settle_pending(judgement);
    return true;
  }
  for (const auto& recipient : recipients) {
    if (!recipient.asked || recipient.withdrawn) continue;
    const auto& reply = dialogue.rcpt_replies()[recipient.index];
    if (!reply || reply->positive()) continue;
    const auto judgement = blame(Stage::rcpt, &*reply, {});
    if (judgement.about_address || judgement.about_us || judgement.scope == mail::Scope::host) {
      failed_here(judgement);
      return false;
    }
  }
  for (auto& recipient : recipients) {
    if (!recipient.asked || !recipient.pending()) continue;
    const auto& reply = dialogue.rcpt_replies()[recipient.index];
    if (!reply) continue;
    if (reply->positive()) {
      Judgement accepted;
      accepted.fate = mail::Fate::delivered;
      accepted.reply = *reply;
      accepted.from_peer = true;
      recipient.verdict = outcome_of(accepted);
    } else {
      recipient.verdict = outcome_of(blame(Stage::rcpt, &*reply, {}));
      recipient.outcome = recipient.verdict;
    }
  }
  return true;
}

net::Awaitable<void> Attempt::send_body() {
  while (!abandoned_) {
    if (order_.careful && upstream_ && !upstream_->dialogue.restrained()) co_await release();
    co_await converge();
    if (abandoned_ || !any_accepted()) co_return;
    const auto& capabilities = upstream_->dialogue.capabilities();
    if (capabilities.size_limit != 0 && parcel_->size() > capabilities.size_limit) {  // UP-12
      settle_pending_own(mail::Fate::failed,
                         mail::Reply(552, {5, 3, 4}, "The message is larger than the destination takes"));
      co_return;
    }
    if (needs_utf8_ && !utf8_said_) {  // MAIL was said before the header was known
      co_await release();
      continue;
    }
    reader_ = parcel_->open();
    encoder_ = mail::DataEncoder();
    checker_ = mail::ChunkChecker();
    held_.clear();
    by_chunks_ = capabilities.chunking;
    in_body_ = true;
    if (!by_chunks_ && !co_await open_data()) {
      if (any_accepted()) continue;
      co_return;
    }
    ONWARD_FAILPOINT(k08_upstream_354);
    if (co_await stream_slices()) co_return;
    if (!any_accepted()) co_return;
  }
}

// DATA and its 354. False: not this time (the next candidate) or not at all (the recipients are settled).
net::Awaitable<bool> Attempt::open_data() {
  upstream_->dialogue.data();
  const auto said = co_await upstream_->exchange(deadline_.within(command_timeout()));
  const auto& reply = upstream_->dialogue.data_reply();
  if (said && reply && reply->intermediate()) co_return true;
  const auto judgement = blame(said ? Stage::data : upstream_->dialogue.stage(), said && reply ? &*reply : nullptr,
                               said ? core::Error() : said.error());
  if (!said || judgement.about_address || judgement.about_us || judgement.scope == mail::Scope::host) {
    failed_here(judgement);
    allow_kept_ = false;
  } else {
    settle_pending(judgement);
    in_body_ = false;
  }
  co_return false;
}

// Octets that came while nobody asked: a refusal in the middle of the body is the answer (UP-10). True: the session is
// over.
net::Awaitable<bool> Attempt::early_reply() {
  if (!upstream_->stream->readable()) co_return false;
  auto error = core::Error();
  if (upstream_->stream->buffered().empty()) {
    const auto filled = co_await upstream_->stream->fill(deadline_.within(command_timeout()));
    if (!filled) error = filled.error();
  }
  auto& dialogue = upstream_->dialogue;
  if (!error) {
    const auto octets = upstream_->stream->buffered();
    const auto received = dialogue.receive(octets);
    upstream_->stream->consume(octets.size());
    if (!received) error = received.error();
  }
  if (dialogue.body_reply() && !dialogue.body_reply()->positive()) {
    const auto judgement = blame(Stage::body, &*dialogue.body_reply(), {});
    if (judgement.about_address || judgement.about_us || judgement.scope == mail::Scope::host) {
      failed_here(judgement);
      allow_kept_ = false;
    } else {
      settle_pending(judgement);
      drop_session();
    }
    co_return true;
  }
  if (error) {
    failed_here(blame(Stage::body, nullptr, error));
    allow_kept_ = false;
    co_return true;
  }
  co_return false;
}

// Sends the parcel but for what is held back to leave with the dot. True: done. False: as open_data().
net::Awaitable<bool> Attempt::stream_slices() {
  const bool small = parcel_->size() <= kHeldAtMost;
  for (;;) {
    auto slice = co_await reader_->next();
    if (!slice) {  // our own disk: nobody's fault upstream
      log_.error("spill_read_failed", {{"error", core::describe(slice.error())}});
      settle_pending_own(mail::Fate::deferred, mail::Reply(451, {4, 3, 0}, "Local error in processing"));
      drop_session();
      co_return false;
    }
    if (slice->empty()) co_return true;
    ONWARD_FAILPOINT(k09_mid_relay);
    const bool last = reader_->at_end();
    std::vector<std::string_view> pieces;
    bool clean = true;
    if (by_chunks_) {
      checker_.feed(*slice);
      clean = checker_.fault() == mail::DataFault::none;
      pieces.push_back(*slice);
    } else {
      clean = encoder_.encode(*slice, pieces);
    }
    if (!clean) {  // SM-03: such octets never leave; the server side has refused them long before
      log_.error("unclean_octets", {});
      settle_pending_own(mail::Fate::failed, mail::Reply(550, {5, 6, 0}, "Bare line endings in the message"));
      drop_session();
      co_return false;
    }
    if (small || (by_chunks_ && last)) {
      held_.insert(held_.end(), pieces.begin(), pieces.end());
      if (last) co_return true;
      continue;
    }
    std::string command;
    if (by_chunks_) {
      upstream_->dialogue.bdat(slice->size(), false);
      command = upstream_->dialogue.take_output();
      pieces.insert(pieces.begin(), command);
    }
    const auto written = co_await upstream_->stream->write(pieces, deadline_.within(command_timeout()));
    if (abandoned_) co_return true;
    auto error = written ? core::Error() : written.error();
    if (!error && by_chunks_) {
      const auto said = co_await upstream_->exchange(deadline_.within(command_timeout()));
      if (!said) error = said.error();
      const auto& refusal = upstream_->dialogue.body_reply();
      if (said && refusal && !refusal->positive()) {
        settle_pending(blame(Stage::body, &*refusal, {}));
        in_body_ = false;
        co_return false;
      }
    } else if (co_await early_reply()) {
      co_return false;
    }
    if (error) {
      failed_here(blame(Stage::body, nullptr, error));
      allow_kept_ = false;
      co_return false;
    }
  }
}

// The dot: from here nobody else is tried until it is answered (I4).
net::Awaitable<void> Attempt::finish() {
  if (co_await early_reply()) {
    if (any_accepted()) settle_pending(*candidates_.last_word());
    co_return;
  }
  if (abandoned_) co_return;
  auto& dialogue = upstream_->dialogue;
  dot_sent = true;
  const auto limit = core::Deadline::after(order_.config->delivery.dot_timeout);
  std::string command;
  std::vector<std::string_view> pieces = std::move(held_);
  if (by_chunks_) {
    std::uint64_t octets = 0;
    for (const auto& piece : pieces) octets += piece.size();
    dialogue.bdat(octets, true);
    command = dialogue.take_output();
    pieces.insert(pieces.begin(), command);
  } else {
    dialogue.dot();
    pieces.push_back(encoder_.terminator());
  }
  auto said = co_await upstream_->stream->write(pieces, limit);
  if (order_.queued) {
    ONWARD_FAILPOINT(k22_runner_dot_sent);
  } else {
    ONWARD_FAILPOINT(k12_dot_sent);
  }
  if (said || upstream_->stream->readable()) said = co_await upstream_->exchange(limit);
  reader_.reset();

  std::size_t index = 0;
  bool all_about_address = true, any_refused = false;
  const auto& replies = dialogue.final_replies();
  for (auto& recipient : recipients) {
    if (!recipient.accepted()) continue;
    const auto* reply = index < replies.size() ? &replies[index] : nullptr;
    Judgement judgement;
    if (reply != nullptr && reply->positive()) {
      if (order_.queued) {
        ONWARD_FAILPOINT(k23_runner_2xx_read);
      } else {
        ONWARD_FAILPOINT(k13_upstream_2xx_read);
      }
      judgement.fate = mail::Fate::delivered;
      judgement.reply = *reply;
      judgement.from_peer = true;
      all_about_address = false;
    } else if (reply != nullptr) {
      judgement = blame(Stage::dot, reply, {});
      all_about_address = all_about_address && judgement.about_address;
      any_refused = true;
      if (judgement.about_us) candidates_.failed(*upstream_, judgement);
    } else {
      judgement = blame(Stage::dot, nullptr, said ? core::make_error_code(core::Errc::closed) : said.error());
      all_about_address = false;
    }
    recipient.outcome = outcome_of(judgement);
    if (order_.target.protocol == Protocol::lmtp) ++index;  // SMTP: one reply for all (RFC 2033 §4.2)
  }
  family_refused = any_refused && all_about_address;
  if (family_refused) {
    failed_here(blame(Stage::dot, &replies.front(), {}));
    allow_kept_ = false;
    co_return;
  }
  if (said && dialogue.final_replies_complete() && !dialogue.closing_reply()) {
    mail_said_ = in_body_ = false;  // the transaction is over; nothing to reset
    co_return;
  }
  drop_session();
}

// Gives the session back: RSET when a transaction is open, then to the pool. What was said of recipients is remembered.
net::Awaitable<void> Attempt::release() {
  auto upstream = std::move(upstream_);
  share_.release();
  candidates_.begin_anew();
  // In the middle of DATA a RSET would be text; in the middle of a command nobody knows what the next reply answers.
  const bool out_of_step = !upstream->dialogue.reusable() || std::exchange(in_body_, false);
  const bool open_transaction = std::exchange(mail_said_, false);
  utf8_said_ = false;
  for (auto& recipient : recipients) recipient.asked = false;
  if (out_of_step || upstream->dialogue.restrained()) {
    upstream->stream->close();
    co_return;
  }
  if (open_transaction) {
    upstream->dialogue.rset();
    const auto said = co_await upstream->exchange(core::Deadline::after(kResetTimeout));
    if (!said || !upstream->dialogue.rset_reply() || !upstream->dialogue.rset_reply()->positive()) {
      upstream->stream->close();
      co_return;
    }
  }
  upstream->dialogue.forget_transaction();
  engine_.pool_.put(std::move(upstream), order_.config->delivery);
}

}  // namespace forwarder
