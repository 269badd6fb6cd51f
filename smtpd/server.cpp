#include "smtpd/server.hpp"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <exception>
#include <string>
#include <utility>

#include "net/address.hpp"

namespace smtpd {
namespace {

constexpr int kPressureFull = 3;

// Registered for as long as the session runs, whatever way it ends.
class Registration {
 public:
  Registration(std::unordered_set<Session*>& set, Session* session) : set_(set), session_(session) {
    set_.insert(session);
  }
  Registration(const Registration&) = delete;
  ~Registration() { set_.erase(session_); }

 private:
  std::unordered_set<Session*>& set_;
  Session* session_;
};

bool is_in(const std::vector<core::Prefix>& networks, const core::IpAddress& address) {
  return std::ranges::any_of(networks, [&](const core::Prefix& network) { return network.contains(address); });
}

}  // namespace

Server::Server(Parts parts, std::shared_ptr<const Settings> settings)
    : parts_(std::move(parts)),
      services_{parts_.handler, parts_.metrics, parts_.log, parts_.stress},
      settings_(std::move(settings)),
      gate_(parts_.executor) {}

Server::~Server() = default;

void Server::accept(net::Socket socket, std::shared_ptr<const Listener> listener) {
  parts_.metrics.add(core::Counter::connections);
  boost::system::error_code error;
  const auto peer = socket.remote_endpoint(error);
  if (error) return;  // gone already
  auto pass = gate_.enter();
  if (!pass) return refuse(std::move(socket), *listener, {421, {4, 3, 2}, "Shutting down", "shutting-down"});
  if (parts_.memory.pressure() >= kPressureFull) {
    return refuse(std::move(socket), *listener, {421, {4, 3, 2}, "No memory left, try again later", "memory"});
  }
  const auto address = net::from_asio(peer.address());
  const bool proxied = listener->proxy != net::ProxyMode::off;
  if (proxied && !is_in(listener->proxies, address)) {  // OP-07: whatever it says is not looked at
    return refuse(std::move(socket), *listener,
                  {554, {5, 5, 0}, "Connections are taken from our proxies only here", "proxy"});
  }
  auto& table = parts_.connections;
  auto entry = proxied ? table.enter_unnamed(settings_->connections)
                       : table.enter(address, {settings_->connections, settings_->connections_per_ip});
  notice_stress();
  if (entry.refusal == ConnectionTable::Refusal::client) {
    return refuse(std::move(socket), *listener,
                  {421, {4, 7, 0}, "Too many connections from your address", "connections"});
  }
  if (entry.refusal == ConnectionTable::Refusal::global) {
    return refuse(std::move(socket), *listener,
                  {421, {4, 3, 2}, "Too many connections, try again later", "connections"});
  }
  Session::Visitor visitor{std::move(socket), std::move(listener), core::make_id(parts_.random), std::move(entry.slot)};
  auto task = serve(std::move(visitor), std::move(pass));
  boost::asio::co_spawn(parts_.executor, std::move(task), [this](std::exception_ptr problem) {
    if (!problem) return;
    // Not even a session could be made: no memory, no file.
    parts_.metrics.add(core::Counter::internal_errors);
    try {
      std::rethrow_exception(problem);
    } catch (const std::exception& e) {
      parts_.log.error("internal_error", {{"error", e.what()}});
    } catch (...) {
      parts_.log.error("internal_error", {{"error", "unknown exception"}});
    }
  });
}

// Parameters die last to first: the gate must be the last to hear of it.
net::Awaitable<void> Server::serve(Session::Visitor visitor, net::Gate::Pass pass) {
  const auto keep_pass = std::move(pass);
  {
    Session session(std::move(visitor), settings_, services_);
    const Registration registration(sessions_, &session);
    co_await session.run();
  }
  notice_stress();
}

// Who came before the stress must hurry too: whoever only sits there would keep its place for minutes.
void Server::notice_stress() {
  const auto limit = std::min<std::size_t>(settings_->connections, parts_.connections.ceiling());
  parts_.stress.update(parts_.connections.total(), limit, parts_.memory.pressure(), parts_.metrics);
  if (std::exchange(stressed_, parts_.stress.on()) || !stressed_) return;
  parts_.log.warn("stress", {{"connections", parts_.connections.total()}, {"limit", limit}});
  for (auto* session : sessions_) session->hurry();
}

// A fresh socket's send buffer is empty, so a short line needs no waiting and no session.
void Server::refuse(net::Socket socket, const Listener& listener, const Refused& refused) {
  parts_.metrics.add(core::Counter::connections_refused);
  const auto id = core::make_id(parts_.random);
  boost::system::error_code error;
  const auto peer = socket.remote_endpoint(error);
  parts_.log.info("connection_refused", {{"session", id},
                                         {"client_ip", net::from_asio(peer.address()).to_string()},
                                         {"listener", listener.name},
                                         {"reason", refused.reason}});
  socket.non_blocking(true, error);
  if (listener.tls != TlsMode::implicit) {
    const auto reply = mail::make_refusal(refused.code, refused.enhanced, refused.text, refused.reason, id).to_wire();
    socket.send(boost::asio::buffer(reply), 0, error);
  }
  socket.shutdown(net::Socket::shutdown_send, error);
  char waiting[1024];
  socket.receive(boost::asio::buffer(waiting), 0, error);  // unread octets would make the close an RST
  socket.close(error);
}

net::Awaitable<bool> Server::drain(core::Deadline deadline) {
  gate_.close();
  for (auto* session : sessions_) session->stop();
  co_return co_await gate_.wait(deadline);
}

void Server::abort_sessions() {
  for (auto* session : sessions_) session->abort();
}

std::vector<SessionInfo> Server::sessions() const {
  std::vector<SessionInfo> list;
  list.reserve(sessions_.size());
  for (const auto* session : sessions_) list.push_back(session->info());
  return list;
}

}  // namespace smtpd
