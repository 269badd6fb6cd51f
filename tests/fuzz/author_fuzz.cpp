// links: auth
// The From field: what is read must read the same when it is written plainly again, and its domains have one form.
#include <cstddef>
#include <cstdint>

#include "auth/author.hpp"
#include "auth/dmarc_domain.hpp"
#include "core/text.hpp"

namespace {

void require(bool ok) {
  if (!ok) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto authors = auth::parse_authors(text);
  require(authors.ok() == !authors.domains.empty());
  require(authors.mailboxes.size() <= auth::kMaxAuthors && authors.domains.size() <= auth::kMaxAuthorDomains);
  std::string plain;
  for (const auto& box : authors.mailboxes) {
    require(box.is_literal() || auth::normal_domain(box.domain) == box.domain);
    require(core::is_utf8(box.local) && box.local.find("=?") == std::string::npos);
    plain += (plain.empty() ? "<" : ", <") + box.to_string() + ">";
  }
  if (authors.ok()) {
    const auto again = auth::parse_authors(plain);
    require(again.ok() && again.mailboxes == authors.mailboxes && again.domains == authors.domains);
  }
  // Whoever looks only for the last at sign outside quotes and comments of a field with one bare address sees the same.
  if (authors.ok() && authors.mailboxes.size() == 1 && text.find_first_of("\"(<:") == std::string_view::npos) {
    auto domain = core::trim(text.substr(text.rfind('@') + 1));
    domain = domain.substr(0, domain.find_last_not_of(" \t\r\n") + 1);
    require(auth::normal_domain(domain) == authors.domains.front() || authors.mailboxes.front().is_literal());
  }
  return 0;
}
