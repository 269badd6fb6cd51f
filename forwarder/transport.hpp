// What all shards know together about transport security: policies kept, next hops that have had TLS, and where the
// outcome of each session is told. Made once by app; outlives the engines.
#pragma once

#include "core/clock.hpp"
#include "forwarder/sts_store.hpp"
#include "forwarder/tls_memory.hpp"
#include "forwarder/tls_report.hpp"

namespace forwarder {

struct Transport {
  StsStore policies;
  TlsMemory memory;
  TlsResultSink* results = nullptr;  // who is told; may be nobody

  Transport() = default;
  Transport(const Transport&) = delete;
};

}  // namespace forwarder
