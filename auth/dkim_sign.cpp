#include "auth/dkim_sign.hpp"

#include <array>
#include <chrono>
#include <vector>

#include "auth/tag_field.hpp"
#include "core/text.hpp"

namespace auth {
namespace {

enum class Extent : std::uint8_t {
  oversigned,  // named once more than it occurs, so that none can be added (RFC 6376 §5.4, §8.15)
  present,     // named as often as it occurs: list managers may add their own
  arc_only,
};
struct SignedName {
  std::string_view name;  // lower case
  Extent extent;
};

// RFC 6376 §5.4.1: what a reader sees or a program acts on. Trace fields and other people's verdicts are not ours to
// vouch for.
constexpr auto kSignedNames = std::to_array<SignedName>({
    {"from", Extent::oversigned},
    {"to", Extent::oversigned},
    {"cc", Extent::oversigned},
    {"subject", Extent::oversigned},
    {"date", Extent::oversigned},
    {"message-id", Extent::oversigned},
    {"reply-to", Extent::oversigned},
    {"in-reply-to", Extent::oversigned},
    {"references", Extent::oversigned},
    {"mime-version", Extent::oversigned},
    {"content-type", Extent::oversigned},
    {"content-transfer-encoding", Extent::oversigned},
    {"sender", Extent::present},
    {"content-disposition", Extent::present},
    {"content-id", Extent::present},
    {"content-description", Extent::present},
    {"resent-date", Extent::present},
    {"resent-from", Extent::present},
    {"resent-sender", Extent::present},
    {"resent-to", Extent::present},
    {"resent-cc", Extent::present},
    {"resent-message-id", Extent::present},
    {"list-id", Extent::present},
    {"list-help", Extent::present},
    {"list-unsubscribe", Extent::present},
    {"list-unsubscribe-post", Extent::present},
    {"list-subscribe", Extent::present},
    {"list-post", Extent::present},
    {"list-owner", Extent::present},
    {"list-archive", Extent::present},
    {"dkim-signature", Extent::arc_only},
});

std::string seconds_text(core::Wall::time_point t) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(t.time_since_epoch()).count());
}

}  // namespace

SignedFields::SignedFields(std::span<const mail::HeaderField> fields, Cover cover) {
  // One pass over the fields, then one over the names: linear in the header, however often a name occurs.
  std::array<std::vector<const mail::HeaderField*>, kSignedNames.size()> found;
  std::size_t octets = 0;
  for (const auto& field : fields) {
    for (std::size_t i = 0; i < kSignedNames.size(); ++i) {
      if (!core::iequals(field.name, kSignedNames[i].name)) continue;
      found[i].push_back(&field);
      octets += field.raw.size();
      break;
    }
  }
  canonical_.reserve(octets);
  const auto add_name = [this](std::string_view name) {
    if (!names_.empty()) names_ += ':';
    names_ += name;
  };
  for (std::size_t i = 0; i < kSignedNames.size(); ++i) {
    const auto& [name, extent] = kSignedNames[i];
    if (extent == Extent::arc_only && cover != Cover::arc) continue;
    for (auto it = found[i].rbegin(); it != found[i].rend(); ++it) {  // RFC 6376 §5.4.2
      add_name(name);
      append_canonical_header(Canon::relaxed, (*it)->raw, canonical_);
    }
    if (extent == Extent::oversigned) add_name(name);
  }
}

Signer::Signer(std::string domain, std::string selector, std::shared_ptr<const SigningKey> key)
    : domain_(std::move(domain)), selector_(std::move(selector)), key_(std::move(key)) {}

core::Result<std::string> Signer::sign(const SignedFields& fields, const BodyHash& body,
                                       core::Wall::time_point now) const {
  TagField field("DKIM-Signature");
  field.tag("v", "1")
      .tag("a", key_->algorithm())
      .tag("c", "relaxed/relaxed")
      .tag("d", domain_)
      .tag("s", selector_)
      .tag("t", seconds_text(now))
      .tag("x", seconds_text(now + kSignatureLifetime))
      .list("h", fields.names())
      .base64("bh", body.to_base64())
      .base64("b", "");
  std::string own;
  append_canonical_header(Canon::relaxed, field.text(), own);  // RFC 6376 §3.7: b= empty, no final CRLF
  const auto signature = key_->sign({fields.canonical(), own});
  if (!signature) return signature.error();
  return std::move(field).finish(*signature);
}

}  // namespace auth
