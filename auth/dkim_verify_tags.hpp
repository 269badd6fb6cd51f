// Tag lists ("a=b; c=d", RFC 6376 §3.2) as DKIM-Signature fields and key records write them, taken strictly: a list
// that breaks the grammar or names a tag twice is no list at all. Pure; views into the text that was parsed.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace auth {

inline constexpr std::size_t kMaxTags = 64;

class TagList {
 public:
  // Empty: not a tag list, a tag named twice, or more than kMaxTags of them.
  static std::optional<TagList> parse(std::string_view text);

  // The value without white space at its ends; folding inside is kept. Names are case-sensitive.
  std::optional<std::string_view> find(std::string_view name) const;
  std::string_view first_name() const { return tags_.empty() ? std::string_view() : tags_.front().name; }

 private:
  struct Tag {
    std::string_view name, value;
  };
  std::vector<Tag> tags_;
};

// Without any white space, for values in which it means nothing (base64, lists).
std::string without_space(std::string_view value);

// Letters of the alphabet, at most two '=' at the end (RFC 6376 §3.5 asks for no padding), at least one letter.
bool is_base64(std::string_view text);
// The octets, padded or not; `text` without white space.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace auth
