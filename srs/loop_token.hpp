// The keyed Delivered-To token by which we know our own earlier passage for a recipient (RFC 9228; threats LP-02,
// RL-07). Deterministic for a recipient, says nothing of the recipient to who lacks the secret, and cannot be forged.
// Immutable.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/secret_file.hpp"
#include "mail/address.hpp"

namespace srs {

class LoopToken {
 public:
  // The same secrets as for SRS: the first makes, all verify. `domain`: what follows the @ (our host name or SRS
  // domain).
  LoopToken(const std::vector<core::Secret>& secrets, std::string domain);
  LoopToken(LoopToken&&) noexcept;
  LoopToken& operator=(LoopToken&&) noexcept;
  ~LoopToken();

  // The value of a Delivered-To field: "fwd-" and 16 base32 characters, "@", the domain.
  std::string make(const mail::Mailbox& recipient) const;
  // Is `value` (of a Delivered-To field, blanks around it allowed, in any case) our token for this recipient?
  bool verify(std::string_view value, const mail::Mailbox& recipient) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace srs
