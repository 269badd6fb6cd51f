#include "forwarder/reverse_name.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <utility>

#include "dns/settle.hpp"
#include "net/signal.hpp"

namespace forwarder {
namespace {

constexpr core::Seconds kPatience{3};

}  // namespace

struct ReverseName::State {
  explicit State(const boost::asio::any_io_executor& executor) : changed(executor) {}

  static net::Awaitable<void> look_up(std::shared_ptr<State> self, dns::Resolver& resolver, core::IpAddress ip) {
    dns::Lookup lookup;
    const auto evaluate = [&](dns::Lookup& known) { return policy::evaluate_reverse(ip, known); };
    self->result = co_await dns::settle(resolver, lookup, evaluate, core::Deadline::after(kPatience));
    self->known = true;
    self->changed.notify();
  }

  net::Signal changed;
  bool known = false;
  policy::ReverseResult result;
};

ReverseName::ReverseName(const boost::asio::any_io_executor& executor, dns::Resolver& resolver,
                         const core::IpAddress& client)
    : state_(std::make_shared<State>(executor)) {
  auto work = State::look_up(state_, resolver, client);
  boost::asio::co_spawn(executor, std::move(work), boost::asio::detached);
}

net::Awaitable<bool> ReverseName::wait(core::Deadline deadline) {
  const auto state = state_;
  while (!state->known) {
    if (!co_await state->changed.wait(deadline)) break;
  }
  co_return state->known;
}

bool ReverseName::known() const {
  return state_->known;
}

const policy::ReverseResult& ReverseName::result() const {
  return state_->result;
}

}  // namespace forwarder
