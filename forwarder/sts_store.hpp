// The MTA-STS policies we know, kept until their max_age ends, over restarts too: a policy once seen protects also when
// nobody can fetch it any more (RFC 8461 §3.3, §10.2). One file a domain in a folder of state_dir, replaced atomically
// by a thread of its own, so that no shard waits for the disk. Bounded; the one not used for longest goes first. Shared
// by the shards: a mutex guards the table.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/error.hpp"
#include "forwarder/mta_sts.hpp"

namespace forwarder {

struct StsEntry {
  std::string id;  // of the TXT record that announced it
  StsPolicy policy;
  core::Wall::time_point fetched{};
  core::Wall::time_point expires() const { return fetched + policy.max_age; }
  // When it should be fetched again though nothing has changed: after a day, or half of its life.
  core::Wall::time_point stale() const { return fetched + std::min<core::Seconds>(policy.max_age / 2, kRefresh); }
  static constexpr core::Seconds kRefresh{86'400};
};

// As a file has it; nothing: it is none of ours, or damaged.
std::string write_sts_entry(const std::string& domain, const StsEntry& entry);
std::optional<std::pair<std::string, StsEntry>> read_sts_entry(std::string_view text);

class StsStore {
 public:
  static constexpr std::size_t kMaxPolicies = 10'000;
  static constexpr std::size_t kMaxOctets = 16 * 1024 * 1024;  // of all policy files together
  static constexpr std::chrono::days kRefreshUsed{30};         // one not asked for so long is left to expire

  enum class Access { read_write, read_only };
  StsStore();
  ~StsStore();  // what was put is on disk afterwards
  StsStore(const StsStore&) = delete;

  // Makes `folder` (0700) where needed, reads what is in it, and keeps it in step from now on. Files that cannot be
  // used are removed. To be called once, at start; blocking. With read_only nothing is made, removed or written.
  core::Result<void> open(const std::string& folder, Access access, core::Wall::time_point now);

  // Null: none, or none any more.
  std::shared_ptr<const StsEntry> find(const std::string& domain, core::Wall::time_point now);
  void put(const std::string& domain, StsEntry entry, core::Wall::time_point now);
  // Domains whose policy is in use and stale, at most `most`, in the order in which they expire.
  std::vector<std::string> due(core::Wall::time_point now, std::size_t most) const;
  std::size_t size() const;
  // Waits until everything that was put is on disk (or could not be written); for tests and the end.
  void flush();

 private:
  struct Kept {
    std::shared_ptr<const StsEntry> entry;
    core::Wall::time_point used{};
  };
  class Files;
  void shrink();
  void drop(std::map<std::string, Kept>::iterator at);

  mutable std::mutex mutex_;
  std::map<std::string, Kept> table_;
  std::size_t octets_ = 0;
  std::unique_ptr<Files> files_;  // null: in memory only
};

}  // namespace forwarder
