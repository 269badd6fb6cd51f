// A message ready to leave, its octets given out in order, as often as a transaction needs them: what we put on top of
// a message that has just arrived (ReceivedParcel), or what the queue keeps (forwarder/queued.hpp). Shared by all
// destination groups of a transaction and by the queue; immutable.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/error.hpp"
#include "mail/message.hpp"
#include "net/spool.hpp"
#include "queue/store.hpp"

namespace forwarder {

// next() gives slices; a message of at most kWholeSlice octets whose parts are not all in memory anyway comes in one.
// Errors: Errc::io, and the store's.
class ParcelReader : public queue::OctetSource {
 public:
  virtual bool at_end() const = 0;
};
inline constexpr std::size_t kWholeSlice = std::size_t{64} * 1024;

class Parcel : public std::enable_shared_from_this<Parcel> {
 public:
  virtual ~Parcel() = default;
  virtual std::uint64_t size() const = 0;  // of what is sent
  virtual bool has_8bit_body() const = 0;
  // Reads from the start; keeps the parcel alive.
  virtual std::unique_ptr<ParcelReader> open() const = 0;
};

class ReceivedParcel final : public Parcel {
 public:
  // `message`: its prefix and cuts; `content` is what it stands on. `spool`, where the content's file is, outlives the
  // parcel.
  ReceivedParcel(mail::Message message, std::unique_ptr<const mail::Content> content, net::Spool& spool);

  std::uint64_t size() const override { return message_.size(); }
  bool has_8bit_body() const override { return content_->has_8bit_body; }
  std::unique_ptr<ParcelReader> open() const override;

  // The header as it is sent, without the empty line: what is on top, and the message's own.
  std::string header_text() const;
  const mail::Message& message() const { return message_; }
  const mail::Content& content() const { return *content_; }

 private:
  class Reader;
  mail::Message message_;
  std::unique_ptr<const mail::Content> content_;  // what message_.content points to
  net::Spool& spool_;
};

}  // namespace forwarder
