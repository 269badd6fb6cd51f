// Secrets in memory and on disk (interface.md §1, §6.5; threats OP-03). A Secret wipes its octets when it goes. A key
// file is opened once, without following a link, and judged by fstat on what was opened, so that nothing can be swapped
// in between. Blocking file I/O: for start-up, reload and commands only.
#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "core/error.hpp"

namespace core {

// A sentence for the operator that says what is wrong and what would be right.
struct Problem {
  std::string text;
};
// Found by ADL: Explained::value() throws std::runtime_error.
[[noreturn]] void throw_exception_from_error(const Problem& problem, const boost::source_location& where);
// A value, or what is wrong.
template <class T>
using Explained = boost::system::result<T, Problem>;

// Overwrites, in a way the compiler keeps, and empties.
void wipe(std::string& text) noexcept;

// A string that is wiped when it is destroyed or moved from. Never printed, never compared by accident.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) noexcept : text_(std::move(text)) { wipe(text); }
  Secret(Secret&& other) noexcept : text_(std::move(other.text_)) { wipe(other.text_); }
  Secret& operator=(Secret&& other) noexcept;
  Secret(const Secret& other) = default;
  Secret& operator=(const Secret& other) = delete;
  ~Secret() { wipe(text_); }

  std::string_view view() const { return text_; }
  bool empty() const { return text_.empty(); }

 private:
  std::string text_;
};

// The account the daemon runs as (`user`); without one, the invoking uid and gid.
struct SecretUser {
  std::uint32_t uid = 0, gid = 0;
};

inline constexpr std::size_t kMaxSecretFile = 64 * 1024;

// The content of a key or secrets file. It must be a plain file, no link, of at most kMaxSecretFile octets, owned by
// root, `user` or the invoking uid; mode 0600 or 0400, or 0640 with `user`'s group; in a folder that no stranger can
// write to.
Explained<Secret> read_secret_file(const std::string& path, const SecretUser& user);

// Creates `path` (which must not exist) with mode 0600 and syncs it. The error names the cause.
Error create_secret_file(const std::string& path, std::string_view content);

}  // namespace core
