// The keys that interface.md describes and this version does not act on: ONE table. Writing such a key with a value
// that asks for the feature is an error; those that are on by default are named in one warning (interface.md §6.28).
// Whoever makes a feature work deletes its lines here.
#pragma once

#include <set>
#include <string>
#include <string_view>

namespace app {

struct NotYet {
  std::string_view key;  // "policy.spf"
  std::string_view off;  // values that ask for nothing, separated by '|'; "" alone is the empty string; "-": none
  enum class Default { off, on } preset = Default::off;
};

// Null: the key works, or is unknown.
const NotYet* find_not_yet(std::string_view key);
// `value` as Section gives it: a string as it is, "true", a number, "30s", octets, "[]", "[...]", "{}", "{...}".
bool asks_for_it(const NotYet& entry, std::string_view value);
std::string not_yet_message(const NotYet& entry);
// What is on by default, not active, and not in `written`: "arc.seal, delivery.dane"; "" when there is nothing.
std::string inactive_defaults(const std::set<std::string>& written);

}  // namespace app
