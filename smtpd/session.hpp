// One client connection as a coroutine: greets, reads, asks the Conversation and the Handler, writes. All protocol
// wisdom is in Conversation; here are the socket, the deadlines, the batching of replies and the transaction's life.
//
// Replies are collected and leave in one write per pipelined batch: when the buffer is drained, before the final answer
// is awaited, and when a Handler call has kept them waiting. A Session belongs to one shard; its Server owns it until
// run() has ended. It may be stopped (421 at the next command) or aborted by the Server.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/log.hpp"
#include "core/metrics.hpp"
#include "forwarder/handler.hpp"
#include "net/proxy_header.hpp"
#include "net/signal.hpp"
#include "net/stream.hpp"
#include "smtpd/connection_table.hpp"
#include "smtpd/conversation.hpp"
#include "smtpd/settings.hpp"
#include "smtpd/stress.hpp"

namespace smtpd {

// What a connection came in by.
struct Listener {
  std::string name;
  TlsMode tls = TlsMode::none;
  std::shared_ptr<const net::TlsServer> server;  // null: Settings::tls
  // Anything but off: every connection comes from one of the proxies and begins with a PROXY header.
  net::ProxyMode proxy = net::ProxyMode::off;
  std::vector<core::Prefix> proxies = {};
};

// What all sessions of a shard share; outlives them.
struct Services {
  forwarder::Handler& handler;
  core::Metrics& metrics;
  core::Log log;
  const Stress& stress;
};

// For `onward status`.
struct SessionInfo {
  std::string id;
  core::IpAddress address;
  std::uint16_t port = 0;
  std::string helo;
  std::string state;      // "greeting", "command", "data", "answer", "closing"
  std::string tls;        // "" when plain
  unsigned messages = 0;  // transactions begun
  core::Milliseconds age{0};
};

class Session final : private forwarder::ClientProbe {
 public:
  struct Visitor {
    net::Socket socket;
    std::shared_ptr<const Listener> listener;
    std::string id;
    ConnectionTable::Slot slot;
  };
  // `services` must outlive the session.
  Session(Visitor visitor, std::shared_ptr<const Settings> settings, Services& services);
  ~Session() override;
  Session(const Session&) = delete;

  // Until the connection is closed. Never throws: what goes wrong is answered 421, logged and counted.
  net::Awaitable<void> run();

  // Shutdown: the client hears 421 4.3.2 at once when it is idle, else after the reply it is waiting for (DU-15).
  void stop();
  // Breaks the connection. run() ends as soon as the Handler lets go.
  void abort();
  // Stress has begun: whoever is waited for has little time left.
  void hurry();
  SessionInfo info() const;
  const std::string& id() const { return client_.session_id; }

 private:
  enum class State { greeting, command, data, answer, closing };

  net::Awaitable<void> converse();
  net::Awaitable<bool> open();
  net::Awaitable<bool> read_proxy_header();
  net::Awaitable<bool> be_counted();
  net::Awaitable<bool> wait_for_silence();
  net::Awaitable<bool> handshake();
  // All of these: false when the session is over.
  net::Awaitable<bool> handle(Event event);
  net::Awaitable<bool> answer(Say say);
  net::Awaitable<bool> begin_mail(Mail mail);
  net::Awaitable<bool> add_recipient(Rcpt rcpt);
  net::Awaitable<bool> finish_message();
  net::Awaitable<bool> start_tls(StartTls step);
  net::Awaitable<bool> await_input();
  void sign_receipt(const core::Result<std::size_t>& got);
  net::Awaitable<bool> flush();
  net::Awaitable<bool> flush_if_old();
  // The last words: 421 or 554, then the end.
  net::Awaitable<void> part(Say say);

  core::Deadline command_deadline();
  core::Deadline data_deadline();

  bool gone() override;
  void queue(const mail::Reply& reply);
  void account(const Say& say);
  std::shared_ptr<const net::TlsServer> tls_server() const;

  const std::shared_ptr<const Settings> settings_;
  const std::shared_ptr<const Listener> listener_;
  Services& services_;
  net::Stream stream_;
  core::Log log_;
  ConnectionTable::Slot slot_;
  std::unique_ptr<forwarder::Visit> visit_;
  forwarder::Client client_;  // before transaction_, which refers to it
  Conversation conversation_;
  std::unique_ptr<forwarder::Transaction> transaction_;
  // Of the last message's 250, until it is known how well the client has heard it.
  std::unique_ptr<forwarder::Receipt> receipt_;
  bool pipelined_ = false;  // more had come before that reply left
  net::Signal pause_;
  std::string pending_;  // replies not written yet
  core::Steady::time_point pending_since_;
  core::Steady::time_point started_ = core::Steady::now();
  std::optional<core::Deadline> command_deadline_;  // of the command that is coming in (RS-01)
  std::optional<core::Deadline> data_deadline_;     // under stress: of the message that is coming in
  std::string_view why_ = "quit";                   // how the session ended, for the log
  unsigned transactions_ = 0;
  State state_ = State::greeting;
  bool stopping_ = false;
  bool waiting_ = false;  // for a command: stop() may break the read
  bool reading_ = false;  // a command or data: hurry() may break the read
  bool hurried_ = false;  // and did
  bool large_ = false;    // the stream's buffer is
};

}  // namespace smtpd
