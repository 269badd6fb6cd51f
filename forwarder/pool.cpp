#include "forwarder/pool.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

namespace forwarder {
namespace {

// RFC 5321 §4.1.1.10: a client says QUIT; nobody waits long for the answer.
net::Awaitable<void> say_goodbye(std::unique_ptr<Upstream> upstream) {
  upstream->dialogue.quit();
  static_cast<void>(co_await upstream->exchange(core::Deadline::after(std::chrono::seconds(2))));
  upstream->stream->close();
}

}  // namespace

Pool::Pool(boost::asio::any_io_executor executor, Slots& slots) : timer_(std::move(executor)), slots_(slots) {}

Pool::~Pool() {
  timer_.cancel();
}

std::unique_ptr<Upstream> Pool::take(const std::string& key, const DeliverySettings& delivery, TlsWish wish) {
  const auto found = kept_.find(key);
  if (found == kept_.end()) return nullptr;
  auto& sessions = found->second;
  const auto now = core::Steady::now();
  std::unique_ptr<Upstream> result;
  // From the back: the one used last is the likeliest to be alive.
  for (auto at = sessions.end(); at != sessions.begin() && result == nullptr;) {
    --at;
    if (!(*at)->suits(wish)) continue;
    auto candidate = std::move(*at);
    at = sessions.erase(at);
    --size_;
    if (candidate->stream->readable()) {
      candidate->stream->close();  // gone, or out of step: something came that nobody asked for
    } else if (now - candidate->idle_since > delivery.idle || now - candidate->opened > delivery.lifetime) {
      close(std::move(candidate));
    } else {
      result = std::move(candidate);
    }
  }
  if (sessions.empty()) kept_.erase(found);
  return result;
}

void Pool::put(std::unique_ptr<Upstream> upstream, const DeliverySettings& delivery) {
  const auto now = core::Steady::now();
  const auto most = upstream->dialogue.capabilities().mail_max;  // RFC 9422
  const bool worn = now - upstream->opened > delivery.lifetime || (most != 0 && upstream->transactions >= most);
  if (worn || delivery.idle.count() == 0 || upstream->generation != generation_) {
    close(std::move(upstream));
    return;
  }
  const std::string key = upstream->key;
  if (!slots_.session_kept(key, timer_.get_executor())) {  // those who wait for it are on another shard
    close(std::move(upstream));
    return;
  }
  idle_ = delivery.idle;
  upstream->idle_since = now;
  kept_[key].push_back(std::move(upstream));
  ++size_;
  arm();
}

bool Pool::close_one(const std::string& key) {
  const auto found = kept_.find(key);
  if (found == kept_.end()) return false;
  close(std::move(found->second.front()));
  found->second.pop_front();
  --size_;
  if (found->second.empty()) kept_.erase(found);
  return true;
}

void Pool::clear() {
  for (auto& [key, sessions] : kept_) {
    for (auto& session : sessions) close(std::move(session));
  }
  kept_.clear();
  size_ = 0;
  ++generation_;
}

void Pool::close(std::unique_ptr<Upstream> upstream) {
  upstream->connection.release();
  const auto executor = upstream->stream->executor();
  boost::asio::co_spawn(executor, say_goodbye(std::move(upstream)), boost::asio::detached);
}

void Pool::sweep() {
  const auto now = core::Steady::now();
  for (auto it = kept_.begin(); it != kept_.end();) {
    auto& sessions = it->second;
    while (!sessions.empty() && now - sessions.front()->idle_since >= idle_) {
      close(std::move(sessions.front()));
      sessions.pop_front();
      --size_;
    }
    it = sessions.empty() ? kept_.erase(it) : std::next(it);
  }
}

// One timer while anything is kept; it ends by itself when the pool is empty.
void Pool::arm() {
  if (armed_) return;
  armed_ = true;
  timer_.expires_after(std::chrono::seconds(1));
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;  // the pool is being destroyed
    armed_ = false;
    sweep();
    if (size_ > 0) arm();
  });
}

}  // namespace forwarder
