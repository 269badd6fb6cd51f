#include "core/error.hpp"

namespace core {
namespace {

class Category final : public boost::system::error_category {
 public:
  const char* name() const noexcept override { return "onward"; }
  std::string message(int value) const override {
    switch (static_cast<Errc>(value)) {
      case Errc::ok:
        return "success";
      case Errc::timed_out:
        return "timed out";
      case Errc::closed:
        return "connection closed by the peer";
      case Errc::reset:
        return "connection lost";
      case Errc::line_too_long:
        return "line too long";
      case Errc::protocol:
        return "protocol error";
      case Errc::tls_failed:
        return "TLS failed";
      case Errc::refused:
        return "connection refused";
      case Errc::not_found:
        return "not found";
      case Errc::exhausted:
        return "limit reached";
      case Errc::malformed:
        return "malformed";
      case Errc::cancelled:
        return "cancelled";
      case Errc::io:
        return "input or output failed";
    }
    return "unknown";
  }
};

}  // namespace

const boost::system::error_category& error_category() noexcept {
  static const Category category;
  return category;
}

boost::system::error_code make_error_code(Errc e) noexcept {
  return {static_cast<int>(e), error_category()};
}

std::string describe(const Error& error) {
  return error ? error.message() : "success";
}

}  // namespace core
