#include "auth/tag_field.hpp"

#include <algorithm>
#include <utility>

namespace auth {
namespace {
constexpr std::size_t kColumns = 76;
}

void TagField::fold() {
  text_ += "\r\n\t";
  column_ = 1;
}

TagField& TagField::write(std::string_view name, std::string_view value, Breaks breaks) {
  if (!first_) {
    text_ += ';';
    ++column_;
  }
  // A value in one piece moves to the next line with its tag; others at least begin beside it.
  const std::size_t together =
      name.size() + 2 + (breaks == Breaks::none ? value.size() : std::min<std::size_t>(value.size(), 16));
  if (column_ + together >= kColumns && !first_) {
    fold();
  } else {
    text_ += ' ';
    ++column_;
  }
  first_ = false;
  text_ += name;
  text_ += '=';
  column_ += name.size() + 1;
  append(value, breaks);
  return *this;
}

void TagField::append(std::string_view value, Breaks breaks) {
  while (!value.empty()) {
    std::size_t piece = value.size();
    if (breaks == Breaks::anywhere) {
      if (column_ + 1 >= kColumns) fold();
      piece = std::min(piece, kColumns - 1 - column_);
    } else if (breaks == Breaks::colons) {
      piece = std::min(value.find(':', 1), value.size());
      if (column_ + piece >= kColumns) fold();
    }
    text_ += value.substr(0, piece);
    column_ += piece;
    value.remove_prefix(piece);
  }
}

std::string TagField::finish(std::string_view base64_value) && {
  append(base64_value, Breaks::anywhere);
  text_ += "\r\n";
  return std::move(text_);
}

}  // namespace auth
