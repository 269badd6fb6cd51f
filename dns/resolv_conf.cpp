#include "dns/resolv_conf.hpp"

#include <algorithm>

#include "core/text.hpp"

namespace dns {
namespace {

constexpr std::size_t kMaxServers = 8;
// The C library's own limits (RES_MAXRETRANS, RES_MAXRETRY).
constexpr unsigned kMaxTimeout = 30;
constexpr unsigned kMaxAttempts = 5;

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (true) {
    line = core::trim(line);
    if (line.empty()) return words;
    const auto end = std::min(line.find_first_of(" \t\r"), line.size());
    words.push_back(line.substr(0, end));
    line.remove_prefix(end);
    while (line.starts_with('\r')) line.remove_prefix(1);
  }
}

void set_option(std::optional<unsigned>& option, std::string_view word, std::string_view name, unsigned most) {
  if (!word.starts_with(name)) return;
  const auto value = core::parse_number(word.substr(name.size()));
  if (value && *value > 0) option = static_cast<unsigned>(std::min<unsigned long long>(*value, most));
}

}  // namespace

ResolvConf parse_resolv_conf(std::string_view text) {
  ResolvConf conf;
  for (const auto line : core::split(text, '\n')) {
    const auto words = words_of(line.substr(0, line.find_first_of("#;")));
    if (words.size() < 2) continue;
    if (words[0] == "nameserver") {
      const auto ip = core::IpAddress::parse(words[1]);
      if (ip && conf.servers.size() < kMaxServers) conf.servers.push_back(*ip);
    } else if (words[0] == "options") {
      for (const auto word : words) {
        set_option(conf.timeout, word, "timeout:", kMaxTimeout);
        set_option(conf.attempts, word, "attempts:", kMaxAttempts);
      }
    }
  }
  return conf;
}

}  // namespace dns
