#include "net/tlsa.hpp"

#include <fmt/format.h>

#include "core/text.hpp"

namespace net {
namespace {

constexpr std::size_t kParameters = 3;

}  // namespace

std::string Tlsa::to_string() const {
  return fmt::format("{} {} {} {}", usage, selector, matching, core::hex(data));
}

std::optional<Tlsa> parse_tlsa(std::string_view rdata) {
  if (rdata.size() <= kParameters) return std::nullopt;
  Tlsa record;
  record.usage = static_cast<std::uint8_t>(rdata[0]);
  record.selector = static_cast<std::uint8_t>(rdata[1]);
  record.matching = static_cast<std::uint8_t>(rdata[2]);
  record.data = rdata.substr(kParameters);
  return record;
}

}  // namespace net
