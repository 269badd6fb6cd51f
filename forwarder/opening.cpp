#include "forwarder/opening.hpp"

namespace forwarder {
namespace {

using What = TlsSeen::What;

std::string helo_for(const OpenSettings& settings, const core::IpAddress& local) {
  for (const auto* pool : {&settings.delivery->source_ipv4, &settings.delivery->source_ipv6}) {
    for (const auto& source : *pool) {
      if (source.address == local && !source.helo.empty()) return source.helo;
    }
  }
  return settings.hostname;
}

// One connection's opening. Each step returns false when it ended in result.judgement.
class Opening {
 public:
  enum class Tls { as_planned, never };
  struct Result {
    std::unique_ptr<Upstream> upstream;  // null: the judgement says why
    Judgement judgement;
    TlsSeen seen;
    bool again_in_clear = false;  // the handshake broke, and the plan allows clear text
  };

  Opening(const OpenSettings& settings, std::unique_ptr<net::Stream> stream, const std::string& host, Endpoint endpoint,
          core::Metrics& metrics, core::Deadline deadline)
      : settings_(settings), metrics_(metrics), deadline_(deadline) {
    const auto kind = settings.protocol == Protocol::lmtp ? ClientDialogue::Kind::lmtp : ClientDialogue::Kind::smtp;
    auto helo = helo_for(settings, stream->local_address());
    upstream_ = std::make_unique<Upstream>(std::move(stream), kind, std::move(helo));
    upstream_->host = host;
    upstream_->endpoint = endpoint;
  }

  net::Awaitable<Result> run(Tls tls) {
    const bool ready = co_await greet() && (tls == Tls::never || co_await secure()) && accepts_requiretls();
    if (ready) {
      if (!upstream_->stream->tls()) metrics_.add(core::Counter::upstream_clear);
      result_.upstream = std::move(upstream_);
    }
    co_return std::move(result_);
  }

 private:
  core::Deadline limit() const { return deadline_.within(settings_.delivery->command_timeout); }

  bool fail(Stage stage, const core::Result<void>& said, const mail::Reply* reply) {
    if (!said && said.error() == core::Errc::protocol) metrics_.add(core::Counter::upstream_replies_bad);
    result_.judgement = judge(upstream_->trouble(stage, said ? reply : nullptr, said ? core::Error() : said.error()));
    return false;
  }

  // The plan forbids to go on.
  bool refuse(TlsRefusal refusal) {
    result_.judgement = judge_tls(settings_.plan.cause, refusal);
    return false;
  }
  bool refuse() { return refuse(settings_.plan.liftable ? TlsRefusal::liftable : TlsRefusal::temporary); }

  net::Awaitable<bool> greet() {
    auto& dialogue = upstream_->dialogue;
    const auto said = co_await upstream_->exchange(limit());
    const auto* reply = dialogue.greeting_reply() ? &*dialogue.greeting_reply() : nullptr;
    if (!said || reply == nullptr || !reply->positive()) co_return fail(Stage::greeting, said, reply);
    co_return co_await hello();
  }

  net::Awaitable<bool> hello() {
    auto& dialogue = upstream_->dialogue;
    dialogue.hello();
    const auto said = co_await upstream_->exchange(limit());
    const auto* reply = dialogue.hello_reply() ? &*dialogue.hello_reply() : nullptr;
    if (!said || reply == nullptr || !reply->positive()) co_return fail(Stage::hello, said, reply);
    co_return true;
  }

  net::Awaitable<bool> secure() {
    const auto& plan = settings_.plan;
    if (plan.use == TlsPlan::Use::never) co_return true;
    if (!upstream_->dialogue.capabilities().starttls || settings_.tls_client == nullptr) {
      result_.seen.what = What::not_offered;
      result_.seen.error = "STARTTLS is not offered";
      co_return plan.use == TlsPlan::Use::offered&& plan.clear_when_not_offered ? true : refuse();
    }
    auto& dialogue = upstream_->dialogue;
    dialogue.starttls();
    const auto said = co_await upstream_->exchange(limit());
    if (!said) {
      // TL-03: octets behind the 220 are somebody meddling with TLS, not a mere slip of the protocol.
      const bool meddled = said.error() == core::Errc::protocol;
      if (meddled) note_failure(net::TlsFault::handshake, "octets behind the answer to STARTTLS");
      co_return fail(meddled ? Stage::tls : Stage::starttls, said, nullptr);
    }
    if (!dialogue.starttls_reply() || !dialogue.starttls_reply()->positive()) {
      result_.seen.what = What::refused;
      result_.seen.error = "STARTTLS was refused";
      if (dialogue.starttls_reply()) result_.seen.error += ": " + dialogue.starttls_reply()->to_log();
      co_return plan.clear_after_failure ? true : refuse();
    }
    // A host that hangs up here has said nothing that could be taken for protected: its handshake fails.
    auto& stream = *upstream_->stream;
    if (!stream.buffered().empty() || (stream.readable() && !stream.peer_gone())) {
      note_failure(net::TlsFault::handshake, "octets behind the answer to STARTTLS");
      co_return fail(Stage::tls, core::make_error_code(core::Errc::protocol), nullptr);
    }
    co_return co_await shake_hands();
  }

  net::Awaitable<bool> shake_hands() {
    const auto& plan = settings_.plan;
    auto demand = plan.demand;
    const auto shaken = co_await upstream_->stream->start_tls(*settings_.tls_client, std::move(demand), limit());
    if (!shaken) {
      metrics_.add(core::Counter::tls_out_failed);
      const auto& text = upstream_->stream->tls_error();
      note_failure(upstream_->stream->tls_fault(), text.empty() ? core::describe(shaken.error()) : text);
      result_.again_in_clear = plan.clear_after_failure;
      co_return plan.clear_after_failure ? fail(Stage::tls, shaken, nullptr) : refuse();
    }
    metrics_.add(core::Counter::tls_out);
    const auto& info = *upstream_->stream->tls();
    result_.seen.what = What::done;
    result_.seen.fault = info.fault;
    const bool insisted = plan.demand.verify == net::TlsDemand::Verify::roots || info.by_dane;
    if (info.verified && insisted) {
      metrics_.add(core::Counter::tls_out_verified);
      upstream_->verified_by = info.by_dane ? "dane" : plan.cause == TlsPlan::Cause::sts ? "mta-sts" : "verified";
    }
    upstream_->dialogue.tls_started();
    co_return co_await hello();
  }

  // RFC 8689 §4.2.1
  bool accepts_requiretls() {
    if (!settings_.plan.requiretls || upstream_->dialogue.capabilities().requiretls) return true;
    return refuse(TlsRefusal::permanent);
  }

  void note_failure(net::TlsFault fault, std::string error) {
    result_.seen.what = What::failed;
    result_.seen.fault = fault;
    result_.seen.error = std::move(error);
  }

  const OpenSettings& settings_;
  core::Metrics& metrics_;
  core::Deadline deadline_;
  std::unique_ptr<Upstream> upstream_;
  Result result_;
};

}  // namespace

net::Awaitable<Opened> open_session(OpenSettings settings, std::unique_ptr<net::Stream> stream, std::string host,
                                    Endpoint endpoint, core::Metrics& metrics, core::Deadline deadline) {
  Opened opened;
  opened.endpoint = endpoint;
  opened.source = stream->local_address();
  Opening opening(settings, std::move(stream), host, endpoint, metrics, deadline);
  auto first = co_await opening.run(Opening::Tls::as_planned);
  opened.tls = std::move(first.seen);
  if (first.again_in_clear) {
    auto again = co_await net::connect(endpoint.address, endpoint.port, opened.source,
                                       deadline.within(settings.delivery->connect_timeout));
    if (again) {
      Opening plain(settings, std::move(*again), host, endpoint, metrics, deadline);
      auto second = co_await plain.run(Opening::Tls::never);
      opened.upstream = std::move(second.upstream);
      opened.judgement = std::move(second.judgement);
      co_return opened;
    }
  }
  opened.upstream = std::move(first.upstream);
  opened.judgement = std::move(first.judgement);
  co_return opened;
}

}  // namespace forwarder
