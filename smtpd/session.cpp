#include "smtpd/session.hpp"

#include <algorithm>
#include <exception>
#include <utility>

#include "core/failpoint.hpp"
#include "core/text.hpp"

namespace smtpd {
namespace {

constexpr std::size_t kIdleBuffer = 4 * 1024;
constexpr std::size_t kDataBuffer = 64 * 1024;
constexpr std::size_t kMaxPending = 16 * 1024;  // replies collected before they must leave (RS-13)
constexpr std::size_t kKeptPending = 1024;      // a larger buffer gives its memory back
constexpr core::Milliseconds kReplyDelay{50};   // replies wait so long for company while the Handler works

std::string_view to_string(core::Errc code) {
  switch (code) {
    case core::Errc::timed_out:
      return "timeout";
    case core::Errc::closed:
      return "closed";
    case core::Errc::reset:
      return "reset";
    case core::Errc::tls_failed:
      return "tls-failed";
    case core::Errc::cancelled:
      return "aborted";
    default:
      return "error";
  }
}

std::string_view why(const core::Error& error) {
  return error.category() == core::error_category() ? to_string(static_cast<core::Errc>(error.value())) : "error";
}

TlsOffer offer(const Listener& listener, const Settings& settings) {
  const bool possible = listener.tls == TlsMode::starttls && (listener.server || settings.tls);
  return possible ? TlsOffer::starttls : listener.tls == TlsMode::implicit ? TlsOffer::active : TlsOffer::none;
}

forwarder::Client describe(const net::Stream& stream, std::string session_id) {
  forwarder::Client client;
  client.address = stream.remote_address();
  client.port = stream.remote_port();
  client.local_address = stream.local_address();
  client.local_port = stream.local_port();
  client.session_id = std::move(session_id);
  return client;
}

}  // namespace

Session::Session(Visitor visitor, std::shared_ptr<const Settings> settings, Services& services)
    : settings_(std::move(settings)),
      listener_(std::move(visitor.listener)),
      services_(services),
      stream_(std::move(visitor.socket)),
      log_(services.log.with("session", visitor.id)),
      slot_(std::move(visitor.slot)),
      client_(describe(stream_, visitor.id)),
      conversation_(*settings_, std::move(visitor.id), offer(*listener_, *settings_)),
      pause_(stream_.executor()) {
  services_.metrics.add(core::Counter::sessions_open);
}

Session::~Session() {
  services_.metrics.subtract(core::Counter::sessions_open);
}

net::Awaitable<void> Session::run() {
  log_.debug("session_start",
             {{"client_ip", client_.address.to_string()}, {"port", client_.port}, {"listener", listener_->name}});
  bool broken = false;
  try {
    co_await converse();
  } catch (const std::exception& e) {
    broken = true;
    log_.error("internal_error", {{"error", e.what()}});
  } catch (...) {
    broken = true;
    log_.error("internal_error", {{"error", "unknown exception"}});
  }
  if (broken) {
    services_.metrics.add(core::Counter::internal_errors);
    why_ = "internal-error";
    try {
      transaction_.reset();
      Say last = conversation_.dialogue().farewell(421, {4, 3, 0}, "Internal error, try again later", "internal-error");
      co_await part(std::move(last));
    } catch (const std::exception& e) {
      log_.error("internal_error", {{"error", e.what()}, {"while", "closing"}});
    }
  }
  transaction_.reset();
  stream_.close();
  const auto seconds = std::chrono::duration<double>(core::Steady::now() - started_).count();
  log_.info("session_end", {{"client_ip", client_.address.to_string()},
                            {"helo", client_.helo},
                            {"tls", client_.tls ? client_.tls->to_string() : std::string()},
                            {"client_certificate", client_.tls ? client_.tls->client_certificate : std::string()},
                            {"why", why_},
                            {"transactions", transactions_},
                            {"errors", conversation_.dialogue().errors()},
                            {"seconds", seconds}});
}

net::Awaitable<void> Session::converse() {
  if (!co_await open()) co_return;
  state_ = State::command;
  for (bool going = true; going;) {
    if (stopping_ && conversation_.at_command()) {
      why_ = "shutting-down";
      Say last =
          conversation_.dialogue().farewell(421, {4, 3, 2}, settings_->hostname + " is shutting down", "shutting-down");
      co_await part(std::move(last));
      co_return;
    }
    std::string nowhere;
    std::size_t consumed = 0;
    Event event = conversation_.next(stream_.buffered(), consumed, transaction_ ? transaction_->inbox() : nowhere);
    stream_.consume(consumed);
    // The dialogue decides when a transaction is over: EHLO, RSET, errors, a message that cannot be taken.
    if (!conversation_.in_transaction()) transaction_.reset();
    if (std::holds_alternative<Content>(event)) {
      if (transaction_ && transaction_->absorb() == forwarder::Transaction::Absorb::spill)
        co_await transaction_->spill();
      continue;
    }
    if (!std::holds_alternative<NeedInput>(event)) command_deadline_.reset();
    going = co_await handle(std::move(event));
  }
}

// Up to and with the banner.
net::Awaitable<bool> Session::open() {
  if (listener_->proxy != net::ProxyMode::off) {
    if (!co_await read_proxy_header() || !co_await be_counted()) co_return false;
  }
  auto welcome = services_.handler.welcome(client_);
  visit_ = std::move(welcome.visit);
  client_.visit = visit_.get();
  if (listener_->tls == TlsMode::implicit && !co_await handshake()) co_return false;
  if (welcome.refusal) {
    why_ = "access";
    Say last{std::move(*welcome.refusal), true};
    co_await part(std::move(last));
    co_return false;
  }
  const bool must_be_silent = settings_->reject_early_talkers && !welcome.may_talk_early;
  if (must_be_silent && !co_await wait_for_silence()) co_return false;
  queue(conversation_.dialogue().banner());
  co_return true;
}

// The header comes before everything, TLS included. Who sends something else, or nothing in time, is dropped without a
// word (OP-07).
net::Awaitable<bool> Session::read_proxy_header() {
  const auto deadline = core::Deadline::after(settings_->proxy_timeout);
  std::string_view fault;
  while (fault.empty()) {
    const auto parsed = net::parse_proxy_header(stream_.buffered(), listener_->proxy);
    if (const auto* header = std::get_if<net::ProxyHeader>(&parsed)) {
      stream_.consume(header->size);
      stream_.set_buffer_limit(kIdleBuffer);
      const auto proxy = client_.address.to_string();
      if (!header->local) {
        client_.address = header->source;
        client_.port = header->source_port;
        client_.local_address = header->destination;
        client_.local_port = header->destination_port;
      }
      log_.debug("proxied", {{"client_ip", client_.address.to_string()}, {"proxy", proxy}, {"local", header->local}});
      co_return true;
    }
    if (const auto* wrong = std::get_if<net::ProxyFault>(&parsed)) {
      fault = wrong->what;
      break;
    }
    // No more than the header's own octets: a handshake may stand behind it.
    stream_.set_buffer_limit(stream_.buffered().size() + std::get<net::ProxyNeedsMore>(parsed).octets);
    const auto got = co_await stream_.fill(deadline);
    if (!got) fault = got.error() == core::Error(core::Errc::timed_out) ? "no PROXY header in time" : why(got.error());
  }
  services_.metrics.add(core::Counter::proxy_headers_bad);
  log_.warn("proxy_header_bad",
            {{"proxy", client_.address.to_string()}, {"listener", listener_->name}, {"error", fault}});
  why_ = "proxy";
  co_return false;
}

// interface.md §6.13, for a client that was not known when the connection was accepted.
net::Awaitable<bool> Session::be_counted() {
  if (slot_.name(client_.address, settings_->connections_per_ip)) co_return true;
  services_.metrics.add(core::Counter::connections_refused);
  why_ = "connections";
  if (listener_->tls == TlsMode::implicit) co_return false;  // it could not read us
  Say last = conversation_.dialogue().farewell(421, {4, 7, 0}, "Too many connections from your address", "connections");
  co_await part(std::move(last));
  co_return false;
}

// SM-07: who speaks before the banner is no mail server.
net::Awaitable<bool> Session::wait_for_silence() {
  bool early = !stream_.buffered().empty();
  if (!early && settings_->early_talker_delay.count() > 0) {
    const auto got = co_await stream_.fill(core::Deadline::after(settings_->early_talker_delay));
    early = got.has_value();
    if (!early && got.error() != core::Error(core::Errc::timed_out) && !stopping_) {
      why_ = why(got.error());
      co_return false;
    }
  }
  if (!early) early = stream_.readable() && !stream_.peer_gone();
  if (!early) co_return true;
  services_.metrics.add(core::Counter::early_talkers);
  log_.info("early_talker", {{"client_ip", client_.address.to_string()}});
  why_ = "early-talker";
  Say last = conversation_.dialogue().out_of_turn("before the banner", "early-talker");
  co_await part(std::move(last));
  co_return false;
}

net::Awaitable<bool> Session::handshake() {
  const auto server = tls_server();
  if (!server) {
    log_.error("tls_missing", {{"listener", listener_->name}});
    why_ = "tls-failed";
    co_return false;
  }
  const auto done = co_await stream_.start_tls(*server, core::Deadline::after(settings_->tls_timeout));
  if (!done) {
    services_.metrics.add(core::Counter::tls_in_failed);
    log_.info("tls_failed", {{"error", core::describe(done.error())}, {"reason", stream_.tls_error()}});
    why_ = "tls-failed";
    co_return false;
  }
  services_.metrics.add(core::Counter::tls_in);
  client_.tls = stream_.tls();
  if (client_.tls) {
    log_.debug("tls", {{"tls", client_.tls->to_string()},
                       {"server_name", client_.tls->server_name},
                       {"client_certificate", client_.tls->client_certificate}});
  }
  co_return true;
}

net::Awaitable<bool> Session::handle(Event event) {
  if (std::holds_alternative<NeedInput>(event)) co_return co_await await_input();
  if (auto* say = std::get_if<Say>(&event)) co_return co_await answer(std::move(*say));
  if (auto* mail = std::get_if<Mail>(&event)) co_return co_await begin_mail(std::move(*mail));
  if (auto* rcpt = std::get_if<Rcpt>(&event)) co_return co_await add_recipient(std::move(*rcpt));
  if (auto* step = std::get_if<StartTls>(&event)) co_return co_await start_tls(std::move(*step));
  if (std::holds_alternative<EndOfData>(event)) co_return co_await finish_message();
  // Begin: DATA, or the first chunk.
  auto say = conversation_.begin(transaction_->begin_data());
  if (!conversation_.in_transaction()) transaction_.reset();
  if (!say) co_return true;
  co_return co_await answer(std::move(*say));
}

net::Awaitable<bool> Session::answer(Say say) {
  account(say);
  if (say.slow) {
    if (!co_await flush()) co_return false;
    co_await pause_.wait(core::Deadline::after(settings_->soft_error_delay));
  }
  if (say.close) {
    if (say.reply.code != 221) why_ = "refused";
    co_await part(std::move(say));
    co_return false;
  }
  queue(say.reply);
  if (pending_.size() < kMaxPending) co_return true;
  co_return co_await flush();
}

net::Awaitable<bool> Session::begin_mail(Mail mail) {
  if (!co_await flush_if_old()) co_return false;
  client_.helo = conversation_.dialogue().helo();
  client_.extended = conversation_.dialogue().extended();
  auto verdict = co_await services_.handler.mail(client_, std::move(mail.command), ++transactions_);
  const bool taken = verdict.transaction && verdict.reply.positive();
  if (!taken && verdict.reply.positive()) verdict.reply = mail::Reply(451, {4, 3, 0}, "Not now");
  if (taken) transaction_ = std::move(verdict.transaction);
  auto say = conversation_.on_mail(std::move(verdict.reply), taken ? transaction_->id() : std::string());
  co_return co_await answer(std::move(say));
}

net::Awaitable<bool> Session::add_recipient(Rcpt rcpt) {
  if (!co_await flush_if_old()) co_return false;
  auto reply = co_await transaction_->rcpt(std::move(rcpt.command));
  auto say = conversation_.on_rcpt(std::move(reply));
  co_return co_await answer(std::move(say));
}

net::Awaitable<bool> Session::finish_message() {
  services_.metrics.add(core::Counter::messages_accepted);
  if (!co_await flush()) co_return false;
  state_ = State::answer;
  const auto begun = core::Steady::now();
  auto reply = co_await transaction_->end_of_data(*this);
  services_.metrics.timings().add(core::Timing::answer, core::Steady::now() - begun);
  if (receipt_) receipt_->acknowledged();  // of a message before: nothing was read in between
  receipt_.reset();
  if (reply.positive()) receipt_ = transaction_->receipt();
  pipelined_ = stream_.readable();
  transaction_.reset();
  state_ = State::command;
  auto say = conversation_.end(std::move(reply));
  co_return co_await answer(std::move(say));
}

net::Awaitable<bool> Session::start_tls(StartTls step) {
  queue(step.reply);
  if (!co_await flush()) co_return false;
  if (!co_await handshake()) co_return false;
  conversation_.on_tls_started();
  client_.helo.clear();
  client_.extended = false;
  co_return true;
}

net::Awaitable<bool> Session::await_input() {
  if (!co_await flush()) co_return false;
  if (receipt_) ONWARD_FAILPOINT(k15_client_250_sent);
  const bool command = conversation_.at_command();
  if (command && stopping_) co_return true;
  if (large_ == command) {
    large_ = !command;
    stream_.set_buffer_limit(large_ ? kDataBuffer : kIdleBuffer);
  }
  const auto deadline = command ? command_deadline() : data_deadline();
  state_ = command ? State::command : State::data;
  waiting_ = command;
  reading_ = true;
  hurried_ = false;
  const auto got = co_await stream_.fill(deadline);
  waiting_ = reading_ = false;
  if (receipt_ && (got || !hurried_)) sign_receipt(got);
  if (got && data_deadline_) {
    const auto credit = core::Milliseconds(*got * 1000 / settings_->stress_data_rate);
    data_deadline_ = core::Deadline::at(data_deadline_->time() + credit).within(settings_->stress_timeout);
  }
  if (got) co_return true;
  if (command && stopping_) co_return true;
  if (hurried_) co_return true;  // and waits again, for less time
  why_ = why(got.error());
  // TL-08: a connection that ends, however it ends, is never the end of a message.
  transaction_.reset();
  if (got.error() == core::Error(core::Errc::timed_out)) {
    Say last = conversation_.dialogue().farewell(421, {4, 4, 2}, "Timeout, closing connection", "timeout");
    co_await part(std::move(last));
  }
  co_return false;
}

// RFC 5321 §4.5.3.2.7: a command has so long in all. Under stress it is little (RS-01).
core::Deadline Session::command_deadline() {
  data_deadline_.reset();
  if (!command_deadline_) {
    const bool stressed = services_.stress.on();
    const auto time =
        stressed ? std::min(settings_->stress_timeout, settings_->command_timeout) : settings_->command_timeout;
    command_deadline_ = core::Deadline::after(time);
  }
  return *command_deadline_;
}

// Message octets have so long each time. Under stress each octet buys a little time, but never more than there is for a
// command: slower than stress_data_rate means running out of it (RS-01).
core::Deadline Session::data_deadline() {
  const auto usual = core::Deadline::after(settings_->data_timeout);
  if (!services_.stress.on()) {
    data_deadline_.reset();
    return usual;
  }
  if (!data_deadline_) data_deadline_ = core::Deadline::after(settings_->stress_timeout);
  return data_deadline_->bounded_by(usual);
}

// promise.md C.5: a command that was sent after our 250 was acknowledged says that the client has it.
void Session::sign_receipt(const core::Result<std::size_t>& got) {
  const bool heard = stream_.all_acknowledged();
  if (got && heard && !pipelined_) {
    receipt_->confirmed();
  } else if (got || heard) {
    receipt_->acknowledged();
  }
  receipt_.reset();
}

net::Awaitable<bool> Session::flush() {
  if (pending_.empty()) co_return true;
  const auto written =
      co_await stream_.write(std::string_view(pending_), core::Deadline::after(settings_->write_timeout));
  if (pending_.capacity() > kKeptPending) {
    pending_ = std::string();
  } else {
    pending_.clear();
  }
  if (written) co_return true;
  why_ = why(written.error());
  co_return false;
}

net::Awaitable<bool> Session::flush_if_old() {
  if (pending_.empty() || core::Steady::now() - pending_since_ < kReplyDelay) co_return true;
  co_return co_await flush();
}

net::Awaitable<void> Session::part(Say say) {
  state_ = State::closing;
  transaction_.reset();
  queue(say.reply);
  co_await flush();
}

bool Session::gone() {
  return stream_.peer_gone();
}

void Session::queue(const mail::Reply& reply) {
  if (pending_.empty()) pending_since_ = core::Steady::now();
  pending_ += reply.to_wire();
}

void Session::account(const Say& say) {
  auto& metrics = services_.metrics;
  switch (say.cause) {
    case Cause::none:
      return;
    case Cause::bare_line_end:
      metrics.add(core::Counter::commands_bare_line_end);
      [[fallthrough]];
    case Cause::command:
      metrics.add(core::Counter::commands_bad);
      log_.debug("command_refused", {{"reply", say.reply.to_log()}});
      return;
    case Cause::smuggling:
      metrics.add(core::Counter::smuggling_attempts);
      [[fallthrough]];
    case Cause::message:
      metrics.add(core::Counter::messages_rejected);
      log_.info("message_refused", {{"id", conversation_.dialogue().message_id()}, {"reply", say.reply.to_log()}});
      return;
  }
}

std::shared_ptr<const net::TlsServer> Session::tls_server() const {
  return listener_->server ? listener_->server : settings_->tls;
}

void Session::stop() {
  stopping_ = true;
  pause_.notify();
  if (waiting_) stream_.cancel();
}

void Session::abort() {
  stop();
  stream_.abort();
}

void Session::hurry() {
  if (command_deadline_) command_deadline_ = command_deadline_->within(settings_->stress_timeout);
  if (!reading_) return;
  hurried_ = true;
  stream_.cancel();
}

SessionInfo Session::info() const {
  constexpr std::string_view kNames[] = {"greeting", "command", "data", "answer", "closing"};
  SessionInfo info;
  info.id = client_.session_id;
  info.address = client_.address;
  info.port = client_.port;
  info.helo = conversation_.dialogue().helo();
  info.state = kNames[static_cast<std::size_t>(state_)];
  info.tls = client_.tls ? client_.tls->to_string() : std::string();
  info.messages = transactions_;
  info.age = std::chrono::duration_cast<core::Milliseconds>(core::Steady::now() - started_);
  return info;
}

}  // namespace smtpd
