// resolv.conf(5): the servers, and the options that concern how long to wait. Search lists are not for mail.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "core/ip.hpp"

namespace dns {

struct ResolvConf {
  std::vector<core::IpAddress> servers;
  std::optional<unsigned> timeout;  // seconds
  std::optional<unsigned> attempts;
};

// Lines that are not understood are passed over, as the C library does.
ResolvConf parse_resolv_conf(std::string_view text);

}  // namespace dns
