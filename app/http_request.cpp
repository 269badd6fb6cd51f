#include "app/http_request.hpp"

#include <fmt/format.h>

#include <utility>

#include "net/http.hpp"

namespace app {
namespace {

std::string_view reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    default:
      return "Service Unavailable";
  }
}

}  // namespace

HttpRequest parse_http_request(std::string_view octets) {
  HttpRequest out;
  const auto end = octets.find("\r\n\r\n");
  if (end == std::string_view::npos) {
    if (octets.size() >= kMaxHttpHead) out.state = HttpRequest::State::bad;
    return out;
  }
  out.state = HttpRequest::State::bad;
  if (end + 4 > kMaxHttpHead) return out;
  auto request = net::parse_http_request(octets.substr(0, end + 4));
  if (!request || request->has_body) return out;
  out.state = HttpRequest::State::good;
  out.method = std::move(request->method);
  out.path = std::move(request->path);
  return out;
}

std::string to_octets(const HttpResponse& response, bool head_only) {
  return fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\nX-Content-Type-Options: "
      "nosniff\r\nConnection: close\r\n{}\r\n{}",
      response.status, reason(response.status), response.type, response.body.size(),
      response.status == 405 ? "Allow: GET, HEAD\r\n" : "",
      head_only ? std::string_view() : std::string_view(response.body));
}

}  // namespace app
