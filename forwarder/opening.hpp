// The first words with a next hop: greeting, EHLO, STARTTLS as the TLS plan wants it, EHLO again. What comes of it is a
// session in which nothing of a message has been said yet; where the plan forbids clear text, nothing ever is.
#pragma once

#include <memory>
#include <string>

#include "forwarder/tls_policy.hpp"
#include "forwarder/upstream.hpp"

namespace forwarder {

// How to open a session.
struct OpenSettings {
  Protocol protocol = Protocol::smtp;
  const DeliverySettings* delivery = nullptr;  // of the Config, which outlives the call
  std::string hostname;
  std::shared_ptr<const net::TlsClient> tls_client;  // null: no TLS, whatever is offered
  TlsPlan plan;
};

// What became of TLS, on the first connection when there were two.
struct TlsSeen {
  enum class What {
    nothing,  // it did not get that far, or TLS was not wanted
    not_offered,
    refused,  // STARTTLS was offered, and answered with 4xx or 5xx
    failed,   // the handshake, or somebody meddled with it (TL-03)
    done,
  } what = What::nothing;
  net::TlsFault fault = net::TlsFault::none;  // of `failed`; with `done` what a watched policy would have minded
  std::string error;                          // in words
};

// A session that said EHLO, or why there is none.
struct Opened {
  std::unique_ptr<Upstream> upstream;
  Judgement judgement;     // when there is no upstream
  Endpoint endpoint;       // that was tried last
  core::IpAddress source;  // our own address there
  TlsSeen tls;
};

// Speaks on a connected stream to `endpoint` of `host`. Where the plan allows clear text after a failed handshake, it
// connects once more and stays plain; octets behind the 220 of STARTTLS never lead to that (TL-03).
net::Awaitable<Opened> open_session(OpenSettings settings, std::unique_ptr<net::Stream> stream, std::string host,
                                    Endpoint endpoint, core::Metrics& metrics, core::Deadline deadline);

}  // namespace forwarder
