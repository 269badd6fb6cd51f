// Lets a coroutine wait for an answer that another thread gives: the thread keeps a Completion, and the coroutine goes
// on where it was, on its own executor. For the folder's own use.
#pragma once

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace queue {

template <class T>
class Completion {
 public:
  Completion(boost::asio::any_io_executor executor, boost::asio::any_completion_handler<void(T)> handler)
      : executor_(boost::asio::prefer(std::move(executor), boost::asio::execution::outstanding_work.tracked)),
        handler_(std::move(handler)) {}

  // Once, from any thread.
  void complete(T value) {
    auto executor = std::move(executor_);
    boost::asio::post(executor, [handler = std::move(handler_), value = std::move(value)]() mutable {
      std::move(handler)(std::move(value));
    });
  }

 private:
  boost::asio::any_io_executor executor_;  // its io_context does not run dry meanwhile
  boost::asio::any_completion_handler<void(T)> handler_;
};

// `start` is given the Completion<T>.
template <class T, class Start>
boost::asio::awaitable<T> answer(Start start) {
  auto executor = co_await boost::asio::this_coro::executor;
  auto initiation = [](boost::asio::any_completion_handler<void(T)> handler, boost::asio::any_io_executor on,
                       Start begin) { begin(Completion<T>(std::move(on), std::move(handler))); };
  auto waiting = boost::asio::async_initiate<const boost::asio::use_awaitable_t<>, void(T)>(
      initiation, boost::asio::use_awaitable, std::move(executor), std::move(start));
  co_return co_await std::move(waiting);
}

}  // namespace queue
