// Domain names as DMARC compares them, and the Public Suffix List (libpsl with Debian's list) for the RFC 7489 mode and
// as a fence in the tree walk. libopendmarc's own way with names lets spoofed mail pass (libraries.md §3): one-letter
// labels, wildcards, IDN. Here a name has exactly one form, and what has none is no name. Pure but for loading the
// list.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/secret_file.hpp"

namespace auth {

// Lower case, A-labels (RFC 5890 §2.3.2.1), 1 to 63 octets a label, 253 in all, no final dot. Letters, digits, hyphens
// and underscores; a U-label must be in its canonical form already (NFC, lower case, nothing invisible): readers differ
// about the others. Nothing: no domain name.
std::optional<std::string> normal_domain(std::string_view name);

// Both normal: `name` is `ancestor` or lies below it.
bool is_same_or_below(std::string_view name, std::string_view ancestor);
std::size_t count_labels(std::string_view name);
// The last `count` labels of a normal name that has at least as many.
std::string_view last_labels(std::string_view name, std::size_t count);

inline constexpr const char* kPublicSuffixFile = "/usr/share/publicsuffix/public_suffix_list.dafsa";

class PublicSuffixList {
 public:
  // The text list or the compiled one (.dafsa).
  static core::Explained<PublicSuffixList> load(const std::string& path = kPublicSuffixFile);
  PublicSuffixList(PublicSuffixList&&) noexcept;
  PublicSuffixList& operator=(PublicSuffixList&&) noexcept;
  ~PublicSuffixList();

  // All names normal. Nothing: the name is itself a public suffix. A top-level name that is not listed is one.
  std::optional<std::string> registrable_domain(std::string_view name) const;
  // Listed as a public suffix, by whatever section; an unlisted name is not.
  bool is_listed_suffix(std::string_view name) const;

 private:
  struct Impl;
  explicit PublicSuffixList(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace auth
