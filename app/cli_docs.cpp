#include "app/cli_docs.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <vector>

namespace app {
namespace {

using Each = std::function<void(const CLI::App&, const std::string& path)>;

// What is not hidden.
std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* one) { return !one->get_group().empty(); });
}

// Likewise, without what is told by its place.
std::vector<const CLI::Option*> options_of(const CLI::App& app) {
  return app.get_options([](const CLI::Option* one) { return !one->get_group().empty() && !one->get_positional(); });
}

// Every command that is shown, outer ones first; `path`: "queue list".
void for_each_command(const CLI::App& app, const std::string& path, const Each& each) {
  for (const auto* sub : commands_of(app)) {
    const auto here = path.empty() ? sub->get_name() : path + " " + sub->get_name();
    each(*sub, here);
    for_each_command(*sub, here, each);
  }
}

// Likewise, the program itself first, as "".
void for_each_place(const CLI::App& cli, const Each& each) {
  each(cli, "");
  for_each_command(cli, "", each);
}

// Told once for all commands.
bool is_common(const CLI::Option& option) {
  return option.check_lname("help") || option.check_lname("config") || option.check_lname("json");
}

// With a backslash before each of `special`.
std::string escaped(std::string_view text, std::string_view special) {
  std::string out;
  for (const char c : text) {
    if (special.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
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

// "zone json" of "TEXT:{zone,json}" when `separator` is a blank, or "".
std::string choices(const CLI::Option& option, char separator) {
  const auto type = option.get_type_name();
  const auto begin = type.find('{'), end = type.rfind('}');
  if (begin == std::string::npos || end < begin) return {};
  auto list = type.substr(begin + 1, end - begin - 1);
  std::replace(list.begin(), list.end(), ',', separator);
  return list;
}

bool takes_value(const CLI::Option& option) {
  return !option.get_type_name().empty();
}

// `--diff` alone is something, too.
bool value_is_optional(const CLI::Option& option) {
  return option.get_items_expected_min() == 0;
}

// "TEXT" of "TEXT:{zone,json}".
std::string value_word(const CLI::Option& option) {
  const auto type = option.get_type_name();
  return type.substr(0, type.find(':'));
}

std::string value_name(const CLI::Option& option) {
  if (!takes_value(option)) return {};
  if (auto list = choices(option, '|'); !list.empty()) return list;
  return value_word(option);
}

std::string option_paragraph(const CLI::Option& option) {
  auto out = fmt::format(".TP\n\\fB{}\\fR", roff(option.get_name(false, true)));
  if (const auto value = value_name(option); !value.empty()) {
    const bool optional = value_is_optional(option);
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
  if (!commands_of(command).empty()) synopsis += command.get_require_subcommand_min() > 0 ? " COMMAND" : " [COMMAND]";
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
  for (const auto* sub : commands_of(app)) words.push_back(sub->get_name());
  for (const auto* option : options_of(app)) {
    for (const auto& name : option->get_lnames()) words.push_back("--" + name);
  }
  return join(words);
}

// In single quotes, as bash and zsh read it.
std::string shell_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string fish_quoted(std::string_view text) {
  return "'" + escaped(text, "\\'") + "'";
}

// Every command, for a `case`.
std::string quoted_paths(const CLI::App& cli, std::string_view separator) {
  std::string out;
  for_each_command(cli, "", [&](const CLI::App&, const std::string& path) {
    out += (out.empty() ? "" : std::string(separator)) + shell_quoted(path);
  });
  return out;
}

// Whether something else than commands and options may stand behind it.
bool takes_words(const CLI::App& command) {
  return std::ranges::any_of(command.get_options(), &CLI::Option::get_positional);
}

// A line of _arguments for each name of the option: '--state=[active, deferred or hold]:TEXT:(active deferred hold)'.
std::string zsh_specs(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const auto& name : option.get_snames()) names.push_back("-" + name);
  for (const auto& name : option.get_lnames()) names.push_back("--" + name);
  const bool repeats = option.get_items_expected_max() > 1;
  std::string value, out;
  if (takes_value(option)) {
    const auto list = choices(option, ' ');
    value = fmt::format("{}:{}:{}", value_is_optional(option) ? ":" : "", value_word(option),
                        list.empty() ? "_files" : "(" + list + ")");
  }
  for (const auto& name : names) {
    const auto once = repeats ? "*" : names.size() > 1 ? "(" + join(names) + ")" : "";
    const auto* const joint = !takes_value(option) || value_is_optional(option) ? ""
                              : name.starts_with("--")                          ? "="
                                                                                : "+";
    const auto said = escaped(option.get_description(), "\\[]:");
    out += fmt::format("      {}\n", shell_quoted(fmt::format("{}{}{}[{}]{}", once, name, joint, said, value)));
  }
  return out;
}

// What may stand where no option does. The commands are words, too: '*'.
std::string zsh_rest(const CLI::App& command) {
  const bool files = takes_words(command);
  if (commands_of(command).empty()) return files ? "*:word:_files" : "*: :";
  return fmt::format("*: :{{_describe command commands{}}}", files ? "; _files" : "");
}

std::string fish_flags(const CLI::Option& option) {
  std::string out;
  for (const auto& name : option.get_snames()) out += " -s " + name;
  for (const auto& name : option.get_lnames()) out += " -l " + name;
  if (const auto list = choices(option, ' '); !list.empty()) {
    out += " -x -a " + fish_quoted(list);
  } else if (takes_value(option) && !value_is_optional(option)) {
    out += " -r -F";
  }
  return out + " -d " + fish_quoted(option.get_description());
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
  std::string words, values;
  for_each_place(cli, [&](const CLI::App& command, const std::string& path) {
    words += fmt::format("    '{}') words='{}' ;;\n", path, words_of(command));
    for (const auto* option : options_of(command)) {
      const auto list = choices(*option, ' ');
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
      quoted_paths(cli, "|"), values, words);
}

std::string cli_zsh_completion(const CLI::App& cli) {
  std::string places;
  for_each_place(cli, [&](const CLI::App& command, const std::string& path) {
    places += fmt::format("  ('{}')\n", path);
    std::string commands;
    for (const auto* sub : commands_of(command))
      commands += "\n      " + shell_quoted(sub->get_name() + ":" + sub->get_description());
    if (!commands.empty()) places += fmt::format("    commands=({}\n    )\n", commands);
    places += "    words_taken=(\n";
    for (const auto* option : options_of(command)) places += zsh_specs(*option);
    places += fmt::format("      {}\n    ) ;;\n", shell_quoted(zsh_rest(command)));
  });
  return fmt::format(
      "#compdef onward\n"
      "# Written by `onward docs zsh` from app/command_line.cpp; do not edit.\n"
      "local at='' word\n"
      "local -a commands words_taken\n"
      "for word in \"${{(@)words[2,CURRENT-1]}}\"; do\n"
      "  case \"${{at:+$at }}$word\" in\n    ({}) at=\"${{at:+$at }}$word\" ;;\n  esac\n"
      "done\n"
      "case $at in\n{}esac\n"
      "_arguments : \"${{words_taken[@]}}\"\n",
      quoted_paths(cli, "|"), places);
}

std::string cli_fish_completion(const CLI::App& cli) {
  std::string lines;
  for_each_place(cli, [&](const CLI::App& command, const std::string& path) {
    const auto here = fmt::format("complete -c onward -n '__onward_at{}{}'", path.empty() ? "" : " ", path);
    // -f: no file names; where one may stand instead of a command, they are offered beside.
    if (!takes_words(command)) lines += here + " -f\n";
    for (const auto* sub : commands_of(command))
      lines += fmt::format("{} -a {} -d {}\n", here, sub->get_name(), fish_quoted(sub->get_description()));
    for (const auto* option : options_of(command)) lines += here + fish_flags(*option) + "\n";
  });
  return fmt::format(
      "# Written by `onward docs fish` from app/command_line.cpp; do not edit.\n"
      "function __onward_at\n"
      "  set -l at\n"
      "  set -l words (commandline -opc)\n"
      "  for word in $words[2..]\n"
      "    switch (string join -- ' ' $at $word)\n      case {}\n        set -a at $word\n    end\n"
      "  end\n"
      "  test \"$at\" = \"$argv\"\n"
      "end\n{}",
      quoted_paths(cli, " "), lines);
}

}  // namespace app
