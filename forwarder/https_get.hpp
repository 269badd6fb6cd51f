// One request by HTTPS: fetches a small file, or posts one. The sender of a message chooses whose MTA-STS policy we ask
// for, so nothing is followed: no redirects, no private addresses, one limit of octets, one deadline for all of it.
#pragma once

#include <string>

#include "dns/resolver.hpp"
#include "net/tls.hpp"

namespace forwarder {

struct HttpsMeans {  // outlives the call
  dns::Resolver& resolver;
  const net::TlsClient& client;  // with roots for a GET
};

struct HttpsRequest {
  // get: only text/plain with status 200 is taken (RFC 8461 §3.3). post: any 2xx, whatever the certificate, since what
  // is told is no secret and arrives rather than not (RFC 8460 §3).
  enum class Method { get, post } method = Method::get;
  std::string host;  // name; verified against the server's certificate
  std::string path;
  std::string content_type, body;  // of a post
  std::size_t max_octets = 0;      // of the answer's body
  bool private_addresses = false;  // delivery.private_destinations
  std::uint16_t port = 443;
};

struct HttpsAnswer {
  enum class Result {
    ok,
    unreachable,  // no address, no connection, no answer in time, broken HTTP
    untrusted,    // its certificate
    refused,      // another status, or no text/plain
  } result = Result::unreachable;
  std::string body;
  std::string why;  // in words, when not ok
};
net::Awaitable<HttpsAnswer> https_request(HttpsMeans means, HttpsRequest request, core::Deadline deadline);

}  // namespace forwarder
