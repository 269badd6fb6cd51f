#include "forwarder/authentication.hpp"

#include <boost/asio/co_spawn.hpp>
#include <utility>

#include "dns/settle.hpp"
#include "net/signal.hpp"

namespace forwarder {
namespace {

// A hostile SPF record may need 44 rounds, one after another.
constexpr unsigned kRounds = 60;
// RFC 7208 §4.6.4: SPF may take 20 s in all. Who needs it earlier waits less.
constexpr core::Seconds kSpfPatience{20};
// threats DN-06: a message causes 60 questions at most. Of these, 17 belong to admission: three each for the sender's
// domain and the HELO name, eleven for the client's name.
constexpr unsigned kQuestions = 60 - 17;
// Keys that are asked for while the body arrives.
constexpr core::Seconds kKeyPatience{20};

}  // namespace

struct Authentication::State {
  State(const Means& means, const auth::VerifySettings& settings, auth::SpfInput input)
      : resolver(*means.resolver),
        executor(means.executor),
        metrics(*means.metrics),
        envelope(input),
        verifier(*means.library, settings, std::move(input)),
        allowance(std::make_shared<dns::Allowance>(kQuestions)),
        spf_lookup(allowance),
        lookup(allowance),
        spf_settled(means.executor) {}

  static net::Awaitable<void> run_spf(std::shared_ptr<State> self) {
    const auto evaluate = [&](dns::Lookup& lookup) {
      const auto* spf = self->verifier.settle_spf(lookup);
      return spf != nullptr ? std::optional(spf) : std::nullopt;
    };
    self->spf =
        co_await dns::settle(self->resolver, self->spf_lookup, evaluate, core::Deadline::after(kSpfPatience), kRounds);
    self->spf_settled.notify();
  }
  // A bug there is counted; who waits for the result has a deadline, and a failed look-up for it.
  struct Ended {
    core::Metrics& metrics;
    void operator()(const std::exception_ptr& error) const {
      if (error) metrics.add(core::Counter::internal_errors);
    }
  };
  // One key asked for ahead; finish() asks for what is not here by then.
  static net::Awaitable<void> fetch_key(std::shared_ptr<State> self, dns::Question question) {
    dns::Question asked = question;
    auto answer = co_await self->resolver.resolve(std::move(asked), core::Deadline::after(kKeyPatience));
    self->lookup.answer(question, std::move(answer));
  }

  dns::Resolver& resolver;
  boost::asio::any_io_executor executor;
  core::Metrics& metrics;
  const auth::SpfInput envelope;
  auth::Verifier verifier;
  const std::shared_ptr<dns::Allowance> allowance;
  // Of SPF alone: it is under way while the others' questions are.
  dns::Lookup spf_lookup;
  dns::Lookup lookup;
  const auth::SpfResult* spf = nullptr;
  net::Signal spf_settled;
};

Authentication::Authentication(const Means& means, const auth::VerifySettings& settings, auth::SpfInput envelope)
    : state_(std::make_shared<State>(means, settings, std::move(envelope))) {
  auto work = State::run_spf(state_);
  boost::asio::co_spawn(state_->executor, std::move(work), State::Ended{state_->metrics});
}

Authentication::~Authentication() = default;

const auth::SpfResult* Authentication::spf_so_far() const {
  return state_->spf;
}

net::Awaitable<const auth::SpfResult*> Authentication::spf(core::Deadline deadline) {
  const auto state = state_;
  while (state->spf == nullptr) {
    if (!co_await state->spf_settled.wait(deadline)) break;
  }
  co_return state->spf;
}

void Authentication::headers(const mail::Headers& headers) {
  auto& state = *state_;
  state.verifier.headers(headers);
  for (const auto& question : state.verifier.early_questions()) {
    if (state.lookup.ask(question) != nullptr) continue;  // no more questions are allowed
    auto work = State::fetch_key(state_, question);
    boost::asio::co_spawn(state.executor, std::move(work), State::Ended{state.metrics});
  }
}

void Authentication::body(std::string_view slice) {
  state_->verifier.body(slice);
}

net::Awaitable<auth::Results> Authentication::finish(core::Deadline deadline) {
  const auto state = state_;
  static_cast<void>(co_await spf(deadline));
  const auto evaluate = [&](dns::Lookup& lookup) { return state->verifier.finish(lookup); };
  auto results = co_await dns::settle(state->resolver, state->lookup, evaluate, deadline, kRounds);
  state->metrics.add(core::Counter::dns_budget_refused, state->allowance->refused);
  co_return results;
}

net::Awaitable<auth::DmarcResult> Authentication::forecast(auth::Future future, core::Deadline deadline) {
  const auto state = state_;
  const auto evaluate = [&](dns::Lookup& lookup) { return state->verifier.forecast(future, lookup); };
  co_return co_await dns::settle(state->resolver, state->lookup, evaluate, deadline, kRounds);
}

const auth::Authors& Authentication::authors() const {
  return state_->verifier.authors();
}

const auth::SpfInput& Authentication::envelope() const {
  return state_->envelope;
}

net::Awaitable<auth::SpfResult> spf_of_us(dns::Resolver& resolver, auth::SpfInput input, core::Deadline deadline) {
  dns::Lookup lookup;
  const auto evaluate = [&](dns::Lookup& known) { return auth::evaluate_spf(input, known); };
  co_return co_await dns::settle(resolver, lookup, evaluate, deadline, kRounds);
}

}  // namespace forwarder
