// onward docs PAGE: what docs/ and packages hold that is made from tables in the code. Tests compare.
#include <fmt/format.h>

#include "app/commands.hpp"
#include "app/config_page.hpp"
#include "app/metrics_text.hpp"
#include "app/replies_text.hpp"

namespace app {

int cmd_docs(const std::string& page) {
  if (page == "configuration") fmt::print("{}", configuration_page());
  if (page == "metrics") fmt::print("{}", metrics_page());
  if (page == "replies") fmt::print("{}", replies_page());
  return kExitOk;
}

}  // namespace app
