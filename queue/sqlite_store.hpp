// The queue on one computer: SQLite in WAL mode with synchronous=FULL, and files for large bodies. docs/queue-format.md
// says what lies where and what happens at each kind of damage.
//
// One connection does all writes and all checkpoints, on one thread (promise.md I7, threats DU-09); whatever is waiting
// shares one transaction and one fsync, and nobody is answered before it. Lists and counts are read by a second
// connection on a thread of its own, body files by a small pool. No shard ever waits for a disk.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "core/clock.hpp"
#include "queue/files.hpp"
#include "queue/store.hpp"

namespace queue {

// Something an operator must know. From the queue's own threads.
struct StoreAlert {
  enum class Kind {
    sealed,      // a write or fsync failed: restart after the disk has been looked at
    full,        // no space; told once until it is over
    full_over,   // there is space again
    damaged,     // a stored body has changed on disk: its message is quarantined
    unreadable,  // a read failed
    leftovers,   // the start has removed or dropped what an earlier process had not finished
  } kind = Kind::sealed;
  std::string text;
};

struct StoreSettings {
  std::string folder;                     // state_dir
  std::uint64_t most_messages = 500'000;  // high-water mark (RS-14)
  std::uint64_t most_octets = std::uint64_t{50} << 30;
  unsigned body_threads = 4;
  std::function<void(const StoreAlert&)> on_alert;
  // For tests. The name of a registered SQLite VFS ("": the system's), and after how many new pages in the log they are
  // copied into the database.
  std::string vfs;
  int checkpoint_pages = 2'000;
  // Called at the named kill points of threats.md B9 ("body-written", ..., see kStorePoints), by the thread that is
  // there.
  std::function<void(std::string_view)> at_point;
};

// The kill points, in the order in which a message passes them.
inline constexpr std::string_view kStorePoints[] = {
    "queue.body_written",   // K16: the body file is written, not synced
    "queue.body_synced",    // K17: file and folder are synced
    "queue.before_commit",  // K18
    "queue.in_commit",      // K19: the last statement is executed, COMMIT is next
    "queue.after_commit",   // K20: nobody has been answered yet
    "queue.leased",         // K21: the lease is committed, nobody has been answered yet
    "queue.ended",          // K24: rows have left in the commit that has just ended
    "queue.body_unlink",    // K25: a body file is about to be removed
    "queue.checkpoint",     // K26: a checkpoint is about to begin
};

// Why there is no store, as one line for the operator, and what to exit with.
struct OpenFailure {
  enum class Kind {
    locked,    // another process has it: exit 75 (DU-08)
    newer,     // made by a later version (DU-07)
    corrupt,   // the line names `onward recover` (DU-04)
    unusable,  // the folder cannot be used, or the database cannot be opened
  } kind = Kind::unusable;
  std::string text;
};

// Opens, or makes, the queue in settings.folder, which must exist; drops what is provisional, voids all leases. Blocks;
// 100,000 messages cost less than 2 s. `files` and `clock` outlive the store.
std::variant<std::unique_ptr<Store>, OpenFailure> open_store(StoreSettings settings, Files& files,
                                                             const core::Clock& clock);

// `onward recover`: what a damaged queue still holds is copied into a new database; the old one is kept beside it as
// queue.db.damaged-N. Refuses while another process has the queue.
struct Recovery {
  bool needed = false;                         // false: everything was in order, nothing was changed
  std::string error;                           // not "": it could not be done, nothing was changed
  std::uint64_t messages = 0, recipients = 0;  // in the new database
  std::uint64_t quarantined = 0;               // of these messages: the body is damaged or missing
  std::vector<std::string> lost;               // a line for each thing that could not be saved, and where its rest lies
};
Recovery recover_store(const std::string& folder, Files& files, const core::Clock& clock);

}  // namespace queue
