// Takes a message in as it arrives: RAM first, spill file beyond, both leased; finds the end of the header, hashes the
// body once for all our signatures. Faults are remembered and told at the end, when the client can be answered.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "auth/canonical.hpp"
#include "core/budget.hpp"
#include "core/metrics.hpp"
#include "mail/header.hpp"
#include "mail/message.hpp"
#include "mail/reply.hpp"
#include "net/spool.hpp"

namespace forwarder {

// Who wants to see the message while it arrives.
class Witness {
 public:
  virtual ~Witness() = default;
  // Every octet as received, header and body, in order.
  virtual void octets(std::string_view slice) = 0;
  // Once, before any of the body; never when the header is refused. The views are valid during the call only.
  virtual void headers(const mail::Headers& headers) = 0;
  virtual void body(std::string_view slice) = 0;
};

class Intake {
 public:
  struct Means {  // shared by all sessions; outlive the intake
    core::Budget* memory = nullptr;
    core::Budget* disk = nullptr;
    net::Spool* spool = nullptr;
    core::Metrics* metrics = nullptr;
    std::uint64_t spill_above = 256 * 1024;
    Witness* witness = nullptr;  // may be null
  };
  explicit Intake(const Means& means);

  // Leases what a message of `declared` octets (0: unknown) needs at first. False: no room (452 4.3.1, RS-06).
  [[nodiscard]] bool begin(std::uint64_t declared);
  // See forwarder::Transaction.
  std::string& inbox() { return spilling_ ? tail_ : content_->head; }
  bool absorb();  // true: await spill() now
  net::Awaitable<void> spill();

  enum class Fault { none, no_room, header_too_large, malformed_header, io };
  // After the last octet: the rest is spilled, the header parsed, the hash finished.
  net::Awaitable<Fault> finish();

  std::uint64_t size() const { return content_->size() + (spilling_ ? tail_.size() : 0); }
  const mail::Headers& headers() const { return headers_; }
  std::string_view header_section() const { return std::string_view(content_->head).substr(0, content_->header_size); }
  const auth::BodyHash& body_hash() const { return body_hash_; }
  std::unique_ptr<mail::Content> take() { return std::move(content_); }

 private:
  void take_in(std::string_view octets);
  bool end_header();
  void set_fault(Fault fault);

  Means means_;
  std::unique_ptr<mail::Content> content_;
  std::string tail_;          // octets on their way to the spill file
  std::uint64_t seen_ = 0;    // octets taken in
  std::size_t absorbed_ = 0;  // of inbox()
  bool in_header_ = true, spilling_ = false;
  char last_[2] = {'\r', '\n'};
  mail::HeaderScanner scanner_;
  auth::BodyHasher hasher_;
  auth::BodyHash body_hash_;
  mail::Headers headers_;
  Fault fault_ = Fault::none;
};

}  // namespace forwarder
