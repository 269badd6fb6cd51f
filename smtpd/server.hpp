// The SMTP server of one shard: takes accepted sockets, says no to those over the caps without spending a session on
// them, runs the others, and drains at shutdown. Sockets are accepted elsewhere (app); accept() and everything else
// here is called on the shard's thread only. The Server owns its sessions' bookkeeping; it must outlive them: destroy
// it after drain() or after the shard's io_context has stopped and dropped its coroutines.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <unordered_set>
#include <vector>

#include "core/budget.hpp"
#include "core/random.hpp"
#include "net/gate.hpp"
#include "smtpd/connection_table.hpp"
#include "smtpd/session.hpp"
#include "smtpd/settings.hpp"

namespace smtpd {

class Server {
 public:
  // What the server uses and does not own; all of it outlives the server.
  struct Parts {
    boost::asio::any_io_executor executor;
    forwarder::Handler& handler;
    ConnectionTable& connections;  // shared by the shards
    const core::Budget& memory;    // its pressure closes the door (RS-06)
    core::Metrics& metrics;
    core::Log log;
    core::Random& random;
    Stress& stress;  // shared by the shards
  };
  Server(Parts parts, std::shared_ptr<const Settings> settings);
  ~Server();
  Server(const Server&) = delete;

  // Takes the connected socket, whose executor must be this shard's: a session, or 421 and close.
  void accept(net::Socket socket, std::shared_ptr<const Listener> listener);

  // For sessions that begin from now on.
  void set_settings(std::shared_ptr<const Settings> settings) { settings_ = std::move(settings); }

  // Refuses new connections, tells idle clients 421, lets messages past the dot finish. False: some are left at the
  // deadline.
  net::Awaitable<bool> drain(core::Deadline deadline);
  // Breaks the connections that are left.
  void abort_sessions();

  std::vector<SessionInfo> sessions() const;
  std::size_t session_count() const { return sessions_.size(); }

 private:
  net::Awaitable<void> serve(Session::Visitor visitor, net::Gate::Pass pass);
  void notice_stress();
  struct Refused {
    int code;
    mail::EnhancedCode enhanced;
    const char* text;
    const char* reason;
  };
  void refuse(net::Socket socket, const Listener& listener, const Refused& refused);

  Parts parts_;
  Services services_;
  std::shared_ptr<const Settings> settings_;
  net::Gate gate_;
  std::unordered_set<Session*> sessions_;
  bool stressed_ = false;  // the sessions have been told
};

}  // namespace smtpd
