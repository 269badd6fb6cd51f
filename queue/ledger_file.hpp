// The Ledger on disk: a header and fixed-size records of 64 octets, each written whole by one pwrite(2), without fsync.
// A record never crosses a sector; its identity and its state have a check each, so that a record written half is as
// good as not written, and one whose state cannot be read counts as a dot without an answer. The space is reserved
// when the file is made. docs/ledger.md has the layout. Calls for different slots may run in different threads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "core/secret_file.hpp"
#include "queue/ledger_table.hpp"

namespace queue {

class LedgerFile {
 public:
  struct Loaded {
    std::unique_ptr<LedgerFile> file;
    std::vector<std::pair<LedgerTable::Slot, LedgerEntry>> entries;  // each slot once, 1 to limit
    std::uint32_t clock = 0;  // the ledger's clock when the file was last written, in seconds
    std::vector<std::string> notes;
  };
  // See Ledger::open.
  static core::Explained<Loaded> open(const std::string& path, std::uint32_t limit);
  LedgerFile(const LedgerFile&) = delete;
  ~LedgerFile();

  // The record of `slot`; mark `none` empties it.
  [[nodiscard]] core::Error write(LedgerTable::Slot slot, const LedgerEntry& entry);
  [[nodiscard]] core::Error write_clock(std::uint32_t seconds);

 private:
  LedgerFile(int fd, std::uint32_t salt) : fd_(fd), salt_(salt) {}
  const int fd_;
  const std::uint32_t salt_;  // part of every check: records of another file are none of this one
};

}  // namespace queue
