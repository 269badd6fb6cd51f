// What is written down of one transaction: its log events, and a row of the activity log for each recipient. Both say
// the same (interface.md §3, `log --json`). Threads: the transaction's shard.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "auth/author.hpp"
#include "auth/results.hpp"
#include "core/log.hpp"
#include "forwarder/handler.hpp"
#include "mail/envelope.hpp"
#include "policy/verdict.hpp"
#include "queue/activity.hpp"
#include "queue/runner.hpp"

namespace forwarder {

class Record {
 public:
  // `client` and `mail` outlive the record; `activity` may be null.
  Record(const core::Log& log, const Client& client, const mail::MailCommand& mail, std::string id,
         queue::ActivityLog* activity, const core::Clock& clock);

  // What becomes known on the way.
  void message(const mail::Headers& headers, std::uint64_t size);
  void results(const auth::Results& results) { results_ = results; }
  void verdict(const policy::Verdict& verdict) { quarantine_ = verdict.quarantine; }
  void forecast(std::string_view word) { forecast_ = word; }
  void listed_by(std::string names) { dnsbl_ = std::move(names); }  // "zen, dbl"
  void data_done() { data_done_ = clock_.steady(); }

  // One recipient, whatever became of it before or without a destination. `status`: rejected, deferred, dropped.
  void recipient(const mail::ForwardPath& to, std::string_view status, const mail::Reply& reply,
                 std::string_view rule) const;
  // One destination of one recipient. `status`: forwarded, rejected, deferred, queued.
  struct Leg {
    std::string_view shown;  // the address the client used
    const mail::Mailbox& destination;
    const mail::Outcome& outcome;
    std::string_view status;
  };
  void delivery(const Leg& leg, const mail::Reply& reply) const;
  // A dot of an earlier attempt had no answer, and the message is about to be sent again: the copy is announced before
  // it is made (promise.md C.1).
  void announce_copy(std::string_view next_hop) const;
  // Everything that was found about the message's sender, in one event.
  void authentication(const policy::Verdict& verdict, bool ownable) const;

 private:
  enum class Method { spf, dkim, dmarc, arc };
  std::string_view word_of(Method method) const;
  void dmarc_sighting(const policy::Verdict& verdict, std::string_view signatures) const;
  queue::Activity row(std::string_view status, const mail::Reply& reply) const;

  const core::Log& log_;
  const Client& client_;
  const mail::MailCommand& mail_;
  std::string id_;
  queue::ActivityLog* activity_;
  const core::Clock& clock_;
  std::string message_id_, subject_, dnsbl_;
  std::uint64_t size_ = 0;
  std::optional<auth::Results> results_;
  bool quarantine_ = false;
  std::string_view forecast_;
  core::Steady::time_point data_done_{};
};

// The same for what the queue's runner did.
void record_event(const queue::Event& event, const core::Log& log, queue::ActivityLog* activity,
                  const core::Clock& clock);

}  // namespace forwarder
