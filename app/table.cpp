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

std::size_t terminal_width() {
  winsize size{};
  if (::isatty(STDOUT_FILENO) == 0 || ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) return 0;
  return size.ws_col;
}

Table::Style terminal_style() {
  const char* no_color = std::getenv("NO_COLOR");
  const bool plain = ::isatty(STDOUT_FILENO) == 0 || (no_color != nullptr && *no_color != '\0');
  return plain ? Table::Style::plain : Table::Style::coloured;
}

std::string Table::text(std::size_t width, Style style) const {
  const bool coloured = style == Style::coloured;
  std::vector<std::size_t> widths;
  for (const auto& title : head_) widths.push_back(title.size());
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.cells.size(); ++i) widths[i] = std::max(widths[i], row.cells[i].size());
  }
  std::string out;
  const auto add_row = [&](const std::vector<std::string>& cells, std::string_view escape) {
    std::string line;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const std::string gap(widths[i] - cells[i].size(), ' ');
      if (i > 0) line += std::string(kGap, ' ');
      if (i >= right_from_) line += gap;
      line += cells[i];
      if (i < right_from_ && i + 1 < cells.size()) line += gap;
    }
    if (width != 0 && line.size() > width) line.resize(width);
    out += fmt::format("{}{}{}\n", escape, line, escape.empty() ? "" : "\x1b[0m");
  };
  add_row(head_, coloured ? "\x1b[1m" : "");
  for (const auto& row : rows_) add_row(row.cells, coloured ? escape_for(row.colour) : "");
  return out;
}

void Table::print() const {
  fmt::print("{}", text(terminal_width(), terminal_style()));
}

}  // namespace app
