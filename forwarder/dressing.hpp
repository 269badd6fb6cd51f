// What goes on top of a message when it leaves (interface.md §5), from the top: ARC set, our DKIM signatures,
// Authentication-Results, X-Onward-Disposition, Received-SPF, Delivered-To, Received; and which forged fields are cut.
// Done when the recipients of the message are known, after SRS, so that a signature over the envelope would fit here.
// Pure but for the keys.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "auth/spf.hpp"
#include "core/clock.hpp"
#include "core/error.hpp"
#include "forwarder/config.hpp"
#include "forwarder/trace.hpp"
#include "mail/message.hpp"

namespace forwarder {

struct Dressing {
  const Config& config;
  const mail::Headers& headers;
  std::string_view header_section;  // what `headers` views
  const auth::BodyHash& body_hash;  // relaxed
  ReceivedInfo received;
  std::vector<const mail::ForwardPath*> recipients;  // that are forwarded
  std::set<std::string> domains;                     // the forwarded domains among them, whose own keys sign too
  // What was verified; null: nothing was.
  const auth::Results* results = nullptr;
  const auth::SpfInput* envelope = nullptr;
  bool quarantine = false;  // tagged
};

// Prefix and cuts of the message; its content is the caller's. Errors: Errc::exhausted (a signature could not be made).
core::Result<mail::Message> dress(const Dressing& dressing, core::Wall::time_point now);

// The domains our signatures will stand for.
std::vector<std::string> signing_domains(const Config& config, const std::set<std::string>& forwarded);

}  // namespace forwarder
