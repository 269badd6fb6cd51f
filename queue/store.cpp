#include "queue/store.hpp"

#include <algorithm>

namespace queue {
namespace {

class Category final : public boost::system::error_category {
 public:
  const char* name() const noexcept override { return "queue"; }
  std::string message(int value) const override {
    switch (static_cast<StoreErrc>(value)) {
      case StoreErrc::sealed:
        return "the queue is sealed after a write error";
      case StoreErrc::full:
        return "no disk space left for the queue";
      case StoreErrc::busy:
        return "the queue is busy";
      case StoreErrc::high_water:
        return "the queue is as long as it may get";
      case StoreErrc::exists:
        return "a message of that id exists";
      case StoreErrc::not_found:
        return "not in the queue";
      case StoreErrc::lease_lost:
        return "the lease was lost";
      case StoreErrc::damaged:
        return "the stored message is damaged";
      case StoreErrc::malformed:
        return "cannot be stored";
      case StoreErrc::unreadable:
        return "the stored message cannot be read";
      case StoreErrc::closed:
        return "the queue is closed";
    }
    return "unknown";
  }
};

}  // namespace

const boost::system::error_category& store_category() noexcept {
  static const Category category;
  return category;
}

boost::system::error_code make_error_code(StoreErrc e) noexcept {
  return {static_cast<int>(e), store_category()};
}

std::vector<Work> work_of(const NewMessage& message, const Receipt& receipt, Time now) {
  std::vector<Work> pieces;
  unsigned number = 0;
  for (auto recipient : message.recipients) {
    recipient.number = number++;
    if (recipient.lease == 0) continue;
    recipient.lease = receipt.lease;
    recipient.lease_until = now + message.lease_for.count();
    if (recipient.act_by == 0) recipient.act_by = message.envelope.expires;
    const auto same_hop = [&](const Work& work) { return work.hop == recipient.hop; };
    auto piece = std::find_if(pieces.begin(), pieces.end(), same_hop);
    if (piece == pieces.end()) {
      Work work;
      work.job.key = receipt.key;
      work.job.envelope = message.envelope;
      if (work.job.envelope.created == 0) work.job.envelope.created = now;
      work.hop = recipient.hop;
      work.lease = receipt.lease;
      work.until = recipient.lease_until;
      pieces.push_back(std::move(work));
      piece = std::prev(pieces.end());
    }
    piece->job.recipients.push_back(std::move(recipient));
  }
  return pieces;
}

Awaitable<core::Result<std::string_view>> TextSource::next() {
  if (given_) co_return std::string_view();
  given_ = true;
  co_return std::string_view(octets_);
}

std::string_view to_string(State state) {
  switch (state) {
    case State::provisional:
      return "provisional";
    case State::owned:
      return "owned";
    case State::owned_dot:
      return "owned-dot";
  }
  return "?";
}

std::string_view to_string(Hold hold) {
  switch (hold) {
    case Hold::none:
      return "none";
    case Hold::by_operator:
      return "operator";
    case Hold::by_rule:
      return "rule";
    case Hold::quarantined:
      return "quarantine";
  }
  return "?";
}

std::string_view queue_of(const Recipient& recipient) {
  if (recipient.hold != Hold::none) return "hold";
  return recipient.lease != 0 || recipient.attempts == 0 ? "active" : "deferred";
}

}  // namespace queue
