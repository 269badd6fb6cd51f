// Mail addresses: RFC 5321 §4.1.2 syntax with RFC 6531 (SMTPUTF8), parsed and printed without normalising:
// what came in is what goes out. Pure, no I/O.
#pragma once

#include <string>
#include <string_view>

#include "core/error.hpp"

namespace mail {

// RFC 5321 §4.5.3.1: octets.
inline constexpr std::size_t kMaxLocalPart = 64;
inline constexpr std::size_t kMaxDomain = 255;
inline constexpr std::size_t kMaxPath = 254;  // without the angle brackets (RFC 3696 erratum 1690)

enum class Utf8 { no, yes };  // may octets >= 0x80 (valid UTF-8) appear?

// local-part "@" domain. `local` is as written (a quoted string keeps its quotes); `domain` is a name without trailing
// dot or an address literal with its brackets. A Mailbox made by parse_mailbox is valid; its octets contain no control.
struct Mailbox {
  std::string local;
  std::string domain;

  std::string to_string() const { return local + "@" + domain; }
  // The local part's meaning: quotes and quoted-pair backslashes removed.
  std::string unquoted_local() const;
  bool is_literal() const { return !domain.empty() && domain.front() == '['; }
  bool is_ascii() const;
  friend bool operator==(const Mailbox&, const Mailbox&) = default;
};

// RFC 5321 §4.1.2 Mailbox, the whole of `text`, limits included. Errors: Errc::malformed.
core::Result<Mailbox> parse_mailbox(std::string_view text, Utf8 utf8 = Utf8::no);

// local must be a legal dot-string as it is or is quoted; empty result: cannot be written (control octets, too long).
core::Result<Mailbox> make_mailbox(std::string_view unquoted_local, std::string_view domain, Utf8 utf8 = Utf8::no);

// Reverse-path: null ("<>") or a mailbox.
struct ReversePath {
  Mailbox mailbox;
  bool null() const { return mailbox.domain.empty(); }
  std::string to_string() const { return null() ? std::string() : mailbox.to_string(); }
  friend bool operator==(const ReversePath&, const ReversePath&) = default;
};

// Forward-path: a mailbox, or "postmaster" without a domain (RFC 5321 §4.1.1.3), whose `domain` is empty.
struct ForwardPath {
  Mailbox mailbox;
  bool is_bare_postmaster() const { return mailbox.domain.empty(); }
  std::string to_string() const { return is_bare_postmaster() ? mailbox.local : mailbox.to_string(); }
  friend bool operator==(const ForwardPath&, const ForwardPath&) = default;
};

// "<...>" with the brackets; a source route ("@a,@b:") is accepted and dropped (RFC 5321 §4.1.2, appendix C).
core::Result<ReversePath> parse_reverse_path(std::string_view text, Utf8 utf8);
core::Result<ForwardPath> parse_forward_path(std::string_view text, Utf8 utf8);

// A domain name by RFC 5321 (letters, digits, hyphens inside labels, 63/255 octets; U-labels when utf8), no literal.
bool is_domain(std::string_view text, Utf8 utf8 = Utf8::no);
// "[192.0.2.1]" or "[IPv6:...]"; a General-address-literal needs a registered tag, and no other tag was ever
// registered.
bool is_address_literal(std::string_view text);

}  // namespace mail
