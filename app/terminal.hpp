// Colours for people only: a terminal, and nobody who said NO_COLOR (https://no-color.org).
#pragma once

#include <string>
#include <string_view>

namespace app {

// `colour` as in "1;31". `fd`: what will be written to.
std::string painted(int fd, std::string_view text, std::string_view colour);

}  // namespace app
