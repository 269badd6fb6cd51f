#include "app/message_file.hpp"

#include <fmt/format.h>

#include <fstream>
#include <iostream>
#include <istream>

namespace app {
namespace {

std::string with_crlf(const std::string& text) {
  std::string out;
  out.reserve(text.size() + text.size() / 32);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
    if (text[i] == '\n' || text[i] == '\r') {
      out += "\r\n";
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

core::Explained<std::string> read_message(const std::string& path) {
  std::ifstream file;
  if (path != "-") {
    file.open(path, std::ios::binary);
    if (!file) return core::Problem{path + ": cannot be read"};
  }
  std::istream& in = path == "-" ? std::cin : file;
  std::string text;
  std::string piece(std::size_t{64} * 1024, '\0');
  while (in.read(piece.data(), static_cast<std::streamsize>(piece.size())) || in.gcount() > 0) {
    text.append(piece, 0, static_cast<std::size_t>(in.gcount()));
    if (text.size() > kMaxMessageFile) {
      return core::Problem{fmt::format("{}: is larger than {} MiB", path, kMaxMessageFile >> 20)};
    }
  }
  if (in.bad()) return core::Problem{path + ": cannot be read"};
  return core::Explained<std::string>(boost::system::in_place_value, with_crlf(text));
}

}  // namespace app
