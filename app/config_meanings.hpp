// What each key of the configuration means, in Markdown: the words of docs/configuration.md, in its order. Defaults and
// ranges are not here when the readers know them (app/config_*.cpp).
#pragma once

#include <span>
#include <string_view>

#include "app/config_page.hpp"

namespace app {

struct KeyMeaning {
  std::string_view key;       // as written below the section's heading: "memory", "rate.messages_per_ip"
  std::string_view since;     // version
  std::string_view meaning;   // names the parts of an inline table that have no line of their own
  std::string_view range{};   // where the reader knows none
  std::string_view preset{};  // where the reader's own would mislead
};

struct SectionMeaning {
  ConfigKind kind;
  std::string_view heading;  // with its #
  std::string_view path;     // of the section: "limits"; "" : the keys are whole paths
  std::string_view before;   // the keys; "" : nothing
  std::span<const KeyMeaning> keys;
  std::string_view after;
};

std::string_view configuration_intro();
std::span<const SectionMeaning> configuration_meanings();

}  // namespace app
