#include "forwarder/upstream.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>

namespace forwarder {

namespace {

constexpr std::chrono::hours kMarkTime{1};

}  // namespace

void SourceMarks::mark(const core::IpAddress& source) {
  until_[source] = core::Steady::now() + kMarkTime;
}

bool SourceMarks::marked(const core::IpAddress& source) const {
  const auto found = until_.find(source);
  return found != until_.end() && found->second > core::Steady::now();
}

std::vector<core::IpAddress> SourceMarks::list() const {
  std::vector<core::IpAddress> out;
  for (const auto& [source, until] : until_) {
    if (marked(source)) out.push_back(source);
  }
  return out;
}

net::Awaitable<core::Result<void>> Upstream::exchange(core::Deadline deadline) {
  while (dialogue.awaiting() > 0) {
    const std::string out = dialogue.take_output();
    if (!out.empty()) {
      const auto written = co_await stream->write(out, deadline);
      // A peer that refuses early and closes may have said why: what it said is read below before the error counts.
      if (!written && stream->buffered().empty() && !stream->readable()) co_return written.error();
    }
    if (stream->buffered().empty()) {
      const auto filled = co_await stream->fill(deadline);
      if (!filled) co_return filled.error();
    }
    const auto octets = stream->buffered();
    const bool whole_line = octets.ends_with('\n');
    const bool tls_next = dialogue.stage() == Stage::starttls;
    const auto received = dialogue.receive(octets);
    stream->consume(octets.size());
    if (!received) co_return received.error();
    // TL-03: whatever follows the 220 of STARTTLS was not protected and must not be read as protected.
    if (tls_next && dialogue.starttls_reply() && !whole_line) co_return core::make_error_code(core::Errc::protocol);
  }
  co_return core::Result<void>();
}

Trouble Upstream::trouble(Stage stage, const mail::Reply* reply, core::Error error) const {
  Trouble t;
  t.stage = stage;
  t.reply = reply;
  t.error = error;
  t.peer = endpoint.address;
  t.source = stream->local_address();
  t.helo = helo;
  return t;
}

namespace {

// Any of the pool, at random; the marked ones only when there is no other.
std::optional<core::IpAddress> pick_source(const RaceMeans& means, bool v6) {
  const auto& pool = v6 ? means.delivery.source_ipv6 : means.delivery.source_ipv4;
  std::vector<core::IpAddress> good;
  for (const auto& source : pool) {
    if (!means.marks.marked(source.address)) good.push_back(source.address);
  }
  if (good.empty()) {
    for (const auto& source : pool) good.push_back(source.address);
  }
  if (good.empty()) return std::nullopt;
  return good[static_cast<std::size_t>(means.random.below(good.size()))];
}

// What the two families' coroutines of one race share. Lives until both are through.
struct Race {
  explicit Race(boost::asio::any_io_executor executor) : changed(executor), second_may_start(executor) {}
  net::Signal changed;
  net::Signal second_may_start;
  std::unique_ptr<net::Stream> stream;
  Endpoint endpoint;
  core::Error error;
  bool over = false;
  int running = 0;
};

struct Runner {
  std::vector<Endpoint> todo;
  std::vector<std::optional<core::IpAddress>> sources;
  core::Milliseconds connect_timeout;
  core::Deadline deadline;
  Runner(core::Milliseconds timeout, core::Deadline d) : connect_timeout(timeout), deadline(d) {}
};

// Tries one family's addresses in turn; the first stream of the race wins.
net::Awaitable<void> run_family(std::shared_ptr<Race> state, std::shared_ptr<Runner> runner, core::Metrics& metrics,
                                std::shared_ptr<std::vector<Endpoint>> tried, bool waits) {
  if (waits) co_await state->second_may_start.wait(runner->deadline);
  for (std::size_t i = 0; i < runner->todo.size() && !state->over; ++i) {
    const auto endpoint = runner->todo[i];
    tried->push_back(endpoint);
    metrics.add(core::Counter::upstream_connects);
    const auto begun = core::Steady::now();
    auto connected = co_await net::connect(endpoint.address, endpoint.port, runner->sources[i],
                                           runner->deadline.within(runner->connect_timeout));
    if (state->over) co_return;  // the other family was faster; this stream closes
    if (connected) {
      metrics.timings().add(core::Timing::connect, core::Steady::now() - begun);
      state->over = true;
      state->stream = std::move(*connected);
      state->endpoint = endpoint;
    } else {
      metrics.add(core::Counter::upstream_connect_failed);
      state->error = connected.error();
      state->endpoint = endpoint;
    }
  }
  --state->running;
  state->second_may_start.notify();  // nothing left here: the other family need not wait for its turn
  state->changed.notify();
}

}  // namespace

net::Awaitable<Connected> race(RaceMeans means, Addresses& addresses, core::Deadline deadline) {
  const auto& delivery = means.delivery;
  const auto executor = co_await boost::asio::this_coro::executor;
  auto state = std::make_shared<Race>(executor);
  auto tried = std::make_shared<std::vector<Endpoint>>();
  const bool six_first = delivery.prefer == Family::ipv6;
  const std::vector<Endpoint>* families[] = {six_first ? &addresses.ipv6 : &addresses.ipv4,
                                             six_first ? &addresses.ipv4 : &addresses.ipv6};
  bool waits = false;
  for (const auto* family : families) {
    if (family->empty()) continue;
    auto runner = std::make_shared<Runner>(delivery.connect_timeout, deadline);
    runner->todo = *family;
    for (const auto& endpoint : *family) {
      runner->sources.push_back(pick_source(means, endpoint.address.is_v6()));
    }
    ++state->running;
    boost::asio::co_spawn(executor, run_family(state, runner, means.metrics, tried, waits), boost::asio::detached);
    waits = true;
  }
  if (state->running == 2 && !co_await state->changed.wait(deadline.within(delivery.race_after))) {
    state->second_may_start.notify();
  }
  while (!state->stream && state->running > 0) {
    if (!co_await state->changed.wait(deadline)) break;
  }
  state->over = true;
  state->second_may_start.notify();
  const auto was_tried = [&](const Endpoint& e) { return std::find(tried->begin(), tried->end(), e) != tried->end(); };
  std::erase_if(addresses.ipv6, was_tried);
  std::erase_if(addresses.ipv4, was_tried);
  Connected connected;
  connected.stream = std::move(state->stream);
  connected.endpoint = state->endpoint;
  connected.error = connected.stream ? core::Error()
                    : state->error   ? state->error
                                     : core::Error(core::make_error_code(core::Errc::timed_out));
  co_return connected;
}

}  // namespace forwarder
