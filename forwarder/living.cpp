#include "forwarder/living.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace forwarder {
namespace {

// RFC 5321 §4.5.3.2.6, and a little for what surrounds it.
constexpr core::Seconds kAnswer{660};
// For all that comes before the dot.
constexpr core::Seconds kBody{600};

}  // namespace

Living::Living(boost::asio::any_io_executor executor, Delivery delivery, queue::Flight flight, std::vector<Part> parts)
    : executor_(std::move(executor)),
      delivery_(std::move(delivery)),
      flight_(std::move(flight)),
      parts_(std::move(parts)) {}

queue::Awaitable<std::vector<mail::Outcome>> Living::finish(std::shared_ptr<Living> self, Dot dot) {
  auto executor = self->executor_;
  auto work = run(std::move(self), dot);
  co_return co_await boost::asio::co_spawn(executor, std::move(work), boost::asio::use_awaitable);
}

net::Awaitable<bool> Living::send_dot(core::Deadline deadline) {
  if (!co_await delivery_.ready(deadline) || !delivery_.wants_dot()) co_return false;
  flight_.journal_dot();
  delivery_.send_dot();
  co_return true;
}

net::Awaitable<std::vector<mail::Outcome>> Living::run(std::shared_ptr<Living> self, Dot dot) {
  auto& delivery = self->delivery_;
  if (dot == Dot::may_be_sent && !co_await self->send_dot(core::Deadline::after(kBody))) dot = Dot::never;
  if (dot != Dot::never) {
    static_cast<void>(co_await delivery.wait(core::Deadline::after(kAnswer)));
    if (delivery.other_family_may_help()) {  // interface.md §6.8
      delivery.retry_other_family();
      if (co_await self->send_dot(core::Deadline::after(kBody))) {
        static_cast<void>(co_await delivery.wait(core::Deadline::after(kAnswer)));
      }
    }
  }
  const auto all = delivery.outcomes_so_far();
  std::vector<mail::Outcome> outcomes;
  for (const auto& part : self->parts_) {
    auto outcome = all[part.index];
    if (outcome.fate == mail::Fate::late) outcome.fate = mail::Fate::unknown;  // its time is over
    if (part.flight) self->flight_.settle(*part.flight, outcome);
    outcomes.push_back(std::move(outcome));
  }
  if (dot == Dot::never) delivery.abort();
  co_return outcomes;
}

}  // namespace forwarder
