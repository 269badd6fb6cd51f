// links: net
// Whatever a web server says: one response or an error, alike in every slicing, within its limits; and any request head
// is one we can answer or none.
#include <cstddef>
#include <cstdint>

#include "net/http.hpp"

namespace {

constexpr std::size_t kLimit = 64;

void check(bool good) {
  if (!good) __builtin_trap();
}

struct Run {
  bool whole = false, error = false;
  int status = 0;
  std::string body;
  friend bool operator==(const Run&, const Run&) = default;
};

Run run(std::string_view octets, std::size_t slice) {
  net::HttpResponse response(kLimit);
  Run result;
  while (!octets.empty() && !result.whole && !result.error) {
    const auto done = response.feed(octets.substr(0, slice));
    octets.remove_prefix(slice < octets.size() ? slice : octets.size());
    result.error = !done;
    result.whole = done && *done == net::HttpResponse::Progress::whole;
  }
  if (!result.whole && !result.error) result.error = !(result.whole = response.finish().has_value());
  result.status = response.status();
  result.body = response.body();
  check(result.body.size() <= kLimit);
  if (result.whole) check(result.status >= 200 && result.status <= 599);
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto whole = run(text, size == 0 ? 1 : size);
  check(run(text, 1) == whole && run(text, 5) == whole);
  if (const auto request = net::parse_http_request(text)) {
    check(request->path.starts_with('/') && request->path.find_first_of("\r\n ") == std::string::npos);
    check(request->host.find_first_of("\r\n\x7f") == std::string::npos);
  }
  return 0;
}
