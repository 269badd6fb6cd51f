// A transaction's message on its way into the queue (promise.md C.3.6, C.4): its rows, the provisional commit before
// the dots, the commit of a decision, and the deliveries that live on for it. Nothing here decides: promise::decide
// does. Threads: the transaction's shard.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "forwarder/durable.hpp"
#include "forwarder/legs.hpp"
#include "forwarder/parcel.hpp"
#include "forwarder/promise.hpp"

namespace forwarder {

class Custody {
 public:
  // All of it outlives the custody. `envelope`: without created and expires.
  struct Means {
    Durable& durable;
    const Config& config;
    boost::asio::any_io_executor executor;
  };
  Custody(const Means& means, queue::Envelope envelope, std::shared_ptr<const ReceivedParcel> parcel);

  // Every leg as a provisional row, synced: before the first dot of several (C.4.2). Errors: the store's.
  net::Awaitable<core::Error> provide(const std::vector<Recipient>& recipients);

  // What is to become of one leg.
  struct Fate {
    std::size_t recipient = 0, leg = 0;
    promise::Action action = promise::Action::drop;
    mail::Outcome outcome;
    bool lives = false;  // its delivery goes on for it
  };
  // Carries the decision out, durably: rows that are ours, reports of what has failed, and those that NOTIFY=SUCCESS
  // asks for. A leg without a fate was delivered by an earlier transaction: its row ends. On success the owned legs'
  // copies are marked in the ledger, and living deliveries are moved out of `groups` into the runner's care. On an
  // error nothing is ours. `unasked` is the flight of the legs that are in no group.
  net::Awaitable<core::Error> commit(const std::vector<Fate>& fates, std::vector<Recipient>& recipients,
                                     std::vector<Group>& groups, queue::Flight& unasked);
  // Nothing is kept: forgets the provisional rows, if there are any. In the background.
  void drop();
  // Everything is delivered or refused: the rows end without a word. In the background.
  void end();

 private:
  struct RowOf {
    std::size_t recipient, leg;
  };
  queue::Recipient row_of(const Recipient& recipient, const Leg& leg) const;
  net::Awaitable<core::Error> store_rows(const std::vector<Fate>& fates, const std::vector<Recipient>& recipients,
                                         std::vector<queue::Composed> reports);
  net::Awaitable<core::Error> change_rows(const std::vector<Fate>& fates, std::vector<queue::Composed> reports);
  core::Result<std::vector<queue::Composed>> reports(const std::vector<Fate>& fates,
                                                     const std::vector<Recipient>& recipients) const;
  void apply(queue::Recipient& row, const Fate& fate) const;
  void hand_over(const std::vector<Fate>& fates, std::vector<Recipient>& recipients, std::vector<Group>& groups,
                 queue::Flight& unasked);

  Means means_;
  queue::Envelope envelope_;
  std::shared_ptr<const ReceivedParcel> parcel_;
  queue::MessageKey key_ = 0;
  queue::Epoch lease_ = 0;
  std::vector<queue::Recipient> rows_;  // as they were stored
  std::vector<RowOf> places_;
  bool provided_ = false;
};

}  // namespace forwarder
