#include "app/not_yet.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/text.hpp"

namespace app {
namespace {

// Nothing at present.
constexpr std::array<NotYet, 0> kTable{};

}  // namespace

const NotYet* find_not_yet(std::string_view key) {
  const auto it = std::find_if(kTable.begin(), kTable.end(), [key](const NotYet& entry) { return entry.key == key; });
  return it == kTable.end() ? nullptr : &*it;
}

bool asks_for_it(const NotYet& entry, std::string_view value) {
  const auto off = core::split(entry.off, '|');
  return entry.off == "-" || std::find(off.begin(), off.end(), value) == off.end();
}

std::string not_yet_message(const NotYet& entry) {
  constexpr std::string_view kWhat = "this version does not have that yet";
  if (entry.off == "-" || entry.off == "[]" || entry.off == "{}") return fmt::format("{}; leave it out", kWhat);
  const bool plain = entry.off == "false" || entry.off == "0";
  std::string right;
  for (const auto value : core::split(entry.off, '|')) {
    right += fmt::format("{}{}{}{}", right.empty() ? "" : " or ", plain ? "" : "\"", value, plain ? "" : "\"");
  }
  return fmt::format("{}; leave it out, or write {}", kWhat, right);
}

std::string inactive_defaults(const std::set<std::string>& written) {
  std::string out;
  for (const auto& entry : kTable) {
    if (entry.preset == NotYet::Default::on && !written.contains(std::string(entry.key))) {
      out += (out.empty() ? "" : ", ") + std::string(entry.key);
    }
  }
  return out;
}

}  // namespace app
