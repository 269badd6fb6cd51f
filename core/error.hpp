// Expected failures are values: Result<T> holds a value or a std::error_code of `Errc` (or of the system).
// Exceptions are for start-up and bugs only.
#pragma once

#include <boost/system/error_code.hpp>
#include <boost/system/result.hpp>
#include <string>

namespace core {

enum class Errc {
  ok = 0,
  timed_out,      // a Deadline passed
  closed,         // the peer closed the connection (FIN, close_notify)
  reset,          // the connection broke (RST, network error)
  line_too_long,  // more octets without a line end than allowed
  protocol,       // the peer broke the grammar of the protocol
  tls_failed,     // handshake or record failure
  refused,        // connection refused or unreachable
  not_found,      // no such thing
  exhausted,      // a budget or limit has nothing left
  malformed,      // bytes that cannot be parsed
  cancelled,      // our own side gave up
  io,             // local file input or output failed
};

const boost::system::error_category& error_category() noexcept;

// Found by ADL, so that Errc converts to boost::system::error_code.
boost::system::error_code make_error_code(Errc e) noexcept;

using Error = boost::system::error_code;

template <class T>
using Result = boost::system::result<T>;

// Text for logs: "timed out", "connection refused", ...
std::string describe(const Error& error);

}  // namespace core

template <>
struct boost::system::is_error_code_enum<core::Errc> : std::true_type {};
