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

inline constexpr std::size_t kMaxTokens = 500'000;  // kept at least; twice as many lines at most

class TokenFile final : public TokenStore {
 public:
  // Opens or creates the file (0600) and reads it. A torn last line is cut off, lines that are none are skipped.
  static core::Result<std::unique_ptr<TokenFile>> open(const std::string& path, std::size_t bound = kMaxTokens);
  TokenFile(const TokenFile&) = delete;
  TokenFile& operator=(const TokenFile&) = delete;
  ~TokenFile() override;

  [[nodiscard]] core::Error put(std::string_view token, std::string_view address) override;
  std::optional<std::string> find(std::string_view token) override;

  std::size_t lines() const;

 private:
  TokenFile(std::string path, int fd, std::size_t bound) : path_(std::move(path)), fd_(fd), bound_(bound) {}
  struct Place {
    std::uint64_t offset = 0;  // of the line, counted from the first line ever in this file's life
    std::uint64_t number = 0;  // of the line, likewise
  };
  core::Error load();
  core::Error compact();
  bool read_line(std::uint64_t offset, std::string& line) const;

  const std::string path_;
  mutable std::mutex mutex_;
  int fd_;
  const std::size_t bound_;
  std::uint64_t base_ = 0;        // logical offset of the file's first octet
  std::uint64_t size_ = 0;        // logical offset of its end
  std::uint64_t first_line_ = 0;  // number of the first line in the file
  std::uint64_t next_line_ = 0;
  std::unordered_map<std::uint64_t, Place> index_;  // by the hash of the token
};

}  // namespace srs
