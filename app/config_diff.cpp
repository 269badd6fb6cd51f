#include "app/config_diff.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "app/setup.hpp"
#include "app/toml_reader.hpp"

namespace app {
namespace {

struct Value {
  std::string text;
  std::string element;  // the innermost element of a list that it belongs to, "rule[sales]"; "": none
};

// A file as "path of a key" -> value, with the elements of lists of tables by name, and the order of those lists. A
// name may hold dots and brackets, so what belongs to what is kept, not read off the paths.
struct Flat {
  std::map<std::string, Value> values;
  std::map<std::string, std::vector<std::string>> order;  // list -> its elements
};

std::string value_text(const toml::node& node) {
  if (const auto* text = node.as_string()) return toml_string(text->get());
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  if (const auto* number = node.as_floating_point()) return fmt::format("{}", number->get());
  std::string out;
  if (const auto* list = node.as_array()) {
    for (const auto& element : *list) out += (out.empty() ? "" : ", ") + value_text(element);
    return "[" + out + "]";
  }
  if (const auto* table = node.as_table()) {
    for (const auto& [key, value] : *table) {
      out += fmt::format("{}{} = {}", out.empty() ? "" : ", ", std::string_view(key.str()), value_text(value));
    }
    return "{" + out + "}";
  }
  return "?";
}

// What people call an element of a list of tables.
std::string name_of(const toml::table& table) {
  static constexpr std::array<std::string_view, 7> kNames{"address", "pattern", "name",    "domain",
                                                          "rcpt",    "match",   "selector"};
  for (const auto key : kNames) {
    if (const auto* text = table.get_as<std::string>(key)) return text->get();
  }
  return {};
}

bool holds_tables(const toml::array& list) {
  return !list.empty() && std::all_of(list.begin(), list.end(), [](const auto& element) { return element.is_table(); });
}

void flatten(const toml::table& table, const std::string& path, const std::string& element, Flat& out) {
  for (const auto& [key, node] : table) {
    const auto here = path.empty() ? std::string(key.str()) : path + "." + std::string(key.str());
    if (const auto* inner = node.as_table()) {
      flatten(*inner, here, element, out);
      continue;
    }
    const auto* list = node.as_array();
    if (list == nullptr || !holds_tables(*list)) {
      out.values[here] = {value_text(node), element};
      continue;
    }
    std::set<std::string> seen;
    for (std::size_t i = 0; i < list->size(); ++i) {
      const auto& one = *list->get(i)->as_table();
      auto name = name_of(one);
      if (name.empty()) name = std::to_string(i + 1);
      while (!seen.insert(name).second) name += "'";
      const auto at = fmt::format("{}[{}]", here, name);
      out.order[here].push_back(name);
      // An element of its own even when it is empty.
      out.values[at] = {"", at};
      flatten(one, at, at, out);
    }
  }
}

Flat flat(const ConfigSource& source) {
  Flat out;
  Report ignored;
  if (const auto table = parse_toml(source.content, source.path, ignored)) flatten(*table, "", "", out);
  return out;
}

bool is_secret(const std::string& key) {
  return key.starts_with("dnsbl[") && key.ends_with("].zone");
}

std::string shown(const std::string& key, const std::string& value) {
  return is_secret(key) ? "(not shown)" : value;
}

// Everything that an element has, in one piece.
std::string whole(const Flat& flat, const std::string& element) {
  std::string out;
  for (auto it = flat.values.lower_bound(element + "."); it != flat.values.end(); ++it) {
    if (!it->first.starts_with(element + ".")) break;
    out += fmt::format("{}{} = {}", out.empty() ? "" : ", ", it->first.substr(element.size() + 1),
                       shown(it->first, it->second.text));
  }
  return out;
}

void diff_order(const std::string& file, const Flat& before, const Flat& after, std::vector<std::string>& out) {
  for (const auto& [list, names] : after.order) {
    const auto old = before.order.find(list);
    if (old == before.order.end()) continue;
    const auto common = [](const std::vector<std::string>& of, const std::vector<std::string>& in) {
      std::vector<std::string> kept;
      for (const auto& name : of) {
        if (std::find(in.begin(), in.end(), name) != in.end()) kept.push_back(name);
      }
      return kept;
    };
    if (common(names, old->second) != common(old->second, names))
      out.push_back(fmt::format("{}: {}: in another order", file, list));
  }
}

void diff_file(const std::string& file, const Flat& before, const Flat& after, std::vector<std::string>& out) {
  std::set<std::string> told;
  const auto tell_element = [&](const std::string& element, const Flat& in, const Flat& not_in, const char* what) {
    if (element.empty() || not_in.values.contains(element)) return false;
    if (told.insert(element).second)
      out.push_back(fmt::format("{}: {}: {}: {}", file, element, what, whole(in, element)));
    return true;
  };
  for (const auto& [key, value] : after.values) {
    if (tell_element(value.element, after, before, "added")) continue;
    const auto old = before.values.find(key);
    if (old == before.values.end()) {
      out.push_back(fmt::format("{}: {}: added: {}", file, key, shown(key, value.text)));
    } else if (old->second.text != value.text) {
      out.push_back(fmt::format("{}: {}: {} -> {}", file, key, shown(key, old->second.text), shown(key, value.text)));
    }
  }
  for (const auto& [key, value] : before.values) {
    if (tell_element(value.element, before, after, "removed")) continue;
    if (!after.values.contains(key))
      out.push_back(fmt::format("{}: {}: removed: {}", file, key, shown(key, value.text)));
  }
  diff_order(file, before, after, out);
}

}  // namespace

std::vector<std::string> diff_sources(const std::vector<ConfigSource>& before, const std::vector<ConfigSource>& after) {
  std::vector<std::string> out;
  std::map<std::string, const ConfigSource*> old;
  for (const auto& source : before) old[source.path] = &source;
  std::set<std::string> seen;
  for (const auto& source : after) {
    if (!seen.insert(source.path).second) continue;  // a key that is used twice
    const auto was = old.find(source.path);
    if (was == old.end()) {
      out.push_back(source.path + ": a new file");
      continue;
    }
    if (was->second->content == source.content) continue;
    if (source.kind == ConfigSource::Kind::opaque) {
      out.push_back(source.path + ": changed");
    } else {
      diff_file(source.path, flat(*was->second), flat(source), out);
    }
  }
  for (const auto& source : before) {
    if (seen.insert(source.path).second) out.push_back(source.path + ": no longer used");
  }
  return out;
}

std::vector<std::string> restart_needed(const Config& before, const Config& after) {
  std::vector<std::string> out;
  const auto look = [&out](std::string_view name, bool changed) {
    if (changed) out.push_back(fmt::format("{} changes with the next restart only", name));
  };
  look("threads", before.threads != after.threads);
  look("state_dir", before.state_dir != after.state_dir);
  look("admin_socket", before.admin_socket != after.admin_socket);
  look("user", before.user != after.user);
  return out;
}

}  // namespace app
