#include "app/cli_docs.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <functional>

namespace app {
namespace {

using Each = std::function<void(const CLI::App&, const std::string& path)>;

// Every command that is shown, outer ones first; `path`: "queue list".
void for_each_command(const CLI::App& app, const std::string& path, const Each& each) {
  for (const auto* sub : app.get_subcommands([](const CLI::App* one) { return !one->get_group().empty(); })) {
    const auto here = path.empty() ? sub->get_name() : path + " " + sub->get_name();
    each(*sub, here);
    for_each_command(*sub, here, each);
  }
}

bool has_commands(const CLI::App& app) {
  return !app.get_subcommands([](const CLI::App* one) { return !one->get_group().empty(); }).empty();
}

// Told once for all commands.
bool is_common(const CLI::Option& option) {
  return option.check_lname("help") || option.check_lname("config") || option.check_lname("json");
}

std::string roff(std::string_view text) {
  std::string out;
  if (text.starts_with('.') || text.starts_with('\'')) out = "\\&";
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  return out;
}

// "{zone,json}" of "TEXT:{zone,json}", or "".
std::string choices(const CLI::Option& option) {
  const auto type = option.get_type_name();
  const auto begin = type.find('{'), end = type.rfind('}');
  return begin == std::string::npos || end < begin ? std::string() : type.substr(begin + 1, end - begin - 1);
}

std::string value_name(const CLI::Option& option) {
  if (option.get_type_size() == 0) return {};
  const auto list = choices(option);
  std::string out;
  for (const char c : list) out += c == ',' ? '|' : c;
  if (!out.empty()) return out;
  const auto type = option.get_type_name();
  return type.substr(0, type.find(':'));
}

std::string option_paragraph(const CLI::Option& option) {
  auto out = fmt::format(".TP\n\\fB{}\\fR", roff(option.get_name(false, true)));
  if (const auto value = value_name(option); !value.empty()) {
    const bool optional = option.get_items_expected_min() == 0;
    out += fmt::format(" \\fI{}{}{}\\fR", optional ? "[" : "", roff(value), optional ? "]" : "");
  }
  out += "\n" + roff(option.get_description());
  if (const auto preset = option.get_default_str(); !preset.empty()) out += fmt::format(" (default: {})", roff(preset));
  return out + "\n";
}

std::string command_section(const CLI::App& command, const std::string& path) {
  auto synopsis = "onward " + path;
  std::string paragraphs;
  bool options = false;
  for (const auto* option : command.get_options()) {
    if (is_common(*option)) continue;
    if (option->get_positional()) {
      const auto name = option->get_name(true);
      const auto shown = option->get_required() ? name : "[" + name + "]";
      synopsis += " " + shown + (option->get_items_expected_max() > 1 ? "..." : "");
      if (!option->get_description().empty())
        paragraphs += fmt::format(".TP\n\\fI{}\\fR\n{}\n", roff(name), roff(option->get_description()));
    } else {
      options = true;
      paragraphs += option_paragraph(*option);
    }
  }
  if (has_commands(command)) synopsis += command.get_require_subcommand_min() > 0 ? " COMMAND" : " [COMMAND]";
  if (options) synopsis += " [OPTIONS]";
  return fmt::format(".SS {}\n{}.\n{}", roff(synopsis), roff(command.get_description()), paragraphs);
}

constexpr std::string_view kHead =
    ".\\\" Written by `onward docs man` from app/command_line.cpp; do not edit.\n"
    ".TH ONWARD 1 \"\" \"Onward\" \"Onward\"\n"
    ".SH NAME\nonward \\- forward mail while its sender waits\n"
    ".SH SYNOPSIS\n\\fBonward\\fR \\fICOMMAND\\fR [\\fB\\-c\\fR \\fIFILE\\fR] [\\fB\\-\\-json\\fR] ...\n"
    ".SH DESCRIPTION\n"
    "One program is the daemon (\\fBonward serve\\fR) and all that is said to it. Commands that need the daemon ask it "
    "over\n\\fBadmin_socket\\fR; all others work without it.\n"
    ".SH COMMON OPTIONS\nThese stand before or behind the name of a command.\n"
    ".TP\n\\fB\\-c\\fR, \\fB\\-\\-config\\fR \\fIFILE\\fR\nthe configuration (default: "
    "\\fI/etc/onward/onward.toml\\fR)\n"
    ".TP\n\\fB\\-\\-json\\fR\nprint JSON\n"
    ".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nwhat a command takes\n"
    ".TP\n\\fB\\-\\-version\\fR\nthe version\n"
    ".SH COMMANDS\n";

constexpr std::string_view kTail =
    ".SH EXIT STATUS\n0: done. 1: a problem was found, or it was refused. 2: the command line is wrong. 75: no daemon "
    "answers; try later.\n"
    ".SH SIGNALS\nOf \\fBonward serve\\fR: SIGHUP reloads; SIGTERM and SIGINT drain and stop, a second one stops at "
    "once.\n"
    ".SH ENVIRONMENT\n.TP\n\\fBNO_COLOR\\fR\nwhen set and not empty, nothing is coloured\n"
    ".SH FILES\n.TP\n\\fI/etc/onward/onward.toml\\fR\nthe configuration, onward.toml(5)\n"
    ".TP\n\\fI/etc/onward/domains/*.toml\\fR\none file for each forwarded domain\n"
    ".TP\n\\fI/etc/onward/keys/\\fR\nDKIM keys and SRS secrets\n"
    ".TP\n\\fI/var/lib/onward/\\fR\nqueue, ledger, activity log\n"
    ".TP\n\\fI/run/onward/admin.sock\\fR\nthe admin socket\n"
    ".SH SEE ALSO\nonward.toml(5)\n";

std::string join(const std::vector<std::string>& words) {
  std::string out;
  for (const auto& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

std::string words_of(const CLI::App& app) {
  std::vector<std::string> words;
  for (const auto* sub : app.get_subcommands([](const CLI::App* one) { return !one->get_group().empty(); }))
    words.push_back(sub->get_name());
  for (const auto* option : app.get_options()) {
    if (option->get_group().empty()) continue;  // hidden
    for (const auto& name : option->get_lnames()) words.push_back("--" + name);
  }
  return join(words);
}

}  // namespace

std::string cli_man_page(const CLI::App& cli) {
  std::string out(kHead);
  for_each_command(cli, "", [&out](const CLI::App& command, const std::string& path) {
    // A group without work of its own is told by its members.
    if (command.get_require_subcommand_min() == 0) out += command_section(command, path);
  });
  return out + std::string(kTail);
}

std::string cli_bash_completion(const CLI::App& cli) {
  std::string paths, words = fmt::format("    '') words='{}' ;;\n", words_of(cli)), values;
  for_each_command(cli, "", [&](const CLI::App& command, const std::string& path) {
    paths += fmt::format("{}'{}'", paths.empty() ? "" : "|", path);
    words += fmt::format("    '{}') words='{}' ;;\n", path, words_of(command));
    for (const auto* option : command.get_options()) {
      auto list = choices(*option);
      for (char& c : list) {
        if (c == ',') c = ' ';
      }
      if (list.empty() || option->get_lnames().empty()) continue;
      values += fmt::format("    '{} --{}') words='{}' ;;\n", path, option->get_lnames().front(), list);
    }
  });
  return fmt::format(
      "# Written by `onward docs bash` from app/command_line.cpp; do not edit.\n"
      "_onward() {{\n"
      "  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD - 1]}} path='' words='' word next\n"
      "  for word in \"${{COMP_WORDS[@]:1:COMP_CWORD-1}}\"; do\n"
      "    next=\"${{path:+$path }}$word\"\n"
      "    case $next in\n      {}) path=$next ;;\n    esac\n"
      "  done\n"
      "  case \"$path $prev\" in\n{}"
      "    *' -c' | *' --config') words='' ;;\n"
      "    *) case $path in\n{}    esac ;;\n"
      "  esac\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
      "}}\n"
      "complete -o default -F _onward onward\n",
      paths, values, words);
}

}  // namespace app
