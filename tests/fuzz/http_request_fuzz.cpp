// links: app
// A request head in any octets: judged, and what is judged good has a method and a path without blanks and controls.
// Octets that come in two pieces lead to the same verdict.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "app/http_request.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view octets(reinterpret_cast<const char*>(data), size);
  const auto request = app::parse_http_request(octets);
  using State = app::HttpRequest::State;
  if (request.state == State::good) {
    if (request.method.empty() || !request.path.starts_with('/')) std::abort();
    for (const char c : request.path) {
      if (c <= ' ' || c >= '\x7f') std::abort();
    }
  }
  if (request.state == State::incomplete && size >= app::kMaxHttpHead) std::abort();
  // A prefix is never judged otherwise than the whole, once it is judged.
  const auto first = app::parse_http_request(octets.substr(0, size / 2)).state;
  if (first == State::good && request.state != State::good) std::abort();
  if (first == State::bad && request.state != State::bad) std::abort();
  return 0;
}
