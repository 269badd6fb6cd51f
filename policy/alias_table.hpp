// A bulk table of addresses, kept as the text it came as: an index of 12 octets an entry is all that is added, so that
// a million aliases cost little more than their file (interface.md `aliases`).
//
//   local: dest, dest          or Postfix virtual:   local@domain  dest, dest
//   # comments, empty lines; a line that starts with a blank goes on with the entry above
//   @domain dest               Postfix's catch-all; a line "domain anything" (Postfix's declaration) is skipped
//
// Owns the text. Immutable after construction, thread-safe, no I/O.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace policy {

class AliasTable {
 public:
  static constexpr std::size_t kMaxText = 1U << 30;  // octets of one table

  struct Entry {
    std::string_view key;    // as written, without domain
    std::string_view value;  // everything after the key: see Destinations
    unsigned line = 0;
  };
  using OnProblem = std::function<void(unsigned line, std::string what)>;

  AliasTable() = default;
  // Indexes `text`; `domain` is the one keys may name. Everything wrong is said; such entries are left out.
  AliasTable(std::string text, std::string_view domain, const OnProblem& problem);
  AliasTable(AliasTable&&) noexcept = default;
  AliasTable& operator=(AliasTable&&) noexcept = default;

  // `local`: unquoted, lower case.
  std::optional<Entry> find(std::string_view local) const;
  std::size_t size() const { return size_; }
  // Postfix's "@domain".
  const std::optional<Entry>& catch_all() const { return catch_all_; }
  // In the order of the file.
  void for_each(const std::function<void(const Entry&)>& visit) const;

 private:
  static constexpr std::uint32_t kEmpty = 0xffffffff;
  struct Slot {
    std::uint32_t offset = kEmpty;  // of the entry's key
    std::uint32_t line = 0;
    std::uint32_t hash = 0;
  };
  bool insert(const Entry& entry, std::string_view local);
  Entry entry_at(std::size_t offset, unsigned line) const;
  const Slot* slot_of(std::string_view local, std::uint64_t hash) const;

  // On the heap, so that views into it survive a move of the table.
  std::unique_ptr<const std::string> text_;
  std::vector<Slot> slots_;  // open addressing; a power of two, at most two thirds full
  std::size_t size_ = 0;
  std::optional<Entry> catch_all_;
};

// The addresses of an entry's value, one after the other: separated by commas or blanks, quoted local parts kept whole.
class Destinations {
 public:
  explicit Destinations(std::string_view value) : rest_(value) {}
  // Empty at the end.
  std::string_view next();

 private:
  std::string_view rest_;
};

}  // namespace policy
