// Stands between the program and libopendkim, and remembers what that is fed.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

struct DkimSpy {
  std::vector<std::string> first_fields;  // of each handle
  std::size_t signatures = 0;             // DKIM-Signature fields fed
};
extern DkimSpy dkim_spy;
