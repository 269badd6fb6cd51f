// Canonicalisation as RFC 6376 §3.4 words it, line by line, without a thought for speed: what the fast one is held to.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace naive {

inline std::vector<std::string> lines_of(std::string_view body) {
  std::vector<std::string> lines;
  for (;;) {
    const auto end = body.find("\r\n");
    lines.emplace_back(body.substr(0, end));
    if (end == std::string_view::npos) return lines;
    body.remove_prefix(end + 2);
  }
}

inline std::string reduced(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c != ' ' && c != '\t') {
      out += c;
    } else if (!out.ends_with(' ')) {
      out += ' ';
    }
  }
  while (out.ends_with(' ')) out.pop_back();
  return out;
}

inline std::string body(bool relaxed, std::string_view text) {
  auto lines = lines_of(text);
  if (relaxed) {
    for (auto& line : lines) line = reduced(line);
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  std::string out;
  for (const auto& line : lines) out += line + "\r\n";
  if (!relaxed && out.empty()) out = "\r\n";
  return out;
}

}  // namespace naive
