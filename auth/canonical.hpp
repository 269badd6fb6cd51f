// Canonicalisation of header fields and bodies (RFC 6376 §3.4), written once: for our DKIM signatures and for ARC.
// The body is taken as it arrives, in any slices, and is not copied; time is linear whatever the octets are (threats
// CR-07). Line ends are CRLF; a bare CR or LF (which the data reader refuses anyway) counts as an ordinary octet. Pure.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/digest.hpp"

namespace auth {

enum class Canon { simple, relaxed };
std::string_view to_string(Canon canon);

// Appends one header field (name, colon, value, final CRLF; folded or not) in canonical form, with its final CRLF.
// A final CRLF that is missing in `raw` is missing in the result.
void append_canonical_header(Canon canon, std::string_view raw, std::string& out);

// Takes canonical octets, in pieces as large as possible.
class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual void write(std::string_view octets) = 0;
};

class BodyCanonicalizer {
 public:
  explicit BodyCanonicalizer(Canon canon) : canon_(canon) {}
  void update(std::string_view input, ByteSink& sink);
  // Once, after the last octet. A body that does not end in CRLF is treated as if it did (RFC 6376 §3.4.3, §3.4.4).
  void finish(ByteSink& sink);

 private:
  void update_simple(std::string_view input, ByteSink& sink);
  void update_relaxed(std::string_view input, ByteSink& sink);
  void flush_pending(ByteSink& sink);

  Canon canon_;
  bool any_output_ = false;
  bool blank_ = false;           // relaxed: blanks seen since the last other octet
  bool cr_ = false;              // the last octet of the last slice was a CR
  std::uint64_t line_ends_ = 0;  // CRLFs held back: they only count when something follows
};

struct BodyHash {
  core::Digest digest{};          // SHA-256
  std::uint64_t length = 0;       // canonical octets hashed
  std::string to_base64() const;  // for bh=
};

// SHA-256 of the canonical body. `limit`: only so many canonical octets count (l=, for verifying).
class BodyHasher {
 public:
  explicit BodyHasher(Canon canon = Canon::relaxed, std::optional<std::uint64_t> limit = std::nullopt);
  BodyHasher(BodyHasher&&) noexcept;
  BodyHasher& operator=(BodyHasher&&) noexcept;
  ~BodyHasher();

  void update(std::string_view input);
  BodyHash finish();  // once

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace auth
