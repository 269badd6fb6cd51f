#include "forwarder/queued_attempt.hpp"

#include <fmt/format.h>

#include <map>
#include <utility>

#include "core/failpoint.hpp"
#include "forwarder/legs.hpp"
namespace forwarder {
namespace {

// RFC 5321 §4.5.3.2.6, and a little for what surrounds it.
constexpr core::Seconds kAnswer{660};

mail::Outcome put_off(mail::Reply reply) {
  mail::Outcome outcome;
  outcome.fate = mail::Fate::deferred;
  outcome.scope = mail::Scope::message;
  outcome.reply = std::move(reply);
  return outcome;
}

}  // namespace

class StoredParcel::Reader final : public ParcelReader {
 public:
  explicit Reader(std::shared_ptr<const StoredParcel> parcel) : parcel_(std::move(parcel)) {}

  queue::Awaitable<core::Result<std::string_view>> next() override {
    if (!body_) {
      auto opened = co_await parcel_->store_.open_body(parcel_->key_);
      if (!opened) co_return opened.error();
      body_ = std::move(*opened);
    }
    if (parcel_->size_ > kWholeSlice) {
      const auto slice = co_await body_->next();
      if (slice) given_ += slice->size();
      co_return slice;
    }
    if (given_ == parcel_->size_) co_return std::string_view();
    while (whole_.size() < parcel_->size_) {
      const auto slice = co_await body_->next();
      if (!slice) co_return slice.error();
      if (slice->empty()) co_return core::make_error_code(core::Errc::io);
      whole_ += *slice;
    }
    given_ = whole_.size();
    co_return std::string_view(whole_);
  }
  bool at_end() const override { return given_ == parcel_->size_; }

 private:
  std::shared_ptr<const StoredParcel> parcel_;
  std::unique_ptr<queue::Body> body_;
  std::string whole_;  // of a small message, so that it can leave with its dot
  std::uint64_t given_ = 0;
};

std::unique_ptr<ParcelReader> StoredParcel::open() const {
  return std::make_unique<Reader>(std::static_pointer_cast<const StoredParcel>(shared_from_this()));
}

// The recipients of one target: as a rule all of the work, unless the routes have changed since it was stored.
struct QueuedAttempt::Transaction {
  Target target;
  std::vector<std::size_t> recipients;  // of the work
  Delivery delivery;
  queue::Flight flight;
  std::vector<queue::Copy> copies;
  std::vector<std::optional<mail::Outcome>> outcomes;
};

net::Awaitable<std::vector<mail::Outcome>> QueuedAttempt::run(std::shared_ptr<const Config> config,
                                                              std::shared_ptr<const queue::Work> work,
                                                              queue::DotCheck check, core::Deadline deadline) {
  const auto& job = work->job;
  const auto log = log_.with("id", job.envelope.id);
  std::map<std::string, Transaction> transactions;
  for (std::size_t i = 0; i < job.recipients.size(); ++i) {
    auto target = target_for(*config, job.recipients[i].destination.domain);
    auto& transaction = transactions[target.key];
    transaction.target = std::move(target);
    transaction.recipients.push_back(i);
  }
  const auto parcel = std::make_shared<const StoredParcel>(*means_.durable->store, job.key, job.envelope);
  std::vector<mail::Outcome> outcomes(job.recipients.size());
  for (auto& [key, transaction] : transactions) {
    bool careful = false;
    for (const auto i : transaction.recipients) {
      const auto& row = job.recipients[i];
      queue::Copy copy;
      copy.fingerprint = queue::row_fingerprint(fmt::format("{}#{}", job.key, row.number));
      copy.trace = job.envelope.id;
      copy.kind = queue::Copy::Kind::row;
      transaction.copies.push_back(std::move(copy));
      careful =
          careful || row.unknowns > 0 || row.state == queue::State::owned_dot || was_lost(transaction.copies.back());
    }
    Order order;
    order.config = config;
    order.target = transaction.target;
    order.from = job.envelope.srs_sender;
    order.declared_size = job.envelope.size;
    order.eight_bit = job.envelope.eight_bit;
    order.smtputf8 = job.envelope.smtputf8;
    order.careful = careful;
    if (job.envelope.tls_optional) order.tls = TlsWish::optional;
    if (job.envelope.requiretls) order.tls = TlsWish::required;
    order.queued = true;
    if (config->delivery.errors == ErrorDetail::full) {  // interface.md §6.24
      order.ret = job.envelope.ret;
      order.envid = job.envelope.envid;
    }
    order.client = core::IpAddress();  // the queue's own share of the destination's connections
    if (careful) {
      log.announce(
          "dup_possible",
          {{"message_id", job.envelope.message_id}, {"next_hop", transaction.target.key}, {"dup_possible", true}});
    }
    transaction.delivery = means_.engine->start(std::move(order), log);
    for (const auto i : transaction.recipients) {
      const auto& row = job.recipients[i];
      static_cast<void>(transaction.delivery.add_recipient(
          row.destination, passed_on(config->delivery.errors, row.notify, row.orcpt_type, row.orcpt)));
    }
    transaction.delivery.begin_body(parcel, job.envelope.needs_smtputf8);
    co_await deliver(transaction, check, deadline);
    for (std::size_t j = 0; j < transaction.recipients.size(); ++j) {
      outcomes[transaction.recipients[j]] = std::move(*transaction.outcomes[j]);
    }
  }
  co_return outcomes;
}

bool QueuedAttempt::was_lost(const queue::Copy& copy) const {
  const auto* ledger = means_.durable->ledger;
  return ledger != nullptr && ledger->peek(copy).what == queue::Finding::What::lost;
}

// Journals and sends the dot, when it is time and still ours to send. False: no dot went out.
net::Awaitable<bool> QueuedAttempt::send_dot(Transaction& transaction, const queue::DotCheck& check,
                                             core::Deadline deadline) {
  auto& delivery = transaction.delivery;
  if (!co_await delivery.ready(deadline) || !delivery.wants_dot()) co_return false;
  if (!co_await check()) {
    delivery.abort();
    transaction.outcomes.assign(transaction.recipients.size(),
                                put_off(mail::Reply(451, {4, 3, 0}, "Somebody else decides about this message now")));
    co_return false;
  }
  transaction.flight.journal_dot();
  delivery.send_dot();
  static_cast<void>(co_await delivery.wait(core::Deadline::after(kAnswer)));
  co_return true;
}

net::Awaitable<void> QueuedAttempt::deliver(Transaction& transaction, const queue::DotCheck& check,
                                            core::Deadline deadline) {
  auto& delivery = transaction.delivery;
  transaction.outcomes.resize(transaction.recipients.size());
  auto* ledger = means_.durable->ledger;
  if (ledger != nullptr) {
    // A row whose 2XX was journalled before we were killed has been delivered: its commit is all that is missing.
    for (std::size_t i = 0; i < transaction.copies.size(); ++i) {
      if (ledger->peek(transaction.copies[i]).what != queue::Finding::What::delivered) continue;
      mail::Outcome had;
      had.fate = mail::Fate::delivered;
      had.reply = mail::Reply(250, {2, 0, 0}, "Delivered before the last restart");
      transaction.outcomes[i] = std::move(had);
      delivery.withdraw(i);
    }
    std::vector<queue::Copy> open;
    for (std::size_t i = 0; i < transaction.copies.size(); ++i) {
      if (!transaction.outcomes[i]) open.push_back(transaction.copies[i]);
    }
    if (open.empty()) co_return;
    auto claim = ledger->claim(open);
    if (auto* flight = std::get_if<queue::Flight>(&claim)) {
      transaction.flight = std::move(*flight);
    } else {
      delivery.abort();
      const auto* conflict = std::get_if<queue::Ledger::Conflict>(&claim);
      auto instead = put_off(mail::Reply(451, {4, 3, 0}, "The delivery ledger has no room"));
      if (conflict != nullptr && conflict->finding.what == queue::Finding::What::worn_out) {
        // Dots without an answer, some of them before a restart: no further one is sent, the runner counts to its end.
        instead.fate = mail::Fate::unknown;
        instead.reply = mail::Reply(451, {4, 4, 2}, "The destination broke off after the end of the message each time");
      }
      for (auto& outcome : transaction.outcomes) {
        if (!outcome) outcome = instead;
      }
      co_return;
    }
  }
  if (co_await send_dot(transaction, check, deadline) && delivery.other_family_may_help()) {
    delivery.retry_other_family();  // interface.md §6.8
    static_cast<void>(co_await send_dot(transaction, check, deadline));
  }
  const auto told = delivery ? delivery.outcomes_so_far() : std::vector<mail::Outcome>();
  std::size_t copy = 0;
  for (std::size_t i = 0; i < transaction.recipients.size(); ++i) {
    auto& outcome = transaction.outcomes[i];
    if (outcome && outcome->fate == mail::Fate::delivered) continue;  // not in the flight
    if (!outcome) outcome = told[i];
    if (outcome->fate == mail::Fate::late) outcome->fate = mail::Fate::unknown;  // its ten minutes are over
    if (transaction.flight) transaction.flight.settle(copy, *outcome);
    if (outcome->fate == mail::Fate::delivered) ONWARD_FAILPOINT(k24_runner_2xx_journalled);
    ++copy;
  }
}

}  // namespace forwarder
