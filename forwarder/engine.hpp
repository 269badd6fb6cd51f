// The only code that speaks SMTP and LMTP outwards. Engine::start() hands out a Delivery: one destination group's
// transaction, in stages, so that our client hears each answer when it comes and decides when the final dot goes out.
//
// Behind a Delivery works an Attempt, a coroutine of its own that drives towards what the owner asked for. The owner
// waits for it with deadlines; nothing is lost when a waiter stops waiting. Dropping a Delivery before the dot leaves
// no copy behind; after the dot the Attempt goes on by itself until the answer, the loss of the connection or 10
// minutes (promise.md I4). Threads: engine, deliveries and attempts of one shard.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/log.hpp"
#include "core/metrics.hpp"
#include "core/random.hpp"
#include "forwarder/candidates.hpp"
#include "forwarder/config.hpp"
#include "forwarder/parcel.hpp"
#include "forwarder/pool.hpp"
#include "forwarder/slots.hpp"
#include "mail/envelope.hpp"
#include "mail/message.hpp"
#include "net/gate.hpp"

namespace forwarder {

// What a Delivery needs to know at start.
struct Order {
  std::shared_ptr<const Config> config;
  Target target;
  mail::ReversePath from;           // the SRS sender
  std::uint64_t declared_size = 0;  // the client's SIZE=, 0 when none
  bool eight_bit = false;           // the client said BODY=8BITMIME
  bool smtputf8 = false;            // the client said SMTPUTF8
  bool careful = false;             // a dot was lost before: a fresh session, nothing pipelined, no chunks (C.3.7)
  mail::MailCommand::Ret ret = mail::MailCommand::Ret::unspecified;  // RFC 3461, said where DSN is offered
  std::string envid;
  bool queued = false;              // the runner's, out of the queue
  TlsWish tls = TlsWish::ordinary;  // what the sender asks of TLS
  core::IpAddress client;           // its network: what shares are counted by
};

class Attempt;

// For a dry run (`onward try`): nothing is sent, every next hop is taken to accept everything, and what it would have
// got is shown here.
class Rehearsal {
 public:
  virtual ~Rehearsal() = default;
  virtual void would_send(const Order& order, const std::vector<mail::Mailbox>& recipients, const Parcel& parcel) = 0;
};

class Delivery {
 public:
  Delivery() = default;
  explicit Delivery(std::shared_ptr<Attempt> attempt);
  Delivery(Delivery&&) noexcept = default;
  Delivery& operator=(Delivery&& other) noexcept;
  ~Delivery();
  explicit operator bool() const { return attempt_ != nullptr; }

  // Adds a recipient; the upstream is asked at once (unless the body has begun). Returns its index.
  std::size_t add_recipient(mail::Mailbox to, RcptParameters parameters = {});
  // Waits until the upstream has answered this RCPT; nothing at the deadline. fate delivered: accepted.
  net::Awaitable<std::optional<mail::Outcome>> recipient_verdict(std::size_t index, core::Deadline deadline);
  // Is a session with the next hop open (or kept for us): a silent one is "slow", none is "unreachable" (C.3.1).
  bool reached() const;
  // Our own address in the session with the next hop, the last one when there were several; nothing: there was none.
  std::optional<core::IpAddress> source() const;
  // The upstream's verdict so far; empty: not known.
  std::optional<mail::Outcome> known(std::size_t index) const;
  // This recipient is not wanted any more (refused to our client); it is left out when the transaction is repeated.
  void withdraw(std::size_t index);

  // The message says "TLS-Required: No" (RFC 8689 §5): recipients that a TLS policy kept from being asked are asked
  // again, without it. Before begin_body().
  void lift_tls_policy();

  // As Order::careful, from now on: the session that is open is not used.
  void be_careful();

  // Our client has begun its data: the upstream session stays ours for the rest of the lease only as long as nobody
  // else waits for one (promise.md C.3.2, docs/decisions/005-lease-time.md).
  void data_begun();
  // Sends everything but the final dot (takes a session again when the lease was given back, and repeats MAIL and
  // RCPT).
  void begin_body(std::shared_ptr<const Parcel> parcel, bool needs_smtputf8);
  // True: all is sent and the dot is held, or every recipient has failed. False: not yet, at the deadline.
  net::Awaitable<bool> ready(core::Deadline deadline);
  // Does any recipient still hang on the dot?
  bool wants_dot() const;
  void send_dot();
  // Outcome per recipient in the order they were added; nothing at the deadline, and may then be called again.
  net::Awaitable<std::optional<std::vector<mail::Outcome>>> wait(core::Deadline deadline);
  // Notified whenever there may be something new here: for who waits for several deliveries at once. The last one given
  // counts.
  void watch(std::shared_ptr<net::Signal> watcher);
  // wait() would not wait.
  bool finished() const;
  // What would be said of each recipient if waiting ended now: `late` where the dot is out, `deferred` where it is not.
  std::vector<mail::Outcome> outcomes_so_far() const;
  // This recipient's outcome is final.
  bool settled(std::size_t index) const;
  // After wait(): the refusal was about our IPv6 address, and IPv4 has not been tried (interface.md §6.8).
  bool other_family_may_help() const;
  // Offers the same message over IPv4: ready(), send_dot(), wait() follow again.
  void retry_other_family();
  // Before the dot: the transaction is reset, nothing stays.
  void abort();

 private:
  std::shared_ptr<Attempt> attempt_;
};

class Engine {
 public:
  Engine(boost::asio::any_io_executor executor, dns::Resolver& resolver, Slots& slots, core::Random& random,
         core::Metrics& metrics);
  ~Engine();

  // What all shards know together of policies and of TLS; it outlives the engine. Without it the engine keeps to
  // itself.
  void share(Transport& transport);
  Transport& transport() { return *transport_; }
  StsFinder& sts() { return *sts_; }

  // From now on nothing is sent. `rehearsal` outlives the engine.
  void rehearse(Rehearsal& rehearsal) { rehearsal_ = &rehearsal; }

  // Begins one group's transaction. Nothing is sent before the first recipient is added.
  Delivery start(Order order, const core::Log& log);
  // After a reload: kept sessions are closed, remembered families forgotten.
  void reset();
  // For shutdown, when no session is left: who waits for ready() waits no longer. Attempts whose dot is out go on.
  void hurry();
  // Attempts in flight; close() and wait() for shutdown.
  net::Gate& gate() { return gate_; }
  Pool& pool() { return pool_; }
  // Targets whose IPv6 is known to refuse us, for `status`.
  std::vector<std::string> ipv4_only_targets() const { return families_.list(); }
  const SourceMarks& marked_sources() const { return marks_; }

 private:
  friend class Attempt;
  boost::asio::any_io_executor executor_;
  dns::Resolver& resolver_;
  Slots& slots_;
  core::Random& random_;
  core::Metrics& metrics_;
  Pool pool_;
  net::Gate gate_;
  SourceMarks marks_;
  FamilyMemory families_;
  core::SystemClock clock_;
  std::unique_ptr<Transport> own_transport_;
  Transport* transport_ = nullptr;
  std::unique_ptr<StsFinder> sts_;
  Rehearsal* rehearsal_ = nullptr;
  std::set<Attempt*> attempts_;                         // all of them
  std::map<std::string, std::set<Attempt*>> lendable_;  // attempts whose client is sending data, by target
  void lend(Attempt& attempt);
  void unlend(Attempt& attempt);
  // Makes one attempt of this target (and client) give its session back, if there is one that can.
  void reclaim(const std::string& key, const std::optional<core::IpAddress>& client);
};

}  // namespace forwarder
