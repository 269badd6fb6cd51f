#include "dns/settle.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>
#include <memory>

#include "net/signal.hpp"

namespace dns {
namespace {

struct Batch {
  explicit Batch(boost::asio::any_io_executor executor) : done(std::move(executor)) {}
  net::Signal done;
  std::vector<std::pair<Question, Answer>> answers;
  std::size_t left = 0;
};

net::Awaitable<void> fetch_one(std::shared_ptr<Batch> batch, Resolver& resolver, std::size_t at,
                               core::Deadline deadline) {
  Question question = batch->answers[at].first;
  batch->answers[at].second = co_await resolver.resolve(std::move(question), deadline);
  if (--batch->left == 0) batch->done.notify();
}

}  // namespace

net::Awaitable<void> fetch(Resolver& resolver, Lookup& lookup, core::Deadline deadline) {
  const auto executor = co_await boost::asio::this_coro::executor;
  auto batch = std::make_shared<Batch>(executor);
  for (const auto& question : lookup.wanted()) {
    Answer none;
    none.error = "timeout";
    batch->answers.emplace_back(question, std::move(none));
  }
  batch->left = batch->answers.size();
  if (!deadline.passed()) {
    for (std::size_t i = 0; i < batch->answers.size(); ++i) {
      auto work = fetch_one(batch, resolver, i, deadline);
      boost::asio::co_spawn(executor, std::move(work), boost::asio::detached);
    }
    if (batch->left > 0) static_cast<void>(co_await batch->done.wait(deadline));
  }
  for (const auto& [question, answer] : batch->answers) lookup.answer(question, answer);
}

}  // namespace dns
