#include "app/config_page.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "app/config_meanings.hpp"
#include "app/config_text.hpp"
#include "core/text.hpp"

namespace app {
namespace {

// Files in which every section is written, so that every key is asked for.
constexpr std::string_view kEveryMainSection = R"(
hostname = "mx.forward.example"
domains = []
postmaster = "ops@example.org"
listener = [ {address = "[::]:25"} ]
tls = {certificate = "a", key = "b", more = [ {certificate = "c", key = "d"} ]}
srs = {domain = "forward.example", secrets_file = "e"}
dkim = {domain = "forward.example", keys = [ {selector = "f", file = "g"} ]}
access = {rules = [ {match = "192.0.2.0/24", action = "block"} ]}
dnsbl = [ {name = "h", zone = "bl.example"} ]
policy = {exceptions = [ {match = "192.0.2.0/24", skip = ["spf"]} ]}
delivery = {source_ipv4 = [ {address = "192.0.2.1"} ], source_ipv6 = [ {address = "2001:db8::1"} ]}
route = [ {domain = "inbox.example", via = ["192.0.2.2:25"]} ]
)";
constexpr std::string_view kEveryDomainSection = R"(
name = "example.org"
dkim = [ {selector = "f", file = "g"} ]
rule = [ {address = "sales", to = ["a@inbox.example"], custody = "queue"} ]
catch_all = {to = ["a@inbox.example"], custody = "queue"}
expect = [ {rcpt = "sales@example.org", to = ["a@inbox.example"]} ]
)";

std::string path_of(const SectionMeaning& section, const KeyMeaning& key) {
  return section.path.empty() ? std::string(key.key) : fmt::format("{}.{}", section.path, key.key);
}

std::string range_of(const Asked& asked) {
  if (asked.words.empty()) return asked.range;
  return fmt::format("`{}`", fmt::join(asked.words, "`, `"));
}

std::string row(const KeyMeaning& key, const Asked& asked) {
  auto preset = std::string(key.preset);
  if (preset.empty() && asked.required) preset = "required";
  if (preset.empty() && !asked.preset.empty()) preset = fmt::format("`{}`", asked.preset);
  const auto range = key.range.empty() ? range_of(asked) : std::string(key.range);
  return fmt::format("| `{}` | {} | {} | {} | {} |\n", key.key, preset, range, key.meaning, key.since);
}

bool is_word(char c) {
  return core::is_alnum(c) || c == '_';
}

// Does the text hold `word` as a whole word?
bool names(std::string_view text, std::string_view word) {
  for (auto at = text.find(word); at != text.npos; at = text.find(word, at + 1)) {
    const auto end = at + word.size();
    if ((at == 0 || !is_word(text[at - 1])) && (end == text.size() || !is_word(text[end]))) return true;
  }
  return false;
}

// Is `path` a part of a list or table that a line describes?
bool is_described_with_its_whole(std::string_view path,
                                 const std::map<std::string, const KeyMeaning*, std::less<>>& all) {
  const auto dot = path.rfind('.');
  if (dot == path.npos) return false;
  const auto whole = all.find(path.substr(0, dot));
  const auto part = path.substr(dot + 1);
  return whole != all.end() && (names(whole->second->range, part) || names(whole->second->meaning, part));
}

void compare(ConfigKind kind, std::vector<std::string>& problems) {
  const auto asked = asked_keys(kind);
  std::map<std::string, const KeyMeaning*, std::less<>> told;
  for (const auto& section : configuration_meanings()) {
    if (section.kind != kind) continue;
    for (const auto& key : section.keys) {
      const auto path = path_of(section, key);
      if (!told.emplace(path, &key).second) problems.push_back(path + ": is there twice");
      const auto it = asked.find(path);
      if (it == asked.end()) {
        problems.push_back(path + ": nobody asks for it");
      } else if (!key.range.empty() && !range_of(it->second).empty()) {
        problems.push_back(fmt::format("{}: the reader knows the range, {}", path, range_of(it->second)));
      }
    }
  }
  const auto is_section = [&](const std::string& path) {
    const auto next = asked.lower_bound(path + ".");
    return next != asked.end() && next->first.starts_with(path + ".");
  };
  for (const auto& [path, how] : asked) {
    // What [catch_all] takes, [[rule]] describes.
    const auto as_told = path.starts_with("catch_all.") ? "rule" + path.substr(path.find('.')) : path;
    if (told.contains(as_told) || is_section(path) || is_described_with_its_whole(path, told)) continue;
    problems.push_back(path + ": has no meaning");
  }
}

}  // namespace

AskedKeys asked_keys(ConfigKind kind) {
  AskedKeys asked;
  Report report;
  report.asked = &asked;
  if (kind == ConfigKind::main) {
    parse_main(kEveryMainSection, "onward.toml", report);
  } else {
    parse_domain(kEveryDomainSection, "domain.toml", report);
  }
  return asked;
}

std::string configuration_page() {
  auto out = std::string(configuration_intro());
  const auto main = asked_keys(ConfigKind::main), domain = asked_keys(ConfigKind::domain);
  for (const auto& section : configuration_meanings()) {
    out += fmt::format("\n{}\n\n", section.heading);
    if (!section.before.empty()) out += fmt::format("{}\n\n", section.before);
    out += "| key | default | range | meaning | since |\n|---|---|---|---|---|\n";
    const auto& asked = section.kind == ConfigKind::main ? main : domain;
    for (const auto& key : section.keys) {
      const auto it = asked.find(path_of(section, key));
      if (it != asked.end()) out += row(key, it->second);
    }
    if (!section.after.empty()) out += fmt::format("\n{}\n", section.after);
  }
  return out;
}

std::vector<std::string> configuration_page_problems() {
  std::vector<std::string> problems;
  compare(ConfigKind::main, problems);
  compare(ConfigKind::domain, problems);
  return problems;
}

}  // namespace app
