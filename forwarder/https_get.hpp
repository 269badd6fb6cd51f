// Fetches one small file by HTTPS. The sender of a message chooses whose MTA-STS policy we ask for, so nothing is
// followed: no redirects, no private addresses, one limit of octets, one deadline for all of it.
#pragma once

#include <string>

#include "dns/resolver.hpp"
#include "net/tls.hpp"

namespace forwarder {

struct HttpsMeans {  // outlives the call
  dns::Resolver& resolver;
  const net::TlsClient& client;  // with roots
};

struct HttpsRequest {
  std::string host;  // name; verified against the server's certificate
  std::string path;
  std::size_t max_octets = 0;
  bool private_addresses = false;  // delivery.private_destinations
  std::uint16_t port = 443;
};

struct HttpsAnswer {
  enum class Result {
    ok,
    unreachable,  // no address, no connection, no answer in time, broken HTTP
    untrusted,    // its certificate
    refused,      // a status other than 200, or no text/plain
  } result = Result::unreachable;
  std::string body;
  std::string why;  // in words, when not ok
};
// Only text/plain is taken, as RFC 8461 §3.3 wants.
net::Awaitable<HttpsAnswer> https_get(HttpsMeans means, HttpsRequest request, core::Deadline deadline);

}  // namespace forwarder
