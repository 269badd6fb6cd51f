// The transaction of the in-session path (promise.md C.3): each RCPT is put to its next hop at once, and the final dot
// goes upstream while our client waits. Private to the pipeline.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "forwarder/admission.hpp"
#include "forwarder/answer.hpp"
#include "forwarder/authentication.hpp"
#include "forwarder/pipeline.hpp"
#include "forwarder/reverse_name.hpp"

namespace forwarder {

class InSession final : public Transaction {
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

 private:
  // A destination group: recipients that share one upstream transaction.
  struct Group {
    Target target;
    Delivery delivery;
  };
  // One destination of a recipient: where it is in its group.
  struct Leg {
    std::size_t group = 0, index = 0;
    mail::Mailbox destination;
    bool refused_at_rcpt = false;  // one of several destinations: settled after the data (interface.md §6.11)
  };
  struct Recipient {
    mail::ForwardPath address;
    std::string rule;
    std::string domain;     // the forwarded domain that took it
    std::vector<Leg> legs;  // none: dropped by rule
  };
  enum class Method { spf, dkim, dmarc, arc };

  std::unique_ptr<Authentication> begin_authentication() const;
  std::optional<mail::Reply> resolve(const mail::ForwardPath& to, policy::Route& route);
  std::optional<mail::Reply> resolve_srs(const mail::Mailbox& to, policy::Route& route);
  std::optional<mail::Reply> join_groups(const policy::Route& route, std::vector<Target>& targets);
  net::Awaitable<std::optional<mail::Reply>> check_spf(const policy::Route& route);
  std::optional<mail::Reply> refusal_of(const policy::Verdict& verdict) const;
  net::Awaitable<mail::Reply> settle_recipient(Recipient recipient);
  mail::Reply accept(Recipient recipient);
  std::optional<mail::Reply> check_message();
  bool is_repeating();
  net::Awaitable<std::optional<mail::Reply>> authenticate();
  net::Awaitable<std::optional<mail::Reply>> look_ahead();
  std::set<std::string> forwarded_domains() const;
  std::shared_ptr<const ReceivedParcel> make_parcel(core::Result<void>& result);
  net::Awaitable<bool> stream_to_all(std::shared_ptr<const ReceivedParcel> parcel, core::Deadline deadline);
  net::Awaitable<void> dot_to_all(ClientProbe& probe, core::Deadline deadline);
  std::vector<Result> collect() const;
  mail::Reply conclude();
  bool must_hold_dots() const;
  std::vector<Mask> masks() const;
  mail::Reply refuse(int code, mail::EnhancedCode enhanced, std::string_view text, std::string_view reason) const;
  void log_recipient(const mail::ForwardPath& to, std::string_view status, const mail::Reply& reply,
                     std::string_view rule) const;
  void log_result(const Result& result, const Leg& leg, const mail::Reply& reply) const;
  std::string_view word_of(Method method) const;
  void log_authentication() const;

  Pipeline& pipeline_;
  std::shared_ptr<const Config> config_;
  const Client& client_;
  mail::MailCommand command_;
  std::string id_;
  core::Log log_;
  std::optional<mail::ReversePath> srs_sender_;
  std::vector<Recipient> recipients_;
  std::vector<Group> groups_;
  policy::Checks skipped_;
  Inspection inspection_;
  std::unique_ptr<Authentication> authentication_;  // null: nothing is checked
  Intake intake_;                                   // shows it the message
  std::optional<ReverseName> reverse_;
  std::vector<policy::Repeats::Passage> passages_;
  std::optional<auth::Results> results_;
  policy::Verdict verdict_;
  std::string_view forecast_;
  core::Steady::time_point data_done_{};
  std::uint64_t size_ = 0;  // of the message as received
};

}  // namespace forwarder
