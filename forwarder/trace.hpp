// The trace fields we put on top of a message, and those of others that must not stay (interface.md §5; threats RL-04,
// RL-07). Pure; every field is one valid header field whatever the peer called itself.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "forwarder/handler.hpp"
#include "mail/header.hpp"
#include "mail/message.hpp"

namespace forwarder {

// "Received: from HELO (PTR [IP]) by HOST with ESMTPS (TLSv1.3 CIPHER) id ID; date" (RFC 5321 §4.4). `ptr`: the
// confirmed reverse name, or "" (printed "unknown"). `only_recipient`: "" when there are several, and then there is no
// `for` clause.
struct ReceivedInfo {
  const Client* client = nullptr;
  std::string ptr, hostname, id, only_recipient;
  bool smtputf8 = false;
  std::int64_t time = 0;  // Unix seconds
};
std::string received_field(const ReceivedInfo& info);

// Authentication-Results that claim to be ours (RFC 8601 §5): their places in the header section, to be cut.
std::vector<mail::Message::Cut> forged_results(const mail::Headers& headers, std::string_view section,
                                               std::string_view hostname);

}  // namespace forwarder
