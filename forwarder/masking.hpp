// Upstream replies as our client may see them (threats UP-08, interface.md §6.10): hidden destinations replaced by the
// addresses the client used, in any spelling. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mail/reply.hpp"

namespace forwarder {

// [delivery] errors: how much of an upstream's text our client sees.
enum class ErrorDetail { full, masked, code_only };

// One hidden address and what the client called it.
struct Mask {
  std::string hidden;  // "alice@gmail.example" or our SRS sender
  std::string shown;   // "sales@example.org" or the original sender ("" for the null sender: "<>")
};

// `reply` with every hidden address replaced (case, quotes around the local part, %- and "=40"-style and +40 xtext
// escapes, punycode/U-label forms of the domain, angle brackets or not), then each bare hidden domain by the shown
// one's domain (subdomains too: "mx.gmail.example"; never a part of a longer label, as in "notgmail.example"; not the
// domain of our own SRS senders, which is no secret).
//   full: text as it is (still cleansed by Reply::to_wire); masked: as above; code_only: the code and a text of our
//   own.
// The last line ends " [upstream ID]". A reply keeps its 20 lines at most.
mail::Reply present(const mail::Reply& reply, ErrorDetail detail, const std::vector<Mask>& masks, std::string_view id);

// Only the replacement, for one line of text.
std::string mask_text(std::string_view text, const std::vector<Mask>& masks);

}  // namespace forwarder
