#include "app/http_request.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/text.hpp"

namespace app {
namespace {

// RFC 9110 §5.6.2
bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return core::is_alnum(c) || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

bool is_visible(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

// Name ":" anything without control octets; no folding.
bool is_field(std::string_view line) {
  const auto colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) return false;
  const auto value = line.substr(colon + 1);
  return std::all_of(value.begin(), value.end(),
                     [](char c) { return c == '\t' || (c >= ' ' && c != '\x7f') || core::is_8bit(c); });
}

bool asks_for_body(std::string_view line) {
  const auto name = line.substr(0, line.find(':'));
  if (core::iequals(name, "Transfer-Encoding")) return true;
  return core::iequals(name, "Content-Length") && core::trim(line.substr(name.size() + 1)) != "0";
}

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
  auto head = octets.substr(0, end);
  const auto line = head.substr(0, head.find("\r\n"));
  head.remove_prefix(std::min(head.size(), line.size() + 2));
  const auto parts = core::split(line, ' ');
  const bool good_line = parts.size() == 3 && is_token(parts[0]) && parts[1].starts_with('/') && is_visible(parts[1]) &&
                         (parts[2] == "HTTP/1.1" || parts[2] == "HTTP/1.0");
  if (!good_line) return out;
  while (!head.empty()) {
    const auto field = head.substr(0, head.find("\r\n"));
    head.remove_prefix(std::min(head.size(), field.size() + 2));
    if (!is_field(field) || asks_for_body(field)) return out;
  }
  out.state = HttpRequest::State::good;
  out.method = parts[0];
  out.path = parts[1].substr(0, parts[1].find('?'));
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
