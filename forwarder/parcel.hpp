// A message ready to leave, and the reading of its octets in order. Shared by the destination groups of one
// transaction.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "mail/message.hpp"
#include "net/spool.hpp"

namespace forwarder {

// Immutable.
struct Parcel {
  mail::Message message;
  std::unique_ptr<const mail::Content> content;  // what message.content points to
};

// Reads a parcel's octets in order: prefix, then the content without the cuts, in slices.
class ParcelReader {
 public:
  ParcelReader(std::shared_ptr<const Parcel> parcel, net::Spool& spool);
  // The next slice, valid until the next call; empty at the end. Errors: Errc::io.
  net::Awaitable<core::Result<std::string_view>> next();
  bool at_end() const { return offset_ >= total_ && prefix_done_; }

 private:
  std::shared_ptr<const Parcel> parcel_;
  net::Spool& spool_;
  std::string file_slice_;
  std::uint64_t offset_ = 0;  // in the content
  std::uint64_t total_;
  std::size_t cut_ = 0;
  bool prefix_done_ = false;
};

}  // namespace forwarder
