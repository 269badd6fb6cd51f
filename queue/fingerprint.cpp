#include "queue/fingerprint.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <initializer_list>
#include <string>

#include "core/text.hpp"

namespace queue {
namespace {

constexpr std::array<std::string_view, 5> kNamingFields{"Message-ID", "From", "To", "Date", "Subject"};
constexpr unsigned kNetworkV4 = 24, kNetworkV6 = 64;  // promise.md C.5

void append_number(std::string& out, std::uint64_t number) {
  for (int shift = 0; shift < 64; shift += 8) out += static_cast<char>(static_cast<unsigned char>(number >> shift));
}

// The parts with their lengths, so that no two lists of parts make the same octets. The first one says what it is.
core::Digest digest_of(std::initializer_list<std::string_view> parts) {
  std::size_t size = 0;
  for (const auto part : parts) size += part.size() + 8;
  std::string octets;
  octets.reserve(size);
  for (const auto part : parts) {
    append_number(octets, part.size());
    octets += part;
  }
  return core::sha256(octets);
}

bool has_message_id(const mail::Headers& headers) {
  return std::ranges::any_of(headers.all("Message-ID"),
                             [](const auto* field) { return !mail::unfold(field->value()).empty(); });
}

std::uint32_t short_hash(std::string_view purpose, std::string_view text) {
  const auto digest = digest_of({purpose, text});
  std::uint32_t hash = 0;
  for (std::size_t i = 0; i < sizeof hash; ++i) hash = hash << 8 | digest[i];
  return std::max(hash, std::uint32_t{1});  // 0 means none
}

}  // namespace

void MessageHasher::update(std::string_view octets) {
  if (!in_body_) {
    const auto end = scanner_.feed(octets);
    if (!end) {
      header_.update(octets);
      seen_ += octets.size();
      return;
    }
    assert(*end >= seen_ && *end - seen_ <= octets.size());
    const auto rest = static_cast<std::size_t>(*end - seen_);
    header_.update(octets.substr(0, rest));
    octets.remove_prefix(rest);
    in_body_ = true;
  }
  body_.update(octets);
}

MessageDigest MessageHasher::finish(const mail::Headers& headers) {
  const auto header = header_.finish();
  const auto body = body_.finish();
  MessageDigest digest;
  digest.exact = digest_of({"onward message", core::as_text(header), core::as_text(body)});
  if (!has_message_id(headers)) return digest;
  std::string fields;
  for (const auto name : kNamingFields) {
    const auto all = headers.all(name);
    append_number(fields, all.size());
    for (const auto* field : all) {
      append_number(fields, field->value().size());
      fields += field->value();
    }
  }
  digest.restamped = digest_of({"onward restamped", fields, core::as_text(body)});
  return digest;
}

Fingerprint make_fingerprint(const MessageDigest& message, const Addressing& addressing) {
  const auto with = [&](std::string_view purpose, const core::Digest& digest) {
    return digest_of({purpose, addressing.sender, addressing.recipient, addressing.destination, core::as_text(digest)});
  };
  Fingerprint fingerprint;
  fingerprint.exact = with("onward copy", message.exact);
  if (message.restamped) fingerprint.restamped = with("onward restamped copy", *message.restamped);
  return fingerprint;
}

Fingerprint row_fingerprint(std::string_view row) {
  return {digest_of({"onward row", row}), std::nullopt};
}

Scope make_scope(std::string_view spf_domain, const core::IpAddress& client) {
  Scope scope;
  if (!spf_domain.empty()) scope.domain = short_hash("domain", core::lower(spf_domain));
  const auto address = client.unmapped();
  scope.network = short_hash("network", address.masked(address.is_v6() ? kNetworkV6 : kNetworkV4).bytes());
  return scope;
}

}  // namespace queue
