// A TLS client and what it insists on, for tests.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "net/stream.hpp"
#include "net/tls.hpp"

namespace net::testing {

struct Caller {
  std::shared_ptr<const TlsClient> client;
  TlsDemand::Verify verify = TlsDemand::Verify::none;

  Awaitable<core::Result<void>> call(Stream& stream, std::string name, core::Deadline deadline) const {
    TlsDemand demand;
    demand.verify = verify;
    demand.server_name = std::move(name);
    co_return co_await stream.start_tls(*client, std::move(demand), deadline);
  }
};

inline Caller make_caller(TlsDemand::Verify verify, const std::string& ca_file = "") {
  using Verify = TlsDemand::Verify;
  std::string error;
  const bool rooted = verify == Verify::roots || verify == Verify::watch;
  auto client = TlsClient::make(rooted ? TlsClient::Roots::load : TlsClient::Roots::none, ca_file, error);
  EXPECT_TRUE(client) << error;
  return {std::move(client), verify};
}

}  // namespace net::testing
