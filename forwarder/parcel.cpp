#include "forwarder/parcel.hpp"

#include <algorithm>
#include <utility>

namespace forwarder {
namespace {

constexpr std::size_t kSlice = 256 * 1024;

}  // namespace

ParcelReader::ParcelReader(std::shared_ptr<const Parcel> parcel, net::Spool& spool)
    : parcel_(std::move(parcel)), spool_(spool), total_(parcel_->content->size()) {}

net::Awaitable<core::Result<std::string_view>> ParcelReader::next() {
  const auto& message = parcel_->message;
  const auto& content = *parcel_->content;
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
  auto read = co_await spool_.read(content, offset_ - content.head.size(), static_cast<std::size_t>(length));
  if (!read) co_return read.error();
  if (read->empty()) co_return core::make_error_code(core::Errc::io);  // shorter than it was written
  file_slice_ = std::move(*read);
  offset_ += file_slice_.size();
  co_return std::string_view(file_slice_);
}

}  // namespace forwarder
