// Writes several new files as one step: none is ever written over, and when one cannot be written, those already
// written are taken away again. Blocking; for commands.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "core/secret_file.hpp"

namespace app {

class NewFiles {
 public:
  // What is made belongs to this account when we are root.
  explicit NewFiles(core::SecretUser owner) : owner_(owner) {}
  ~NewFiles();  // takes away what was made, unless keep() was called
  NewFiles(const NewFiles&) = delete;

  enum class Owner { us, account };
  // Makes the folder when it is missing (with the ones above it). "" or what is wrong.
  std::string folder(const std::string& path, mode_t mode, Owner owner);
  // The file must not exist. "" or what is wrong.
  std::string file(const std::string& path, std::string_view content, mode_t mode, Owner owner);
  void keep() { made_.clear(); }

 private:
  std::string give(const std::string& path, Owner owner);
  core::SecretUser owner_;
  std::vector<std::string> made_;  // in order
};

}  // namespace app
