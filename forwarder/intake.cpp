#include "forwarder/intake.hpp"

#include <algorithm>
#include <utility>

#include "core/failpoint.hpp"
#include "core/text.hpp"

namespace forwarder {
namespace {

constexpr std::size_t kSpillSlice = 256 * 1024;
constexpr std::uint64_t kUnknownSize = 64 * 1024;

}  // namespace

Intake::Intake(const Means& means) : means_(means), content_(std::make_unique<mail::Content>()) {}

bool Intake::begin(std::uint64_t declared) {
  const auto expected = declared == 0 ? kUnknownSize : declared;
  content_->memory = means_.memory->take(std::min(expected, means_.spill_above));
  content_->disk = means_.disk->take(declared > means_.spill_above ? declared - means_.spill_above : 0);
  if (content_->memory && content_->disk) return true;
  means_.metrics->add(core::Counter::memory_refused);
  return false;
}

void Intake::set_fault(Fault fault) {
  if (fault_ == Fault::none) fault_ = fault;
  if (fault == Fault::no_room) means_.metrics->add(core::Counter::memory_refused);
  // What is refused anyway takes no room any more.
  std::string().swap(content_->head);
  std::string().swap(tail_);
  content_->file.reset();
  content_->file_size = 0;
  content_->disk.release();
  absorbed_ = 0;
}

void Intake::take_in(std::string_view octets) {
  if (means_.witness != nullptr) means_.witness->octets(octets);
  if (octets.size() >= 2) {
    last_[0] = octets[octets.size() - 2];
    last_[1] = octets.back();
  } else if (octets.size() == 1) {
    last_[0] = last_[1];
    last_[1] = octets.back();
  }
  if (in_header_) {
    const auto end = scanner_.feed(octets);
    if (!end) {
      content_->has_8bit_header = content_->has_8bit_header || core::has_8bit(octets);
      seen_ += octets.size();
      if (seen_ > mail::kMaxHeaderOctets) set_fault(Fault::header_too_large);  // CR-06
      return;
    }
    in_header_ = false;
    content_->body_offset = *end;
    content_->header_size = *end - 2;
    const auto header_part = static_cast<std::size_t>(*end - seen_);
    content_->has_8bit_header = content_->has_8bit_header || core::has_8bit(octets.substr(0, header_part));
    if (content_->header_size > mail::kMaxHeaderOctets) {
      set_fault(Fault::header_too_large);
      return;
    }
    if (!end_header()) return;
    seen_ += header_part;
    octets.remove_prefix(header_part);
  }
  seen_ += octets.size();
  hasher_.update(octets);
  if (means_.witness != nullptr) means_.witness->body(octets);
  content_->has_8bit_body = content_->has_8bit_body || core::has_8bit(octets);
}

// The header is all there: it is read, and shown. False: it is refused.
bool Intake::end_header() {
  auto parsed = mail::Headers::parse(header_section());
  if (!parsed) {
    set_fault(parsed.error() == core::Errc::exhausted ? Fault::header_too_large : Fault::malformed_header);
    return false;
  }
  headers_ = std::move(*parsed);
  if (means_.witness != nullptr) means_.witness->headers(headers_);
  return true;
}

bool Intake::absorb() {
  auto& box = inbox();
  if (fault_ != Fault::none) {
    box.clear();
    return false;
  }
  take_in(std::string_view(box).substr(absorbed_));
  ONWARD_FAILPOINT(k03_mid_body);
  if (fault_ != Fault::none) return false;
  absorbed_ = box.size();

  // While spilling, the head stays as it is and the tail needs one slice of room.
  const auto needed = spilling_ ? content_->head.size() + kSpillSlice : content_->head.size();
  if (needed > content_->memory.amount() && !content_->memory.resize(needed)) {
    set_fault(Fault::no_room);
    return false;
  }
  if (spilling_) return tail_.size() >= kSpillSlice;
  // The header stays in RAM whole: it is parsed there.
  if (!in_header_ && content_->head.size() >= means_.spill_above) {
    spilling_ = true;
    absorbed_ = 0;
    means_.metrics->add(core::Counter::spilled_messages);
  }
  return false;
}

net::Awaitable<void> Intake::spill() {
  if (fault_ != Fault::none || tail_.empty()) co_return;
  const auto size = content_->file_size + tail_.size();
  if (size > content_->disk.amount() && !content_->disk.resize(size)) {
    set_fault(Fault::no_room);
    co_return;
  }
  std::string octets = std::exchange(tail_, std::string());
  absorbed_ = 0;
  const auto written = co_await means_.spool->append(*content_, std::move(octets));
  if (!written) set_fault(Fault::io);
  ONWARD_FAILPOINT(k04_spill_write);
}

net::Awaitable<Intake::Fault> Intake::finish() {
  if (spilling_) co_await spill();
  if (fault_ != Fault::none) co_return fault_;
  if (in_header_) {  // no empty line: all of it is header
    content_->header_size = content_->body_offset = content_->head.size();
    if (!end_header()) co_return fault_;
  }
  content_->ends_in_crlf = content_->size() == 0 || (last_[0] == '\r' && last_[1] == '\n');
  headers_.moved_to(header_section());  // the octets may have moved while the rest came in
  body_hash_ = hasher_.finish();
  co_return Fault::none;
}

}  // namespace forwarder
