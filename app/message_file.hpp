// A message in a file, for the commands that judge one.
#pragma once

#include <string>

#include "core/secret_file.hpp"

namespace app {

inline constexpr std::size_t kMaxMessageFile = std::size_t{256} << 20;  // octets

// The file (or standard input, for "-") as it would come over the wire: files may have any line ends, there it is CRLF.
core::Explained<std::string> read_message(const std::string& path);

}  // namespace app
