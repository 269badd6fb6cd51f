// The runner's attempt (queue/runner.hpp): one message, the recipients that share a next hop, out of the store through
// the same Engine that relays in session (promise.md C.6). Threads: called on the runner's shard; works on the shard it
// belongs to.
#pragma once

#include <memory>
#include <vector>

#include "forwarder/durable.hpp"
#include "forwarder/engine.hpp"
#include "queue/runner.hpp"

namespace forwarder {

// A message of the queue. Its octets are exactly what is sent (I5).
class StoredParcel final : public Parcel {
 public:
  // `store` outlives the parcel.
  StoredParcel(queue::Store& store, queue::MessageKey key, const queue::Envelope& envelope)
      : store_(store), key_(key), size_(envelope.size), has_8bit_body_(envelope.has_8bit_body) {}
  std::uint64_t size() const override { return size_; }
  bool has_8bit_body() const override { return has_8bit_body_; }
  std::unique_ptr<ParcelReader> open() const override;

 private:
  class Reader;
  queue::Store& store_;
  queue::MessageKey key_;
  std::uint64_t size_;
  bool has_8bit_body_;
};

// One shard's attempts.
class QueuedAttempt {
 public:
  struct Means {
    boost::asio::any_io_executor executor;  // the shard's
    Engine* engine = nullptr;
    Durable* durable = nullptr;
  };
  QueuedAttempt(const Means& means, core::Log log) : means_(means), log_(std::move(log)) {}

  // On the shard. `config` is the snapshot that counts now.
  net::Awaitable<std::vector<mail::Outcome>> run(std::shared_ptr<const Config> config,
                                                 std::shared_ptr<const queue::Work> work, queue::DotCheck check,
                                                 core::Deadline deadline);

 private:
  struct Transaction;
  // A dot for it went out before, perhaps before a restart, and had no answer.
  bool was_lost(const queue::Copy& copy) const;
  net::Awaitable<void> deliver(Transaction& transaction, const queue::DotCheck& check, core::Deadline deadline);
  net::Awaitable<bool> send_dot(Transaction& transaction, const queue::DotCheck& check, core::Deadline deadline);

  Means means_;
  core::Log log_;
};

}  // namespace forwarder
