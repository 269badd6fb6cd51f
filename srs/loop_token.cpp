#include "srs/loop_token.hpp"

#include <algorithm>

#include "core/text.hpp"
#include "srs/hmac.hpp"

namespace srs {

struct LoopToken::Impl {
  std::vector<Hmac> keys;
  std::string domain;

  // Our recipients are matched in any case, so a hop that changed it must not hide a loop.
  std::string token(const Hmac& key, const mail::Mailbox& recipient) const {
    constexpr std::size_t kCharacters = 16;  // 80 bits
    const auto digest = key({"loop=", core::lower(recipient.to_string())});
    return "fwd-" + core::lower(base32(digest, kCharacters)) + "@" + domain;
  }
};

LoopToken::LoopToken(const std::vector<core::Secret>& secrets, std::string domain) : impl_(std::make_unique<Impl>()) {
  for (const auto& secret : secrets) impl_->keys.emplace_back(HmacHash::sha256, secret.view());
  impl_->domain = std::move(domain);
}
LoopToken::LoopToken(LoopToken&&) noexcept = default;
LoopToken& LoopToken::operator=(LoopToken&&) noexcept = default;
LoopToken::~LoopToken() = default;

std::string LoopToken::make(const mail::Mailbox& recipient) const {
  return impl_->token(impl_->keys.front(), recipient);
}

bool LoopToken::verify(std::string_view value, const mail::Mailbox& recipient) const {
  value = core::trim(value);
  // Other people's Delivered-To fields are many; ours are told apart without a hash.
  if (!core::istarts_with(value, "fwd-")) return false;
  return std::any_of(impl_->keys.begin(), impl_->keys.end(),
                     [&](const Hmac& key) { return equal_in_constant_time(value, impl_->token(key, recipient)); });
}

}  // namespace srs
