// What the admin socket speaks (threats OP-04): a request and an answer, each one JSON object behind its length in four
// octets, network order, at most 64 KiB for a request and 16 MiB for an answer. Shared by server and client.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace app {

inline constexpr std::size_t kMaxAdminRequest = 64 * 1024;
inline constexpr std::size_t kMaxAdminAnswer = 16 * 1024 * 1024;
inline constexpr std::size_t kAdminPrefix = 4;

// `text` behind its length.
inline std::string admin_frame(std::string_view text) {
  const auto n = static_cast<std::uint32_t>(text.size());
  std::string out;
  out.reserve(kAdminPrefix + text.size());
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>((n >> shift) & 0xff);
  out += text;
  return out;
}

// The length that four octets say.
inline std::size_t admin_length(std::string_view prefix) {
  std::size_t n = 0;
  for (const char c : prefix.substr(0, kAdminPrefix)) n = (n << 8) | static_cast<unsigned char>(c);
  return n;
}

}  // namespace app
