// links: mail
// What parses prints as it came and parses again to the same; what is made from parts says what it was made from
// (RL-03).
#include <cstddef>
#include <cstdint>

#include "mail/address.hpp"
#include "mail/utf8.hpp"

namespace {

void check(bool good) {
  if (!good) __builtin_trap();
}

void check_text(std::string_view text, mail::Utf8 utf8) {
  if (const auto mailbox = mail::parse_mailbox(text, utf8); mailbox.has_value()) {
    check(mailbox->to_string() == text);
    check(mail::is_plain_utf8(text) && text.size() <= mail::kMaxPath);
    check(utf8 == mail::Utf8::yes || mailbox->is_ascii());
    check(mailbox->local.size() <= mail::kMaxLocalPart);
    check(mail::parse_mailbox(text, mail::Utf8::yes).has_value());
    const auto made = mail::make_mailbox(mailbox->unquoted_local(), mailbox->domain, utf8);
    check(made.has_value() && made->unquoted_local() == mailbox->unquoted_local());
    const auto path = mail::parse_forward_path("<" + std::string(text) + ">", utf8);
    check(path.has_value() && path->mailbox == *mailbox);
  }
  if (const auto path = mail::parse_reverse_path(text, utf8); path.has_value() && !path->null()) {
    check(mail::parse_mailbox(path->to_string(), utf8).has_value());
  }
  if (const auto path = mail::parse_forward_path(text, utf8); path.has_value() && !path->is_bare_postmaster()) {
    check(mail::parse_mailbox(path->to_string(), utf8).has_value());
  }
  if (const auto made = mail::make_mailbox(text, "x.example", utf8); made.has_value()) {
    check(made->unquoted_local() == text);
    check(mail::parse_mailbox(made->to_string(), utf8).has_value());
  }
  if (mail::is_domain(text, utf8)) check(!mail::is_address_literal(text));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_text(text, mail::Utf8::no);
  check_text(text, mail::Utf8::yes);
  return 0;
}
