// What would be different: two configurations compared setting by setting and rule by rule, whatever their layout and
// comments. Pure.
#pragma once

#include <string>
#include <vector>

#include "app/config.hpp"

namespace app {

// One line a change: "onward.toml: limits.memory: \"512 MiB\" -> \"1 GiB\"", "domains/example.org.toml: rule[sales]:
// added: ...", "keys/ow1.pem: changed". Files in the order of `after`, then those that are gone. Zones of block lists,
// which may hold a key, are not shown.
std::vector<std::string> diff_sources(const std::vector<ConfigSource>& before, const std::vector<ConfigSource>& after);

// The changes that need a restart, as sentences.
std::vector<std::string> restart_needed(const Config& before, const Config& after);

}  // namespace app
