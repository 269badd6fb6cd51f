// Rules of other systems as ours: Postfix tables (virtual, alias, regexp), CSV, Cloudflare's API. What has no
// counterpart here is told line by line, and never guessed. Pure: text in, texts of domain files out; the text may be
// any octets.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/routes.hpp"

namespace app {

struct ImportedRule {
  policy::RuleSpec::Kind kind = policy::RuleSpec::Kind::exact;
  std::string match;
  std::vector<std::string> to;
  policy::Action action = policy::Action::forward;
  bool enabled = true;
  std::vector<std::string> comments;  // one line each, without '#'
  std::string where;                  // "file:line"
};

// What was not carried over, or not as it was.
struct ImportNote {
  std::string where;  // "file:line"
  std::string what;
};

struct Import {
  std::map<std::string, std::vector<ImportedRule>> domains;  // a domain without rules is one all the same
  std::vector<ImportNote> notes;
};

struct ImportHints {
  std::string domain;  // of entries that name none
  std::string origin;  // appended to destinations that have no domain (Postfix's myorigin)
};

// Each adds to `out`. A Postfix file's kind is seen by its lines: "/pattern/ ...", "name: ...", "address ...".
void import_postfix(std::string_view text, const std::string& file, const ImportHints& hints, Import& out);
void import_csv(std::string_view text, const std::string& file, const ImportHints& hints, Import& out);
// A list of rules as the API gives it, or its "result"; the catch-all rule too.
void import_cloudflare(std::string_view text, const std::string& file, const ImportHints& hints, Import& out);

// After all files: takes out what our rules could not take (bad addresses, doubles, circles), with a note for each.
void settle_import(Import& import);

// {"example.org.toml", text}, and {"example.org.aliases", text} for a domain with very many plain rules.
inline constexpr std::size_t kManyRules = 200;
std::vector<std::pair<std::string, std::string>> domain_files(const Import& import, std::string_view origin);

}  // namespace app
