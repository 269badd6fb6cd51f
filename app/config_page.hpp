// docs/configuration.md: what the readers of the files ask for (names, defaults, ranges), joined with what each key
// means (app/config_meanings.hpp). So no key, default or range can be missing or wrong there. Pure.
#pragma once

#include <string>
#include <vector>

#include "app/toml_reader.hpp"

namespace app {

enum class ConfigKind { main, domain };

// Every key that a file of this kind may hold, by its path; the parts of inline tables too.
AskedKeys asked_keys(ConfigKind kind);

// The page. Keys without a meaning are not on it.
std::string configuration_page();

// What is wrong between the two: keys without a meaning, meanings without a key, ranges that are said twice. Empty:
// nothing.
std::vector<std::string> configuration_page_problems();

}  // namespace app
