// The octets of messages: small ones are handed over to the database, larger ones lie in files of state_dir/bodies,
// written, synced and read by a small pool of threads. A file is named "START-N-ID": the number of the program's start
// that has made it, a counter, and the message's id; what an earlier start has made and no message refers to is garbage
// (threats DU-19), whatever the clocks say. For the folder's own use.
#pragma once

#include <atomic>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "queue/files.hpp"
#include "queue/sqlite_tables.hpp"
#include "queue/store.hpp"

namespace queue {

class Bodies {
 public:
  Bodies(Files& files, std::string folder, unsigned threads, std::function<void(std::string_view)> at_point);
  ~Bodies();  // join()

  void set_start(std::int64_t start) { start_ = start; }

  // Reads all of `source`, which must give `size` octets: in memory up to kInlineBody, else in a file that is synced
  // with its folder. Errors: StoreErrc::malformed (another size), the source's own, or the system's.
  Awaitable<core::Result<StoredBody>> save(std::string id, std::uint64_t size, OctetSource& source);
  // The file of a body that was not committed after all.
  void remove(std::vector<std::string> files);

  // What the database knows of a body.
  struct Known {
    std::uint64_t size = 0, header_size = 0;
    core::Digest digest{};
    StoredBody stored;  // with `octets` or `file`
  };
  // Digests all of it first. Errors: StoreErrc::damaged (also when the file is missing or has another size),
  // StoreErrc::unreadable. `on_damage` is called when what is read later has another digest than at first.
  using OnDamage = std::function<Awaitable<void>()>;
  Awaitable<core::Result<std::unique_ptr<Body>>> open(Known known, OnDamage on_damage);
  // The first octets; not digested.
  Awaitable<core::Result<std::string>> begin_of(Known known, std::size_t most);

  // Names in the folder that an earlier start has made. Blocks.
  core::Result<std::vector<std::string>> old_files();
  std::string path(const std::string& file) const { return folder_ + "/" + file; }
  const std::string& folder() const { return folder_; }
  void join();

 private:
  class Stored;
  using FileResult = core::Result<std::shared_ptr<File>>;
  Awaitable<core::Result<StoredBody>> save_file(std::string id, std::uint64_t size, OctetSource& source);
  Awaitable<FileResult> create(std::string name);
  Awaitable<core::Error> append(std::shared_ptr<File> file, std::uint64_t offset, std::string octets);
  Awaitable<core::Error> sync(std::shared_ptr<File> file);

  Files& files_;
  const std::string folder_;
  const std::function<void(std::string_view)> at_point_;
  std::int64_t start_ = 0;
  std::atomic<std::uint64_t> counter_{0};
  boost::asio::thread_pool pool_;
};

// Does the error mean that there is no room, rather than that the disk is broken?
bool is_lack_of_space(const core::Error& error);

}  // namespace queue
