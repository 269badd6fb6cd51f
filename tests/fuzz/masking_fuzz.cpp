// links: forwarder
// Whatever a text is made of: the hidden address is in no case left in it, what is shown is one reply that ends with
// its reference, and Punycode has one form for one name (UP-08). Input: the hidden address, LF, the text.
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/text.hpp"
#include "forwarder/masking.hpp"
#include "mail/address.hpp"
#include "mail/punycode.hpp"

namespace {

void check(bool good) {
  if (!good) __builtin_trap();
}

void check_punycode(std::string_view text) {
  const auto decoded = mail::punycode_decode(text);
  if (!decoded) return;
  const auto encoded = mail::punycode_encode(*decoded);
  check(!encoded || core::iequals(*encoded, text));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto line_end = std::min(input.find('\n'), input.size());
  const std::string hidden(input.substr(0, line_end));
  const auto text = input.substr(std::min(line_end + 1, input.size()));
  check_punycode(text.substr(0, 63));

  // What is shown has no octet in common with what is hidden, so that nothing hidden can arise from it.
  const std::string shown = "~@~";
  const std::vector<forwarder::Mask> masks = {{hidden, shown}, {"bob@corp.example", "~~@~~"}};
  const auto masked = forwarder::mask_text(text, masks);
  check(core::lower(masked).find("bob@corp.example") == std::string::npos);
  if (mail::parse_mailbox(hidden, mail::Utf8::yes) && hidden.find('~') == std::string::npos) {
    check(core::lower(masked).find(core::lower(hidden)) == std::string::npos);
  }

  mail::Reply reply(550, {5, 1, 1}, "");
  reply.lines.clear();
  for (const auto line : core::split(text, '\n')) reply.lines.emplace_back(line);
  const auto wire = forwarder::present(reply, forwarder::ErrorDetail::masked, masks, "id-1").to_wire();
  check(wire.ends_with("[upstream id-1]\r\n"));
  mail::ReplyParser parser;
  std::size_t consumed = 0;
  const auto back = parser.feed(wire, consumed);
  check(back && *back && consumed == wire.size() && (*back)->code == 550 && (*back)->lines.size() <= 20);
  return 0;
}
