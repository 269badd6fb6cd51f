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

 private:
  struct Row {
    std::vector<std::string> cells;
    Colour colour;
  };
  std::vector<std::string> head_;
  std::vector<Row> rows_;
};

}  // namespace app
