#include "forwarder/trace.hpp"

#include <fmt/format.h>

#include "auth/authentication_results.hpp"
#include "core/text.hpp"

namespace forwarder {
namespace {

// What a peer calls itself, as an atom of a Received field: octets that could end a comment or a line become '?'.
std::string safe_name(std::string_view name) {
  if (name.empty()) return "unknown";
  std::string out(name.substr(0, 255));
  const bool utf8 = core::is_utf8(out);
  for (auto& c : out) {
    const bool good = core::is_alnum(c) || c == '.' || c == '-' || c == '_' || c == ':' || c == '[' || c == ']' ||
                      (core::is_8bit(c) && utf8);
    if (!good) c = '?';
  }
  return out;
}

// RFC 3848, RFC 6531 §4.3.
std::string_view protocol_of(const Client& client, bool smtputf8) {
  if (smtputf8) return client.tls ? "UTF8SMTPS" : "UTF8SMTP";
  if (!client.extended) return client.tls ? "SMTPS" : "SMTP";
  return client.tls ? "ESMTPS" : "ESMTP";
}

}  // namespace

std::string received_field(const ReceivedInfo& info) {
  const auto& client = *info.client;
  std::string text = fmt::format("from {} ({} {}) by {} with {}", safe_name(client.helo), safe_name(info.ptr),
                                 client.address.to_literal(), info.hostname, protocol_of(client, info.smtputf8));
  if (client.tls) text += fmt::format(" ({} {})", safe_name(client.tls->version), safe_name(client.tls->cipher));
  text += " id " + info.id;
  if (!info.only_recipient.empty()) text += " for <" + info.only_recipient + ">";
  text += "; " + mail::format_date(info.time);
  return mail::make_field("Received", text);
}

std::vector<mail::Message::Cut> forged_results(const mail::Headers& headers, std::string_view section,
                                               std::string_view hostname) {
  std::vector<mail::Message::Cut> cuts;
  for (const auto& field : headers.fields()) {
    if (!core::iequals(field.name, "Authentication-Results")) continue;
    if (!auth::claims_authserv_id(field.value(), hostname)) continue;
    mail::Message::Cut cut;
    cut.offset = static_cast<std::uint64_t>(field.raw.data() - section.data());
    cut.length = field.raw.size();
    cuts.push_back(cut);
  }
  return cuts;
}

}  // namespace forwarder
