// A table on the terminal: columns aligned, the last one cut to the terminal's width, rows coloured when somebody looks
// (a terminal, and no NO_COLOR). Whatever is in a cell is printed as printable ASCII.
#pragma once

#include <string>
#include <vector>

namespace app {

class Table {
 public:
  enum class Colour { none, green, yellow, red };
  explicit Table(std::vector<std::string> head) : head_(std::move(head)) {}
  // As many cells as the head has.
  void add(std::vector<std::string> cells, Colour colour = Colour::none);
  // On standard output. Without rows: the head alone.
  void print() const;
  // The same for a screen of `width` columns (0: as wide as it comes), a line each, with line ends.
  enum class Style { plain, coloured };
  std::string text(std::size_t width, Style style) const;
  // Numbers stand right: columns from this one on.
  void align_right_from(std::size_t column) { right_from_ = column; }

 private:
  struct Row {
    std::vector<std::string> cells;
    Colour colour;
  };
  std::vector<std::string> head_;
  std::vector<Row> rows_;
  std::size_t right_from_ = static_cast<std::size_t>(-1);
};

// Columns of the terminal on standard output; 0: nobody looks, nothing is cut.
std::size_t terminal_width();
// Does somebody look who wants colours?
Table::Style terminal_style();

}  // namespace app
