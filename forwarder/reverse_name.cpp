#include "forwarder/reverse_name.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <utility>

#include "auth/spf_macro.hpp"
#include "net/signal.hpp"

namespace forwarder {
namespace {

constexpr core::Seconds kPatience{3};
constexpr std::size_t kMaxNames = 3;

}  // namespace

struct ReverseName::State {
  explicit State(const boost::asio::any_io_executor& executor) : changed(executor) {}

  static net::Awaitable<void> look_up(std::shared_ptr<State> self, dns::Resolver& resolver, core::IpAddress ip) {
    const auto deadline = core::Deadline::after(kPatience);
    dns::Question pointer{auth::reverse_name(ip), dns::Type::ptr};
    const auto names = co_await resolver.resolve(std::move(pointer), deadline);
    for (std::size_t i = 0; i < names.names.size() && i < kMaxNames && self->name.empty(); ++i) {
      dns::Question forward{names.names[i], ip.is_v6() ? dns::Type::aaaa : dns::Type::a};
      const auto addresses = co_await resolver.resolve(std::move(forward), deadline);
      if (std::ranges::find(addresses.addresses, ip) != addresses.addresses.end()) self->name = names.names[i];
    }
    self->known = true;
    self->changed.notify();
  }

  net::Signal changed;
  bool known = false;
  std::string name;
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

const std::string& ReverseName::name() const {
  return state_->name;
}

}  // namespace forwarder
