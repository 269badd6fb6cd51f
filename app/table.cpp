#include "app/table.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "core/text.hpp"

namespace app {
namespace {

constexpr std::size_t kGap = 2;

// 0: nobody looks, nothing is cut.
std::size_t terminal_width() {
  winsize size{};
  if (::isatty(STDOUT_FILENO) == 0 || ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) return 0;
  return size.ws_col;
}

std::string_view escape_for(Table::Colour colour) {
  switch (colour) {
    case Table::Colour::green:
      return "\x1b[32m";
    case Table::Colour::yellow:
      return "\x1b[33m";
    case Table::Colour::red:
      return "\x1b[31m";
    case Table::Colour::none:
      break;
  }
  return "";
}

}  // namespace

void Table::add(std::vector<std::string> cells, Colour colour) {
  for (auto& cell : cells) cell = core::printable(cell);
  cells.resize(head_.size());
  rows_.push_back({std::move(cells), colour});
}

void Table::print() const {
  const auto width = terminal_width();
  const bool coloured = width != 0 && std::getenv("NO_COLOR") == nullptr;
  std::vector<std::size_t> widths;
  for (const auto& title : head_) widths.push_back(title.size());
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.cells.size(); ++i) widths[i] = std::max(widths[i], row.cells[i].size());
  }
  const auto print_row = [&](const std::vector<std::string>& cells, std::string_view escape) {
    std::string text;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      text += cells[i];
      if (i + 1 < cells.size()) text += std::string(widths[i] - cells[i].size() + kGap, ' ');
    }
    if (width != 0 && text.size() > width) text.resize(width);
    fmt::print("{}{}{}\n", escape, text, escape.empty() ? "" : "\x1b[0m");
  };
  print_row(head_, coloured ? "\x1b[1m" : "");
  for (const auto& row : rows_) print_row(row.cells, coloured ? escape_for(row.colour) : "");
}

}  // namespace app
