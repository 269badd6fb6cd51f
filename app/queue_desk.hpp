// The daemon's answers about queue, activity log and ledger (interface.md §3), one JSON object a request. Bulk work
// goes in steps: the answer's `after` is given back in the next request until it is 0, so that nobody waits long and
// the command can show how far it is. Threads: the control thread; the stores behind it have their own.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <nlohmann/json_fwd.hpp>

#include "core/log.hpp"
#include "forwarder/durable.hpp"
#include "net/stream.hpp"

namespace app {

class QueueDesk {
 public:
  // `durable` outlives the desk. The runner's functions are called on `runner_executor`.
  QueueDesk(forwarder::Durable& durable, boost::asio::any_io_executor runner_executor, core::Log log)
      : durable_(durable), runner_executor_(std::move(runner_executor)), log_(std::move(log)) {}

  // Is it for us? "queue.…", "log", "trace", "ledger.…".
  static bool takes(std::string_view command);
  // {"ok": false, "error": "..."} for whatever cannot be done.
  net::Awaitable<nlohmann::json> answer(nlohmann::json request);
  // {active, deferred, hold, ...} for `status`.
  net::Awaitable<nlohmann::json> summary();

 private:
  net::Awaitable<nlohmann::json> list(nlohmann::json request);
  net::Awaitable<nlohmann::json> show(nlohmann::json request);
  net::Awaitable<nlohmann::json> touch(nlohmann::json request);
  net::Awaitable<nlohmann::json> rules(nlohmann::json request);
  net::Awaitable<nlohmann::json> log(nlohmann::json request);
  net::Awaitable<nlohmann::json> trace(nlohmann::json request);
  net::Awaitable<nlohmann::json> shape();
  nlohmann::json ledger(const nlohmann::json& request) const;
  nlohmann::json job_json(const queue::Job& job) const;
  std::string time_text(queue::Time time) const;

  forwarder::Durable& durable_;
  boost::asio::any_io_executor runner_executor_;
  core::Log log_;
};

}  // namespace app
