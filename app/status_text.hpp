// `onward status` for people: what the daemon answers as a page of text. Pure, so that --watch and tests draw the same.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "app/table.hpp"

namespace app {

struct Screen {
  std::size_t width = 0;   // columns; 0: lines are not cut
  std::size_t height = 0;  // lines; 0: as many as there are
  Table::Style style = Table::Style::plain;
};

// `status` as the daemon answers; what is missing in it is left out. Whatever came from the network is printed as
// printable ASCII. Beyond `height` lines the last one says how many are not shown.
std::string status_text(const nlohmann::json& status, const Screen& screen);

}  // namespace app
