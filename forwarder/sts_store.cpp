#include "forwarder/sts_store.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <filesystem>
#include <thread>

#include "core/text.hpp"

namespace forwarder {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMagic = "onward-mta-sts 1";
constexpr std::size_t kMaxFile = kMaxStsPolicy + 1024;
constexpr std::uint64_t kLatest = 4'000'000'000;  // seconds; the wall clock counts nanoseconds and ends in 2262
// Has no dot, so that no domain with a policy is called like that.
constexpr std::string_view kNewFile = "new-file";

// A domain, and as such a harmless file name.
bool is_file_name(std::string_view name) {
  return name.size() <= 253 && name.find('.') != std::string_view::npos && name.front() != '.' &&
         std::ranges::all_of(name, [](char c) { return core::is_alnum(c) || c == '-' || c == '_' || c == '.'; });
}

std::optional<std::string> read_small_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return std::nullopt;
  std::string text(kMaxFile + 1, '\0');
  std::size_t have = 0;
  ssize_t n = 0;
  while (have < text.size() &&
         ((n = ::read(fd, text.data() + have, text.size() - have)) > 0 || (n < 0 && errno == EINTR))) {
    if (n > 0) have += static_cast<std::size_t>(n);
  }
  ::close(fd);
  if (n < 0 || have > kMaxFile) return std::nullopt;
  text.resize(have);
  return text;
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const auto n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

std::int64_t seconds(core::Wall::time_point time) {
  return std::chrono::floor<core::Seconds>(time.time_since_epoch()).count();
}

}  // namespace

std::string write_sts_entry(const std::string& domain, const StsEntry& entry) {
  return fmt::format("{}\ndomain: {}\nid: {}\nfetched: {}\n\n{}", kMagic, domain, entry.id, seconds(entry.fetched),
                     entry.policy.text);
}

std::optional<std::pair<std::string, StsEntry>> read_sts_entry(std::string_view text) {
  const auto line = [&](std::string_view prefix) -> std::optional<std::string> {
    const auto end = text.find('\n');
    if (end == std::string_view::npos || !text.starts_with(prefix)) return std::nullopt;
    std::string value(text.substr(prefix.size(), end - prefix.size()));
    text.remove_prefix(end + 1);
    return value;
  };
  if (line(kMagic) != "") return std::nullopt;
  const auto domain = line("domain: ");
  const auto id = line("id: ");
  const auto fetched = line("fetched: ");
  if (!domain || !id || !fetched || line("") != "" || !is_file_name(*domain)) return std::nullopt;
  const auto at = core::parse_number(*fetched);
  auto policy = parse_sts_policy(text);
  if (!at || *at > kLatest || !policy) return std::nullopt;
  StsEntry entry;
  entry.id = *id;
  entry.fetched = core::Wall::time_point(core::Seconds(*at));
  entry.policy = std::move(*policy);
  return std::pair(*domain, std::move(entry));
}

// The thread that writes: jobs by domain, the newest wish for each; bounded as the table is.
class StsStore::Files {
 public:
  explicit Files(std::string folder) : folder_(std::move(folder)), thread_([this] { run(); }) {}
  ~Files() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }
  Files(const Files&) = delete;

  // Nothing: the file is to go.
  void want(const std::string& domain, std::optional<std::string> content) {
    {
      const std::lock_guard lock(mutex_);
      jobs_[domain] = std::move(content);
    }
    wake_.notify_one();
  }
  void flush() {
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return jobs_.empty() && !busy_; });
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return ending_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      const auto job = jobs_.extract(jobs_.begin());
      busy_ = true;
      lock.unlock();
      carry_out(job.key(), job.mapped());
      lock.lock();
      busy_ = false;
      if (jobs_.empty()) idle_.notify_all();
    }
  }

  // Nobody can help when it fails: the policy is known until the end of the process all the same.
  void carry_out(const std::string& domain, const std::optional<std::string>& content) {
    const auto path = folder_ + "/" + domain;
    if (!content) {
      ::unlink(path.c_str());
      return;
    }
    const auto fresh = folder_ + "/" + std::string(kNewFile);
    const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return;
    const bool written = write_all(fd, *content) && ::fdatasync(fd) == 0;
    ::close(fd);
    if (!written || ::rename(fresh.c_str(), path.c_str()) != 0) ::unlink(fresh.c_str());
  }

  const std::string folder_;
  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::map<std::string, std::optional<std::string>> jobs_;
  bool ending_ = false, busy_ = false;
  std::thread thread_;  // last: it uses all of the above
};

StsStore::StsStore() = default;
StsStore::~StsStore() = default;

core::Result<void> StsStore::open(const std::string& folder, Access access, core::Wall::time_point now) {
  if (access == Access::read_write && ::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return core::Error(errno, boost::system::system_category());
  }
  std::error_code failed;
  fs::directory_iterator files(folder, failed);
  if (failed) return core::Error(failed.value(), boost::system::system_category());
  std::vector<std::string> useless;
  const std::lock_guard lock(mutex_);
  for (; files != fs::directory_iterator(); files.increment(failed)) {
    if (failed) break;
    const auto name = files->path().filename().string();
    const auto text = is_file_name(name) ? read_small_file(files->path().string()) : std::nullopt;
    auto read = text ? read_sts_entry(*text) : std::nullopt;
    if (!read || read->first != name || read->second.expires() <= now || table_.size() >= kMaxPolicies) {
      useless.push_back(files->path().string());
      continue;
    }
    auto& entry = read->second;
    entry.fetched = std::min(entry.fetched, now);  // a clock that was wrong must not make it last for ever
    octets_ += entry.policy.text.size();
    table_[name] = Kept{std::make_shared<const StsEntry>(std::move(entry)), now};
  }
  if (access == Access::read_only) return {};
  for (const auto& path : useless) ::unlink(path.c_str());
  files_ = std::make_unique<Files>(folder);
  shrink();
  return {};
}

std::shared_ptr<const StsEntry> StsStore::find(const std::string& domain, core::Wall::time_point now) {
  const std::lock_guard lock(mutex_);
  const auto found = table_.find(domain);
  if (found == table_.end()) return nullptr;
  if (found->second.entry->expires() <= now) {
    drop(found);
    return nullptr;
  }
  found->second.used = now;
  return found->second.entry;
}

void StsStore::put(const std::string& domain, StsEntry entry, core::Wall::time_point now) {
  if (!is_file_name(domain) || entry.policy.text.size() > kMaxStsPolicy) return;
  const std::lock_guard lock(mutex_);
  const auto known = table_.find(domain);
  if (entry.expires() <= now) {  // max_age 0: for this once
    if (known != table_.end()) drop(known);
    return;
  }
  if (known != table_.end()) octets_ -= known->second.entry->policy.text.size();
  octets_ += entry.policy.text.size();
  if (files_) files_->want(domain, write_sts_entry(domain, entry));
  table_[domain] = Kept{std::make_shared<const StsEntry>(std::move(entry)), now};
  shrink();
}

void StsStore::drop(std::map<std::string, Kept>::iterator at) {
  octets_ -= at->second.entry->policy.text.size();
  if (files_) files_->want(at->first, std::nullopt);
  table_.erase(at);
}

void StsStore::shrink() {
  while (table_.size() > kMaxPolicies || octets_ > kMaxOctets) {
    drop(std::ranges::min_element(table_, {}, [](const auto& item) { return item.second.used; }));
  }
}

std::vector<std::string> StsStore::due(core::Wall::time_point now, std::size_t most) const {
  std::vector<std::pair<core::Wall::time_point, std::string>> stale;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [domain, kept] : table_) {
      if (kept.entry->stale() <= now && kept.entry->expires() > now && now - kept.used < kRefreshUsed)
        stale.emplace_back(kept.entry->expires(), domain);
    }
  }
  // Where more are stale than can be fetched, none is to run out because the same others come first each time.
  std::ranges::sort(stale);
  if (stale.size() > most) stale.resize(most);
  std::vector<std::string> out;
  for (auto& [expires, domain] : stale) out.push_back(std::move(domain));
  return out;
}

std::size_t StsStore::size() const {
  const std::lock_guard lock(mutex_);
  return table_.size();
}

void StsStore::flush() {
  if (files_) files_->flush();
}

}  // namespace forwarder
