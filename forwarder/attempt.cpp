#include "forwarder/attempt.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "mail/data_codec.hpp"

namespace forwarder {
namespace {

constexpr std::size_t kSlice = 256 * 1024;
// A message up to this size leaves in one write together with its dot.
constexpr std::size_t kHeldAtMost = 64 * 1024;
constexpr core::Seconds kResetTimeout{10};

}  // namespace

// ---- ParcelReader

ParcelReader::ParcelReader(std::shared_ptr<const Parcel> parcel, net::Spool& spool)
    : parcel_(std::move(parcel)), spool_(spool), total_(parcel_->content->size()) {}

net::Awaitable<core::Result<std::string_view>> ParcelReader::next() {
  const auto& message = parcel_->message;
  const auto& content = *parcel_->content;
  if (!prefix_done_) {
    prefix_done_ = true;
    if (!message.prefix.empty()) co_return std::string_view(message.prefix);
  }
  while (cut_ < message.cuts.size() && offset_ == message.cuts[cut_].offset) {
    offset_ += message.cuts[cut_].length;
    ++cut_;
  }
  if (offset_ >= total_) co_return std::string_view();
  const std::uint64_t end = cut_ < message.cuts.size() ? message.cuts[cut_].offset : total_;
  if (offset_ < content.head.size()) {
    const auto length = std::min<std::uint64_t>({end, content.head.size(), offset_ + kSlice}) - offset_;
    const auto slice = std::string_view(content.head).substr(offset_, length);
    offset_ += length;
    co_return slice;
  }
  const auto length = std::min<std::uint64_t>(end - offset_, kSlice);
  auto read = co_await spool_.read(content, offset_ - content.head.size(), static_cast<std::size_t>(length));
  if (!read) co_return read.error();
  if (read->empty()) co_return core::make_error_code(core::Errc::io);  // shorter than it was written
  file_slice_ = std::move(*read);
  offset_ += file_slice_.size();
  co_return std::string_view(file_slice_);
}

// ---- the owner's side

Attempt::~Attempt() {
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
      ipv4_only_(engine.ipv6_refused(order_.target.key)) {}

std::size_t Attempt::add(mail::Mailbox to) {
  Recipient recipient;
  recipient.to = std::move(to);
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

void Attempt::give_back() {
  lease_ = core::Deadline::after(core::Seconds(0));
  wake_.notify();
}

void Attempt::abandon() {
  abandoned_ = true;
  // After the dot the answer is still worth having: it is journalled, and nobody else may be tried before it (I4).
  if (!dot_sent && upstream_) upstream_->stream->cancel();
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
  if (upstream_) {
    outcome.host = upstream_->host;
    outcome.address = upstream_->endpoint.to_string();
    outcome.tls = upstream_->tls_text();
  } else if (last_endpoint_) {
    outcome.host = last_host_;
    outcome.address = last_endpoint_->to_string();
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

// This session is of no use; what it said is remembered in case it stays the last word.
void Attempt::failed_here(const Judgement& judgement) {
  last_host_ = upstream_->host;
  last_endpoint_ = upstream_->endpoint;
  last_ = judgement;
  log_.info("upstream_failed", {{"upstream_host", upstream_->host},
                                {"upstream_address", upstream_->endpoint.to_string()},
                                {"reply", judgement.reply.to_log()}});
  if (judgement.about_us) refused_because_of_us(upstream_->stream->local_address(), judgement);
  if (judgement.about_address) refused_because_of_ipv6(judgement);
  drop_session();
}

// interface.md §6.22: our reputation suffers; somebody has to look.
void Attempt::refused_because_of_us(const core::IpAddress& source, const Judgement& judgement) {
  engine_.metrics_.add(core::Counter::upstream_about_us);
  engine_.marks_.mark(source);
  log_.error("refused_because_of_us", {{"upstream_host", last_host_},
                                       {"upstream_address", last_endpoint_ ? last_endpoint_->to_string() : ""},
                                       {"source", source.to_string()},
                                       {"reply", judgement.reply.to_log()}});
}

// interface.md §6.8: from now on IPv4 only.
void Attempt::refused_because_of_ipv6(const Judgement& judgement) {
  engine_.metrics_.add(core::Counter::upstream_family_retries);
  engine_.remember_ipv6_refusal(order_.target.key);
  ipv4_only_ = true;
  addresses_.ipv6.clear();
  addresses_.ipv4 = all_addresses_.ipv4;  // also those that lost the race for this connection
  log_.warn("ipv6_refused", {{"upstream_host", last_host_},
                             {"upstream_address", last_endpoint_ ? last_endpoint_->to_string() : ""},
                             {"reply", judgement.reply.to_log()}});
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
    if (allow_kept_) {
      auto kept = engine_.pool_.take(key, delivery);
      if (kept && !(ipv4_only_ && kept->is_ipv6())) {
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
      auto opened = co_await open_next();
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
  if (!last_) {
    Trouble trouble;
    trouble.error = core::make_error_code(core::Errc::timed_out);
    last_ = judge(trouble);
  }
  co_return nullptr;
}

// Opens a session with the next candidate that lets us; null when there is none left (last_ says why).
net::Awaitable<std::unique_ptr<Upstream>> Attempt::open_next() {
  const auto& config = *order_.config;
  if (!hosts_known_) {
    auto found = co_await find_hosts(engine_.resolver_, engine_.random_, config, order_.target, deadline_);
    if (auto* unroutable = std::get_if<Unroutable>(&found)) {
      Judgement judgement;
      judgement.fate = unroutable->fate;
      judgement.scope = mail::Scope::destination;
      judgement.reply = unroutable->reply;
      last_ = judgement;
      co_return nullptr;
    }
    hosts_ = std::get<std::vector<Host>>(std::move(found));
    hosts_known_ = true;
  }
  OpenSettings settings;
  settings.protocol = order_.target.protocol;
  settings.tls = order_.target.tls;
  settings.delivery = &config.delivery;
  settings.hostname = config.hostname;
  settings.tls_client = config.tls_client;
  while (!abandoned_ && !deadline_.passed()) {
    if (addresses_.empty()) {
      if (next_host_ >= hosts_.size()) break;
      const Host host = hosts_[next_host_++];
      host_name_ = host.name;
      addresses_ = co_await find_addresses(engine_.resolver_, engine_.random_, config, host, deadline_);
      all_addresses_ = addresses_;
      seen_.looped |= addresses_.looped;
      seen_.refused |= addresses_.refused;
      seen_.dns_failed |= addresses_.dns_failed;
      // Refused in this attempt: IPv6 is over. Only remembered from before: still better than nothing.
      const bool refused_now = last_ && last_->about_address;
      if (ipv4_only_ && (refused_now || !addresses_.ipv4.empty())) addresses_.ipv6.clear();
      continue;
    }
    const RaceMeans means{config.delivery, engine_.marks_, engine_.random_, engine_.metrics_};
    auto connected = co_await race(means, addresses_, deadline_);
    if (!connected.stream) {
      Trouble trouble;
      trouble.stage = Stage::connect;
      trouble.error = connected.error;
      trouble.peer = connected.endpoint.address;
      // "Nobody was there" does not overrule what somebody has said.
      if (!last_ || !last_->from_peer) {
        last_ = judge(trouble);
        last_host_ = host_name_;
        last_endpoint_ = connected.endpoint;
      }
      log_.info("connect_failed", {{"upstream_host", host_name_},
                                   {"upstream_address", connected.endpoint.to_string()},
                                   {"error", core::describe(connected.error)}});
      continue;
    }
    reached = true;
    changed.notify();
    auto stream = std::move(connected.stream);
    auto opened =
        co_await open_session(settings, std::move(stream), host_name_, connected.endpoint, engine_.metrics_, deadline_);
    if (opened.upstream) co_return std::move(opened.upstream);
    last_ = opened.judgement;
    last_host_ = host_name_;
    last_endpoint_ = opened.endpoint;
    if (opened.judgement.about_us) refused_because_of_us(opened.source, opened.judgement);
    if (opened.judgement.about_address) refused_because_of_ipv6(opened.judgement);
    log_.info("upstream_refused_session", {{"upstream_host", host_name_},
                                           {"upstream_address", opened.endpoint.to_string()},
                                           {"reply", opened.judgement.reply.to_log()}});
  }
  if (!last_) {
    const auto unroutable = no_address(seen_, order_.target.domain);
    Judgement judgement;
    judgement.fate = unroutable.fate;
    judgement.scope = mail::Scope::destination;
    judgement.reply = unroutable.reply;
    last_ = judgement;
  }
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
        settle_pending(*last_);
        co_return;
      }
      reached = true;
      changed.notify();
    }
    auto& dialogue = upstream_->dialogue;
    if (refused_for_utf8()) co_return;
    if (!mail_said_) {
      dialogue.forget_transaction();
      MailParameters parameters;
      parameters.from = order_.from;
      parameters.size = parcel_ ? parcel_->message.size() : order_.declared_size;
      parameters.eight_bit = order_.eight_bit || (parcel_ && parcel_->content->has_8bit_body);
      utf8_said_ = (order_.smtputf8 || needs_utf8_) && dialogue.capabilities().smtputf8;
      parameters.smtputf8 = utf8_said_;
      dialogue.mail(parameters);
      mail_said_ = true;
      ++upstream_->transactions;
    }
    for (auto& recipient : recipients) {
      if (!recipient.pending() || recipient.asked) continue;
      recipient.index = dialogue.rcpt(recipient.to);
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
    co_await converge();
    if (abandoned_ || !any_accepted()) co_return;
    const auto& capabilities = upstream_->dialogue.capabilities();
    if (capabilities.size_limit != 0 && parcel_->message.size() > capabilities.size_limit) {  // UP-12
      settle_pending_own(mail::Fate::failed,
                         mail::Reply(552, {5, 3, 4}, "The message is larger than the destination takes"));
      co_return;
    }
    if (needs_utf8_ && !utf8_said_) {  // MAIL was said before the header was known
      co_await release();
      continue;
    }
    reader_ = std::make_unique<ParcelReader>(parcel_, engine_.spool_);
    encoder_ = mail::DataEncoder();
    checker_ = mail::ChunkChecker();
    held_.clear();
    by_chunks_ = capabilities.chunking;
    in_body_ = true;
    if (!by_chunks_ && !co_await open_data()) {
      if (any_accepted()) continue;
      co_return;
    }
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
  const bool small = parcel_->message.size() <= kHeldAtMost;
  for (;;) {
    auto slice = co_await reader_->next();
    if (!slice) {  // our own disk: nobody's fault upstream
      log_.error("spill_read_failed", {{"error", core::describe(slice.error())}});
      settle_pending_own(mail::Fate::deferred, mail::Reply(451, {4, 3, 0}, "Local error in processing"));
      drop_session();
      co_return false;
    }
    if (slice->empty()) co_return true;
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
    if (any_accepted()) settle_pending(*last_);
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
      judgement.fate = mail::Fate::delivered;
      judgement.reply = *reply;
      judgement.from_peer = true;
      all_about_address = false;
    } else if (reply != nullptr) {
      judgement = blame(Stage::dot, reply, {});
      all_about_address = all_about_address && judgement.about_address;
      any_refused = true;
      if (judgement.about_us) refused_because_of_us(upstream_->stream->local_address(), judgement);
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
  // In the middle of DATA a RSET would be text; in the middle of a command nobody knows what the next reply answers.
  const bool out_of_step = !upstream->dialogue.reusable() || std::exchange(in_body_, false);
  const bool open_transaction = std::exchange(mail_said_, false);
  utf8_said_ = false;
  for (auto& recipient : recipients) recipient.asked = false;
  if (out_of_step) {
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
