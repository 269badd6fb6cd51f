// Who a message says it is from: the mailboxes of its From field, by a strict reading of RFC 5322 §3.4 and RFC 6854
// (groups). Whatever two mail readers might show as two different domains is unparsable here (threats RL-15): routes,
// blanks or comments inside an address, an address in a comment, encoded words or a second address in a local part,
// stray commas. Display names may be as odd as real ones are. Linear in the field's length. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mail/address.hpp"
#include "mail/header.hpp"

namespace auth {

inline constexpr std::size_t kMaxAuthors = 100;
inline constexpr std::size_t kMaxAuthorDomains = 5;  // each may cost eight DNS questions (threats DN-06)

// missing: no From field, or one without a mailbox. several_fields: more than one From field (RFC 5322 §3.6).
enum class AuthorFault { none, missing, several_fields, unparsable };
std::string_view to_string(AuthorFault fault);

struct Authors {
  AuthorFault fault = AuthorFault::missing;
  std::vector<mail::Mailbox> mailboxes;  // as written, but the domain in normal form (lower case, A-labels)
  std::vector<std::string> domains;      // of the mailboxes, each once; may be an address literal
  bool ok() const { return fault == AuthorFault::none; }
};

Authors find_authors(const mail::Headers& headers);
// `value`: of one From field, folding kept (HeaderField::value).
Authors parse_authors(std::string_view value);

}  // namespace auth
