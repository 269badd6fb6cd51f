// Messages for the tests of signing: generated ones, and the corpus as it would go over the wire.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/random.hpp"
#include "mail/header.hpp"

namespace messages {

// Lone LF and CR become CRLF, a last line without end gets one (GUIDE.md §1).
inline std::string to_wire(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r' || text[i] == '\n') {
      if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') ++i;
      out += "\r\n";
    } else {
      out += text[i];
    }
  }
  if (!out.ends_with("\r\n")) out += "\r\n";
  return out;
}

struct Parts {
  std::string_view section, body;  // without the empty line between them
};

inline Parts split(std::string_view message) {
  if (message.starts_with("\r\n")) return {{}, message.substr(2)};
  const auto end = message.find("\r\n\r\n");
  if (end == std::string_view::npos) return {message, {}};
  return {message.substr(0, end + 2), message.substr(end + 4)};
}

inline std::vector<std::string> corpus() {
  std::vector<std::string> out;
  std::error_code ec;
  for (const auto& file : std::filesystem::recursive_directory_iterator(ONWARD_CONFORMANCE "/corpus/eml", ec)) {
    if (!file.is_regular_file()) continue;
    std::ifstream in(file.path(), std::ios::binary);
    out.push_back(to_wire(std::string(std::istreambuf_iterator<char>(in), {})));
  }
  return out;
}

// Random folding, 8-bit values, duplicates, empty values and bodies, blanks in all places.
class Generator {
 public:
  explicit Generator(std::uint64_t seed) : random_(seed) {}
  std::uint64_t below(std::uint64_t bound) { return random_.below(bound); }

  std::string next() {
    std::string out = below(2) == 0 ? "From: a@sender.example\r\n" : "FROM:\r\n\t Alice  <a@sender.example>\t\r\n";
    for (auto fields = 1 + below(14); fields > 0; --fields) out += field();
    return out + "\r\n" + body();
  }
  std::string body() {
    std::string out;
    for (auto lines = below(8) == 0 ? 0 : below(30); lines > 0; --lines) {
      if (below(4) != 0) out += text(below(6) == 0 ? 300 : 60);
      out += "\r\n";
    }
    return out;
  }

 private:
  std::string field() {
    static constexpr const char* kNames[] = {
        "From",    "To",       "Subject",      "Date",         "Message-ID", "Cc",      "Sender", "Reply-To",
        "X-Other", "Received", "MIME-Version", "Content-Type", "References", "List-Id", "TO",     "subject"};
    std::string out = kNames[below(std::size(kNames))];
    out += ':';
    for (auto parts = below(5); parts > 0; --parts) {
      if (below(3) == 0) out += "\r\n ";
      const auto piece = text(30);
      // A folded line of blanks only is no header line.
      out += piece.find_first_not_of(" \t") == std::string::npos ? " x" : piece;
    }
    return out + "\r\n";
  }
  std::string text(std::size_t most) {
    std::string out;
    for (auto n = below(most); n > 0; --n) {
      const auto kind = below(12);
      if (kind < 3) {
        out += ' ';
      } else if (kind == 3) {
        out += '\t';
      } else if (kind == 4) {
        out += static_cast<char>(0x80 + below(0x80));
      } else {
        out += static_cast<char>('!' + below(94));
      }
    }
    return out;
  }

  core::SeededRandom random_;
};

}  // namespace messages
