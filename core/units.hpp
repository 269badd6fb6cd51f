// Durations ("300s", "5m", "21d", "0") and sizes ("25 MiB", "512", "10 GiB") as configuration writes them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/clock.hpp"

namespace core {

// Units ms, s, m, h, d, w; several parts may follow each other ("1h30m"); "0" needs no unit.
std::optional<Milliseconds> parse_duration(std::string_view text);
// The shortest exact form: "300s" -> "5m".
std::string format_duration(Milliseconds duration);

// Units B, KiB, MiB, GiB, TiB (a blank before the unit is allowed); no unit: octets.
std::optional<std::uint64_t> parse_size(std::string_view text);
std::string format_size(std::uint64_t octets);

}  // namespace core
