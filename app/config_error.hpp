// What is wrong in a configuration and where, as the operator sees it.
#pragma once

#include <string>
#include <vector>

namespace app {

struct ConfigError {
  std::string file;
  unsigned line = 0;    // 0: the file as a whole
  std::string key;      // "limits.memory", "rule[2].to"; "" when it is about no key
  std::string message;  // "what is wrong; what would be right"

  // "file:line: key: message"
  std::string to_string() const;
  friend bool operator==(const ConfigError&, const ConfigError&) = default;
};

using ConfigWarning = ConfigError;

}  // namespace app
