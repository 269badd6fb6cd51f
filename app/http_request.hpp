// The little of HTTP/1.1 (RFC 9112) that a scraper needs, on net/http.hpp: the head of a request, found in what has
// come and judged, and a whole response. Bodies of requests are not taken. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace app {

inline constexpr std::size_t kMaxHttpHead = 8 * 1024;  // octets of request line and fields, with the empty line

struct HttpRequest {
  enum class State { incomplete, bad, good } state = State::incomplete;
  std::string method;  // "GET"
  std::string path;    // "/metrics", without the query
};

// `octets`: what has come so far. An incomplete head of kMaxHttpHead octets or more is bad.
HttpRequest parse_http_request(std::string_view octets);

// A whole response. `body` is left out of an answer to HEAD, its length is not.
struct HttpResponse {
  int status = 200;
  std::string_view type = "text/plain; charset=utf-8";
  std::string body;
};
std::string to_octets(const HttpResponse& response, bool head_only);

}  // namespace app
