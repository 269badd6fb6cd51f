#include "forwarder/parcel.hpp"

#include <algorithm>
#include <utility>

namespace forwarder {
namespace {

constexpr std::size_t kSlice = 256 * 1024;
static_assert(kSlice >= kWholeSlice);  // what is in the file of a small message comes at once

}  // namespace

// Prefix, then the content without the cuts.
class ReceivedParcel::Reader final : public ParcelReader {
 public:
  explicit Reader(std::shared_ptr<const ReceivedParcel> parcel)
      : parcel_(std::move(parcel)), total_(parcel_->content_->size()) {}

  net::Awaitable<core::Result<std::string_view>> next() override;
  bool at_end() const override { return offset_ >= total_ && prefix_done_; }

 private:
  std::shared_ptr<const ReceivedParcel> parcel_;
  std::string file_slice_;
  std::uint64_t offset_ = 0;  // in the content
  std::uint64_t total_;
  std::size_t cut_ = 0;
  bool prefix_done_ = false;
};

net::Awaitable<core::Result<std::string_view>> ReceivedParcel::Reader::next() {
  const auto& message = parcel_->message_;
  const auto& content = *parcel_->content_;
  if (!prefix_done_) {
    prefix_done_ = true;
    if (!message.prefix.empty()) co_return std::string_view(message.prefix);
  }
  while (cut_ < message.cuts.size() && offset_ == message.cuts[cut_].offset) {
    offset_ += message.cuts[cut_].length;
    ++cut_;
  }
  if (offset_ >= total_) co_return std::string_view();
  const std::uint64_t end = cut_ < message.cuts.size() ? message.cuts[cut_].offset : total_;
  if (offset_ < content.head.size()) {
    const auto length = std::min<std::uint64_t>({end, content.head.size(), offset_ + kSlice}) - offset_;
    const auto slice = std::string_view(content.head).substr(offset_, length);
    offset_ += length;
    co_return slice;
  }
  const auto length = std::min<std::uint64_t>(end - offset_, kSlice);
  auto read = co_await parcel_->spool_.read(content, offset_ - content.head.size(), static_cast<std::size_t>(length));
  if (!read) co_return read.error();
  if (read->empty()) co_return core::make_error_code(core::Errc::io);  // shorter than it was written
  file_slice_ = std::move(*read);
  offset_ += file_slice_.size();
  co_return std::string_view(file_slice_);
}

ReceivedParcel::ReceivedParcel(mail::Message message, std::unique_ptr<const mail::Content> content, net::Spool& spool)
    : message_(std::move(message)), content_(std::move(content)), spool_(spool) {
  message_.content = content_.get();
}

std::string ReceivedParcel::header_text() const {
  std::string text = message_.prefix;
  const std::string_view own = std::string_view(content_->head).substr(0, content_->header_size);
  std::uint64_t offset = 0;
  for (const auto& cut : message_.cuts) {
    text += own.substr(offset, cut.offset - offset);
    offset = cut.offset + cut.length;
  }
  text += own.substr(offset);
  return text;
}

std::unique_ptr<ParcelReader> ReceivedParcel::open() const {
  return std::make_unique<Reader>(std::static_pointer_cast<const ReceivedParcel>(shared_from_this()));
}

}  // namespace forwarder
