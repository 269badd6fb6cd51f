// The transaction of the in-session path (promise.md C.3): each RCPT is put to its next hop at once, and the final dot
// goes upstream while our client waits. What was not answered in time, or only in part, becomes ours where the sender
// is ownable (C.3.6, C.4); mail for rules with custody = "queue" becomes ours at once. Private to the pipeline.
//
// in_session.cpp: MAIL and RCPT. in_session_data.cpp: from the end of the data to the answers to the dots.
// in_session_end.cpp: what is made of these, and the one reply.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "forwarder/admission.hpp"
#include "forwarder/answer.hpp"
#include "forwarder/authentication.hpp"
#include "forwarder/custody.hpp"
#include "forwarder/legs.hpp"
#include "forwarder/pipeline.hpp"
#include "forwarder/record.hpp"
#include "forwarder/reverse_name.hpp"
#include "forwarder/shield.hpp"

namespace forwarder {

// Rule name of a bounce that comes back.
inline constexpr std::string_view kSrsRule = "srs";

class InSession final : public Transaction, private Witness {
 public:
  InSession(Pipeline& pipeline, std::shared_ptr<const Config> config, const Client& client, mail::MailCommand command,
            std::string id, const core::Log& log);
  ~InSession() override;

  const std::string& id() const override { return id_; }
  net::Awaitable<mail::Reply> rcpt(mail::RcptCommand command) override;
  std::size_t accepted_recipients() const override { return recipients_.size(); }
  std::optional<mail::Reply> begin_data() override;
  std::string& inbox() override { return intake_.inbox(); }
  Absorb absorb() override { return intake_.absorb() ? Absorb::spill : Absorb::ok; }
  net::Awaitable<void> spill() override { return intake_.spill(); }
  net::Awaitable<mail::Reply> end_of_data(ClientProbe& probe) override;
  std::unique_ptr<Receipt> receipt() override;

 private:
  // Intake shows the message while it arrives.
  void octets(std::string_view slice) override;
  void headers(const mail::Headers& headers) override;
  void body(std::string_view slice) override;

  std::unique_ptr<Authentication> begin_authentication() const;
  Durable* durable() const { return pipeline_.means().durable; }
  bool can_own() const { return durable() != nullptr && durable()->can_own(); }

  // ---- RCPT
  net::Awaitable<std::optional<mail::Reply>> resolve(mail::ForwardPath to, policy::Route& route);
  std::optional<mail::Reply> refusal_by_rule(const policy::Route& route) const;
  std::optional<mail::Reply> resolve_srs(const mail::Mailbox& to, policy::Route& route);
  net::Awaitable<std::optional<mail::Reply>> check_spf();
  net::Awaitable<std::optional<mail::Reply>> check_groups(const policy::Route& route);
  net::Awaitable<bool> ownable_by_spf();
  std::optional<mail::Reply> check_queue_room(const Recipient& recipient) const;
  TlsWish tls_wish() const;
  Order order_for(Target target) const;
  void ask(const Recipient& recipient, Leg& leg);
  net::Awaitable<bool> settle_leg(const Recipient& recipient, Leg& leg, core::Deadline patience,
                                  mail::Outcome& refusal);
  net::Awaitable<mail::Reply> settle_recipient(Recipient recipient);
  mail::Reply accept(Recipient recipient);

  // ---- the end of the data
  std::optional<mail::Reply> check_message();
  bool is_repeating();
  net::Awaitable<std::optional<mail::Reply>> consult_ledger(core::Deadline deadline);
  net::Awaitable<std::optional<mail::Reply>> authenticate();
  net::Awaitable<std::optional<mail::Reply>> look_ahead();
  std::set<std::string> forwarded_domains() const;
  std::shared_ptr<const ReceivedParcel> make_parcel(core::Result<void>& result);
  queue::Envelope envelope_of(const ReceivedParcel& parcel) const;
  void begin_bodies();
  net::Awaitable<void> open_queue_legs();
  net::Awaitable<bool> all_ready(core::Deadline deadline);
  bool must_hold_dots() const;
  void journal_delivered();
  void journal_and_send(Group& group);
  void send_dots();
  net::Awaitable<void> collect_answers(ClientProbe& probe, core::Deadline deadline);
  net::Awaitable<void> try_other_family(Group& group, ClientProbe& probe, core::Deadline deadline);
  net::Awaitable<bool> try_fallbacks(ClientProbe& probe, core::Deadline deadline);
  net::Awaitable<std::optional<mail::Reply>> relay(ClientProbe& probe, core::Deadline deadline);
  mail::Outcome outcome_of(const Leg& leg) const;
  std::vector<Result> results() const;
  net::Awaitable<mail::Reply> conclude();
  net::Awaitable<bool> commit(const promise::Decision& decision, const std::vector<Result>& results);
  void settle_flights(const promise::Decision& decision, const std::vector<Result>& results, bool committed);
  void leave_behind();
  void write_down(const promise::Decision& decision, const std::vector<Result>& results, bool committed,
                  const mail::Reply& reply);
  mail::Reply reject(mail::Reply reply);

  std::optional<mail::Reply> refusal_of(const policy::Verdict& verdict) const;
  std::vector<Mask> masks() const;
  mail::Reply refuse(int code, mail::EnhancedCode enhanced, std::string_view text, std::string_view reason) const;

  Pipeline& pipeline_;
  std::shared_ptr<const Config> config_;
  const Client& client_;
  mail::MailCommand command_;
  std::string id_;
  core::Log log_;
  Record record_;
  std::optional<mail::ReversePath> srs_sender_;
  std::vector<Recipient> recipients_;
  std::vector<Group> groups_;
  policy::Checks skipped_;
  Inspection inspection_;
  std::unique_ptr<Authentication> authentication_;  // null: nothing is checked
  Shield shield_;
  queue::MessageHasher hasher_;
  Intake intake_;  // shows us the message
  std::optional<ReverseName> reverse_;
  std::vector<policy::Repeats::Passage> passages_;
  std::optional<auth::Results> results_;
  policy::Verdict verdict_;
  bool ownable_ = false;  // promise.md, as far as it is known
  std::shared_ptr<const ReceivedParcel> parcel_;
  bool needs_utf8_ = false;
  bool header_known_ = false;
  bool tls_optional_ = false;  // "TLS-Required: No" (RFC 8689 §5)
  queue::Flight unasked_;      // of the legs that are in no group
  std::optional<Custody> custody_;
};

}  // namespace forwarder
