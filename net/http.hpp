// As much of HTTP/1.1 (RFC 9110, RFC 9112) as it takes to fetch one small file and to serve one: the messages, without
// sockets. Whatever is not needed is refused: no redirects, no compression, no kept connections. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.hpp"

namespace net {

inline constexpr std::size_t kMaxHttpHead = 16 * 1024;  // octets of a request's or response's lines and fields
inline constexpr std::size_t kMaxHttpFields = 100;

// One response, octets in as they come.
class HttpResponse {
 public:
  // A longer body is Errc::exhausted.
  explicit HttpResponse(std::size_t max_body) : max_body_(max_body) {}

  // whole: more octets are not looked at. Errors: protocol (also two lengths that differ, a transfer coding other than
  // chunked), exhausted.
  enum class Progress { unfinished, whole };
  core::Result<Progress> feed(std::string_view octets);
  // The connection has ended in order (FIN, or close_notify where there is TLS): the body may have ended with it.
  core::Result<void> finish();

  int status() const { return status_; }
  // The field's value; "" when there is none. The first of several.
  std::string_view field(std::string_view name) const;
  const std::string& body() const { return body_; }

 private:
  enum class State { head, body, to_end, chunk_size, chunk, chunk_end, trailer, whole };
  enum class Step { taken, starved };  // starved: more octets are needed for it
  core::Result<Step> step();
  core::Result<Step> take_head();
  core::Result<void> choose_framing();
  core::Result<Step> take_chunk_size();
  bool take_line(std::string& line);
  bool grow(std::uint64_t octets);

  std::size_t max_body_;
  State state_ = State::head;
  std::string pending_, body_;
  int status_ = 0;
  std::vector<std::pair<std::string, std::string>> fields_;  // names in lower case
  std::uint64_t left_ = 0;                                   // of the body, or of the chunk
  std::size_t trailer_ = 0;
};

// The head of a request: what a server of files needs of it.
struct HttpRequest {
  std::string method;  // as given
  std::string path;    // without the query
  std::string host;    // lower case, without port; "" when it was not said
  bool has_body = false;
};
// `head` ends in an empty line. Nothing: no request that we understand (400).
std::optional<HttpRequest> parse_http_request(std::string_view head);

}  // namespace net
