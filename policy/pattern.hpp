// A rule's regular expression: RE2 (linear time whatever the peer sends), anchored at both ends, ASCII case ignored
// like everywhere in local parts ("(?-i)" at its start makes it exact). Immutable, thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/secret_file.hpp"

namespace re2 {
class RE2;
}

namespace policy {

class Pattern {
 public:
  static constexpr std::size_t kMaxLength = 1000;
  static constexpr int kMaxCaptures = 9;  // $1..$9

  static core::Explained<Pattern> compile(std::string_view text);
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;
  ~Pattern();

  int captures() const;
  // The groups' texts (views into `local`, empty for groups that took no part) when the whole of `local` matches.
  std::optional<std::vector<std::string_view>> match(std::string_view local) const;

 private:
  explicit Pattern(std::unique_ptr<re2::RE2> re);
  std::unique_ptr<re2::RE2> re_;
};

}  // namespace policy
