// The working half of a Delivery (forwarder/engine.hpp): one coroutine that drives one destination group's transaction
// towards what its owner asked for. Private to the engine.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "forwarder/engine.hpp"
#include "mail/data_codec.hpp"

namespace forwarder {

class Attempt : public std::enable_shared_from_this<Attempt> {
 public:
  struct Recipient {
    mail::Mailbox to;
    RcptParameters parameters;
    bool withdrawn = false;
    bool asked = false;                    // in the transaction that is open now
    std::size_t index = 0;                 // of its reply in the dialogue
    std::optional<mail::Outcome> verdict;  // of RCPT; fate delivered means accepted
    std::optional<mail::Outcome> outcome;  // of the whole
    bool pending() const { return !withdrawn && !outcome && (!verdict || verdict->fate == mail::Fate::delivered); }
    bool accepted() const { return pending() && verdict; }
  };

  Attempt(Engine& engine, Order order, core::Log log);
  ~Attempt();
  // The coroutine; holds `self` until there is nothing left to do.
  static net::Awaitable<void> run(std::shared_ptr<Attempt> self);

  // Owner's side.
  std::size_t add(mail::Mailbox to, RcptParameters parameters);
  void begin_body(std::shared_ptr<const Parcel> parcel, bool needs_smtputf8);
  void lift_tls_policy();
  void send_dot();
  void retry_other_family();
  void abandon();
  // Engine::hurry().
  void hurry();
  bool hurried() const { return hurried_; }
  // The client sends its message now, which may take long: who waits for a connection may have ours (promise.md C.3.2).
  void data_begun();
  void be_careful();
  void give_back();
  // A session was open at some time: a silent destination is slow, not unreachable (C.3.1).
  bool reached() const { return held_before_ || candidates_.reached(); }
  const std::optional<core::IpAddress>& source() const { return source_; }
  const Target& target() const { return order_.target; }
  const core::IpAddress& client() const { return order_.client; }

  std::vector<Recipient> recipients;
  net::Signal changed;                   // notified whenever the owner may find something new
  std::shared_ptr<net::Signal> watcher;  // notified at the same times; may be null
  bool body_ready = false;               // everything but the dot is out, or nobody is left to wait for
  bool finished = false;                 // every recipient has its outcome
  bool dot_sent = false;
  bool engine_gone = false;  // the event loop's end destroys what waits in it, after the engine
  bool family_refused = false;

 private:
  enum class Wish { recipients, body, dot };
  net::Awaitable<void> step();
  void rehearse(Rehearsal& rehearsal);
  net::Awaitable<void> converge();
  net::Awaitable<std::unique_ptr<Upstream>> take_session();
  net::Awaitable<bool> take_share();
  net::Awaitable<void> send_body();
  net::Awaitable<bool> open_data();
  net::Awaitable<bool> stream_slices();
  net::Awaitable<bool> early_reply();
  net::Awaitable<void> finish();
  net::Awaitable<void> release();

  bool read_verdicts();
  void leave_when_hurried();
  bool unasked() const;
  bool any_accepted() const;
  void settle_pending(const Judgement& judgement);
  void settle_pending_own(mail::Fate fate, mail::Reply reply);
  void failed_here(const Judgement& judgement);
  void drop_session();
  bool refused_for_utf8();
  mail::Outcome outcome_of(const Judgement& judgement) const;
  Judgement blame(Stage stage, const mail::Reply* reply, core::Error error);
  core::Milliseconds command_timeout() const { return order_.config->delivery.command_timeout; }

  Engine& engine_;
  Order order_;
  core::Log log_;
  net::Signal wake_;
  // What is notified while we wait for a share or a connection.
  std::shared_ptr<net::Signal> turn_ = std::make_shared<net::Signal>(engine_.executor_);
  net::Gate::Pass pass_;
  core::Deadline deadline_;
  Candidates candidates_;

  std::unique_ptr<Upstream> upstream_;
  std::optional<core::IpAddress> source_;
  Slots::Share share_;
  bool mail_said_ = false, utf8_said_ = false, in_body_ = false, reused_ = false, allow_kept_ = true,
       abandoned_ = false, hurried_ = false, held_before_ = false;
  core::Deadline lease_ = core::Deadline::never();

  Wish wish_ = Wish::recipients;
  std::shared_ptr<const Parcel> parcel_;
  std::unique_ptr<ParcelReader> reader_;
  bool needs_utf8_ = false, by_chunks_ = false;
  mail::DataEncoder encoder_;
  mail::ChunkChecker checker_;
  std::vector<std::string_view> held_;  // encoded octets that leave together with the dot
};

}  // namespace forwarder
