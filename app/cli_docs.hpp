// The command line as documents: onward(1) and the completions of three shells, all walked off the very parser that
// reads it, so that no command or option is missing in them. Pure.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace app {

// docs/man/onward.1, in man(7).
std::string cli_man_page(const CLI::App& cli);
// conf/completion/onward.bash: commands, their options, the words an option takes; file names otherwise.
std::string cli_bash_completion(const CLI::App& cli);
// conf/completion/_onward: the same, with what each is for.
std::string cli_zsh_completion(const CLI::App& cli);
// conf/completion/onward.fish: as zsh's.
std::string cli_fish_completion(const CLI::App& cli);

}  // namespace app
