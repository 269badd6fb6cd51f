#include "auth/canonical.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "core/text.hpp"

namespace auth {
namespace {

constexpr bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

constexpr std::uint64_t kOnes = 0x0101010101010101ULL;
constexpr std::uint64_t kLow7 = 0x7f * kOnes;

// Eight octets at `at`, the first in the lowest place.
std::uint64_t load(const char* at) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
  return word;
}

// The top bit of each octet of `word` that is `c`.
constexpr std::uint64_t places_of(std::uint64_t word, char c) {
  const std::uint64_t x = word ^ (kOnes * static_cast<unsigned char>(c));
  return ~(((x & kLow7) + kLow7) | x | kLow7);
}

// The first octet that relaxed canonicalisation may not simply copy: a tab, or a blank or LF after which a blank or CR
// comes, or of which nobody knows yet what comes after it.
const char* find_doubt(const char* at, const char* end) {
  for (; end - at > 8; at += 8) {
    const auto here = load(at), next = load(at + 1);
    const auto open = places_of(here, ' ') | places_of(here, '\n');
    const auto follow = places_of(next, ' ') | places_of(next, '\t') | places_of(next, '\r');
    const auto doubt = places_of(here, '\t') | (open & follow);
    if (doubt != 0) return at + std::countr_zero(doubt) / 8;
  }
  for (; at < end; ++at) {
    if (*at == '\t') return at;
    if ((*at == ' ' || *at == '\n') && (end - at < 2 || is_blank(at[1]) || at[1] == '\r')) return at;
  }
  return end;
}

// Where the run ends that is copied as it is. It begins at `run` with neither a blank nor a line end, and ends before a
// blank that may be one of several, before a line end that may be one of the last, or with the slice.
const char* end_of_run(const char* run, const char* end) {
  for (const char* at = run;;) {
    at = find_doubt(at, end);
    if (at == end || *at != '\n') return at;
    if (at > run && at[-1] == '\r') return at - 1;
    ++at;  // a bare LF is like any other octet
  }
}

constexpr auto kLineEnds = [] {
  std::array<char, 1024> text{};
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = i % 2 == 0 ? '\r' : '\n';
  return text;
}();

}  // namespace

std::string_view to_string(Canon canon) {
  return canon == Canon::simple ? "simple" : "relaxed";
}

void append_canonical_header(Canon canon, std::string_view raw, std::string& out) {
  if (canon == Canon::simple) {
    out += raw;
    return;
  }
  // RFC 6376 §3.4.2
  const bool ended = raw.ends_with("\r\n");
  if (ended) raw.remove_suffix(2);
  const auto colon = raw.find(':');
  const auto name = core::trim(raw.substr(0, colon));
  for (const char c : name) out += core::to_lower(c);
  if (colon != std::string_view::npos) {
    out += ':';
    bool blank = false, any = false;
    for (std::size_t i = colon + 1; i < raw.size(); ++i) {
      const char c = raw[i];
      if (is_blank(c)) {
        blank = true;
      } else if (c == '\r' && i + 1 < raw.size() && raw[i + 1] == '\n') {
        ++i;  // unfolding: the line end goes, the blanks after it stay to be reduced
      } else {
        if (blank && any) out += ' ';
        blank = false;
        any = true;
        out += c;
      }
    }
  }
  if (ended) out += "\r\n";
}

void BodyCanonicalizer::flush_pending(ByteSink& sink) {
  any_output_ = true;
  while (line_ends_ > 0) {
    const auto n = std::min<std::uint64_t>(line_ends_, kLineEnds.size() / 2);
    sink.write(std::string_view(kLineEnds.data(), static_cast<std::size_t>(n) * 2));
    line_ends_ -= n;
  }
  if (blank_) sink.write(" ");
  blank_ = false;
}

void BodyCanonicalizer::update(std::string_view input, ByteSink& sink) {
  if (input.empty()) return;
  if (cr_) {
    cr_ = false;
    if (input.front() == '\n') {
      blank_ = false;
      ++line_ends_;
      input.remove_prefix(1);
    } else {
      flush_pending(sink);
      sink.write("\r");
    }
  }
  if (input.ends_with('\r')) {
    cr_ = true;
    input.remove_suffix(1);
  }
  canon_ == Canon::simple ? update_simple(input, sink) : update_relaxed(input, sink);
}

void BodyCanonicalizer::update_simple(std::string_view input, ByteSink& sink) {
  // Only the line ends at the end of the slice are in doubt: everything before them is followed by something.
  std::size_t end = input.size();
  while (end >= 2 && input[end - 1] == '\n' && input[end - 2] == '\r') end -= 2;
  if (end > 0) {
    flush_pending(sink);
    sink.write(input.substr(0, end));
  }
  line_ends_ += (input.size() - end) / 2;
}

void BodyCanonicalizer::update_relaxed(std::string_view input, ByteSink& sink) {
  const char* at = input.data();
  const char* const end = at + input.size();
  while (at < end) {
    if (is_blank(*at)) {
      blank_ = true;
      do ++at;
      while (at < end && is_blank(*at));
      continue;
    }
    if (*at == '\r' && end - at >= 2 && at[1] == '\n') {
      blank_ = false;  // RFC 6376 §3.4.4: blanks at the end of a line go
      ++line_ends_;
      at += 2;
      continue;
    }
    const char* run = at;
    at = end_of_run(run, end);
    if (blank_ && run > input.data() && run[-1] == ' ') {
      blank_ = false;  // goes out with the run
      --run;
    }
    flush_pending(sink);
    sink.write(std::string_view(run, static_cast<std::size_t>(at - run)));
  }
}

void BodyCanonicalizer::finish(ByteSink& sink) {
  if (cr_) {
    flush_pending(sink);
    sink.write("\r");
    cr_ = false;
  }
  // RFC 6376 §3.4.3: an empty body is one CRLF in simple, nothing in relaxed (§3.4.4).
  if (canon_ == Canon::simple || any_output_) sink.write("\r\n");
}

std::string BodyHash::to_base64() const {
  return core::base64_encode(core::as_text(digest));
}

// Gathers short runs, so that a body of many blanks does not cost one call into OpenSSL for each word; long runs pass
// by.
struct BodyHasher::Impl final : ByteSink {
  Impl(Canon canon, std::optional<std::uint64_t> limit) : canonical(canon), left(limit.value_or(UINT64_MAX)) {}

  void write(std::string_view octets) override {
    octets = octets.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(octets.size(), left)));
    left -= octets.size();
    length += octets.size();
    if (octets.size() > stage.size() - used) flush();
    if (octets.size() > stage.size() / 4) {
      flush();
      hash.update(octets);
    } else {
      std::memcpy(stage.data() + used, octets.data(), octets.size());
      used += octets.size();
    }
  }
  void flush() {
    hash.update(std::string_view(stage.data(), used));
    used = 0;
  }

  BodyCanonicalizer canonical;
  std::uint64_t left;
  std::uint64_t length = 0;
  core::Sha256 hash;
  std::size_t used = 0;
  std::array<char, 2048> stage;
};

BodyHasher::BodyHasher(Canon canon, std::optional<std::uint64_t> limit) : impl_(std::make_unique<Impl>(canon, limit)) {}
BodyHasher::BodyHasher(BodyHasher&&) noexcept = default;
BodyHasher& BodyHasher::operator=(BodyHasher&&) noexcept = default;
BodyHasher::~BodyHasher() = default;

void BodyHasher::update(std::string_view input) {
  impl_->canonical.update(input, *impl_);
}

BodyHash BodyHasher::finish() {
  impl_->canonical.finish(*impl_);
  impl_->flush();
  return {.digest = impl_->hash.finish(), .length = impl_->length};
}

}  // namespace auth
