// Where the originals of addresses are kept that are too long for an SRS address (interface.md §6.25). TokenStore is
// what the Rewriter needs; TokenFile keeps state_dir/srs.tokens: one line "token address" an entry, appended, oldest
// out first. Only an index lives in RAM. Safe from several threads; small synchronous file I/O (one write a new entry,
// no fsync: an entry lost in a power cut costs one bounce).
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/error.hpp"

namespace srs {

class TokenStore {
 public:
  virtual ~TokenStore() = default;
  // Keeps `address` under `token` (both without control octets, no blank in the token). Only after success may the
  // token be used. Putting the same again is cheap and makes the entry young. Errors: Errc::io, Errc::malformed.
  [[nodiscard]] virtual core::Error put(std::string_view token, std::string_view address) = 0;
  virtual std::optional<std::string> find(std::string_view token) = 0;
};

inline constexpr std::size_t kMaxTokens =
    500'000;  // the youngest so many are kept for sure; twice as many lines at most

class TokenFile final : public TokenStore {
 public:
  // read_write: the daemon; the file is locked. read_only: commands beside a running daemon; put() is an error.
  enum class Access { read_write, read_only };

  // Opens the file (and creates it, 0600) and reads it. A torn last line is cut off, lines that are none are skipped.
  // Keep one TokenFile over reloads: a second one in the same process is refused by the lock.
  static core::Result<std::unique_ptr<TokenFile>> open(std::string path, Access access = Access::read_write,
                                                       std::size_t bound = kMaxTokens);
  TokenFile(const TokenFile&) = delete;
  TokenFile& operator=(const TokenFile&) = delete;
  ~TokenFile() override;

  [[nodiscard]] core::Error put(std::string_view token, std::string_view address) override;
  std::optional<std::string> find(std::string_view token) override;

  // Lines in the file, the older ones of renewed tokens included.
  std::size_t lines() const;

 private:
  TokenFile(std::string path, int fd, std::size_t bound) : path_(std::move(path)), bound_(bound), fd_(fd) {}
  // Both are counted from the first line of the file's life, so that they stay right when old lines go.
  struct Place {
    std::uint64_t offset = 0;
    std::uint64_t line = 0;
  };
  core::Error load(Access access);
  void load_lines(std::string_view whole_lines);
  core::Error compact();
  core::Error append(std::string_view line);

  const std::string path_;
  const std::size_t bound_;
  mutable std::mutex mutex_;
  int fd_;
  std::uint64_t begin_offset_ = 0, end_offset_ = 0;  // of what is in the file
  std::uint64_t begin_line_ = 0, end_line_ = 0;
  std::uint64_t compact_at_ = 0;                    // when end_line_ gets there
  std::unordered_map<std::uint64_t, Place> index_;  // by the hash of the token; the line itself is the proof
};

}  // namespace srs
