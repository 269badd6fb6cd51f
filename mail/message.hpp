// One message: what we prepend, and the octets as received, in RAM up to a limit and in a spill file beyond (leased
// from Budgets). This file knows where octets are; reading and writing the file is the job of whoever does I/O (Spill).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/budget.hpp"

namespace mail {

// An unlinked file that holds the tail of a message. Implemented where I/O may be done (net/spool).
class SpillFile {
 public:
  virtual ~SpillFile() = default;
};

// The octets of one message as received (CRLF line ends, no dot-stuffing). Owned by exactly one transaction or job.
class Content {
 public:
  std::string head;                 // the first octets: the whole message when it is small
  std::unique_ptr<SpillFile> file;  // the octets after head, when there are more
  std::uint64_t file_size = 0;
  core::Lease memory;  // for head, and for what is on its way to the file
  core::Lease disk;    // for file

  std::uint64_t header_size = 0;  // octets of the header section, the empty line excluded
  std::uint64_t body_offset = 0;  // start of the body; size() when there is none
  bool has_8bit_header = false;
  bool has_8bit_body = false;
  bool ends_in_crlf = true;

  std::uint64_t size() const { return head.size() + file_size; }
};

// What goes out: `prefix` (our trace fields and signatures, whole lines), then the content without the forged fields in
// `cuts` (offset and length within the header section, ascending, not overlapping).
struct Message {
  struct Cut {
    std::uint64_t offset = 0, length = 0;
  };
  std::string prefix;
  const Content* content = nullptr;
  std::vector<Cut> cuts;

  std::uint64_t size() const {
    std::uint64_t total = prefix.size() + content->size();
    for (const auto& cut : cuts) total -= cut.length;
    return total;
  }
};

}  // namespace mail
