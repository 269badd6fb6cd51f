// Spill files: message octets that do not fit into RAM, in unlinked files of one folder, written and read by a small
// thread pool so that no shard ever waits for a disk (architecture.md: no blocking call on a shard).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/error.hpp"
#include "mail/message.hpp"
#include "net/stream.hpp"

namespace net {

class Spool {
 public:
  // `folder` must exist and be writable; files are created there with O_TMPFILE (or created and unlinked).
  Spool(std::string folder, unsigned threads);
  ~Spool();  // joins the threads

  // Appends `octets` to content.file (made when missing) and adds to content.file_size. Suspends; resumes on the
  // caller's executor. Errors: Errc::io (disk full, ...), and then file and size are as before.
  Awaitable<core::Result<void>> append(mail::Content& content, std::string octets);
  // Reads up to `length` octets of the file from `offset` (an offset in the file, not the message). Errors: Errc::io.
  Awaitable<core::Result<std::string>> read(const mail::Content& content, std::uint64_t offset, std::size_t length);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace net
