// The files a configuration is made of: found, read, and looked at with the eyes of the user that reads them at a
// reload. Blocking; for start-up, reload and commands.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/secret_file.hpp"

namespace app {

inline constexpr std::size_t kMaxConfigFile = 64U << 20;  // octets of one TOML file
inline constexpr std::size_t kMaxDomainFiles = 100'000;

// Relative paths start at the folder of `file`.
std::string path_beside(const std::string& file, std::string_view path);

// The whole of a plain file; the error says why not.
core::Explained<std::string> read_file(const std::string& path, std::size_t most);

// The files that match, in the order of their names. A pattern without * ? [ is a file that must exist.
core::Explained<std::vector<std::string>> find_files(const std::string& pattern);

struct Account {
  bool exists = false;
  core::SecretUser ids;
};
Account find_account(const std::string& name);

// As root: those of `paths` that the account could not open for reading. Asks the kernel, in a child that has become
// it.
std::vector<std::string> unreadable_for(const std::string& user, const std::vector<std::string>& paths);

}  // namespace app
