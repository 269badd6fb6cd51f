#include "app/terminal.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

namespace app {

std::string painted(int fd, std::string_view text, std::string_view colour) {
  const char* no_color = std::getenv("NO_COLOR");
  const bool plain = ::isatty(fd) == 0 || (no_color != nullptr && *no_color != '\0');
  return plain ? std::string(text) : fmt::format("\033[{}m{}\033[0m", colour, text);
}

}  // namespace app
