#include "queue/ledger_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <tuple>

#include "core/random.hpp"

namespace queue {
namespace {

// docs/ledger.md: "The file". Numbers are little-endian.
constexpr std::string_view kMagic{"ONWARD-LEDGER\r\n\x1a", 16};
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHeader = 4096, kHeaderChecked = 32, kClockAt = 64;
constexpr std::size_t kRecord = 64, kIdentity = 52, kState = 56;  // where the checked parts of a record end and begin
constexpr std::uint8_t kRow = 0x10, kAcknowledged = 0x20, kMarkBits = 0x0f;
constexpr std::size_t kBlock = std::size_t{256} * 1024;  // read and written at once
constexpr int kMaxSetAside = 10;                         // damaged files that are kept; then the last is replaced

constexpr std::uint32_t kTimeUnreadable = 0;  // the ledger's clock begins at 1
constexpr std::uint32_t kMaxLimit = 1'000'000'000;

using Record = std::array<unsigned char, kRecord>;
using Slot = LedgerTable::Slot;

template <class T>
void put(unsigned char* to, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) to[i] = static_cast<unsigned char>(value >> (8 * i));
}
template <class T>
T get(const unsigned char* from) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) value = static_cast<T>(value | static_cast<T>(T{from[i]} << (8 * i)));
  return value;
}

// Finds torn and misplaced octets; nobody who can forge it needs to.
std::uint32_t check_of(const unsigned char* octets, std::size_t size, std::uint64_t seed) {
  std::uint64_t hash = seed ^ 0x6c65646765723031U;
  for (std::size_t at = 0; at < size; at += 8) {
    std::array<unsigned char, 8> word{};
    std::memcpy(word.data(), octets + at, std::min<std::size_t>(8, size - at));
    hash = (hash ^ get<std::uint64_t>(word.data())) * 0x9e3779b97f4a7c15U;
    hash ^= hash >> 32;
  }
  return static_cast<std::uint32_t>(hash * 0xff51afd7ed558ccdU >> 32);
}

std::uint64_t seed_of(std::uint32_t salt, Slot slot) {
  return std::uint64_t{salt} << 32 | slot;
}

// The state belongs to the identity beside it and to no other.
std::uint16_t state_check(const Record& record) {
  const auto identity = get<std::uint32_t>(&record[kIdentity]);
  return static_cast<std::uint16_t>(check_of(&record[kState], 6, identity));
}

Record encode(Slot slot, const LedgerEntry& entry, std::uint32_t salt) {
  Record record{};
  if (entry.mark == LedgerMark::none) return record;
  std::ranges::copy(entry.exact, record.begin());
  std::ranges::copy(entry.restamped, record.begin() + 16);
  put(&record[32], entry.scope.domain);
  put(&record[36], entry.scope.network);
  put(&record[40], entry.trace.low);
  put(&record[44], entry.trace.high);
  put(&record[48], entry.made);
  put(&record[kIdentity], check_of(record.data(), kIdentity, seed_of(salt, slot)));
  put(&record[kState], entry.time);
  record[kState + 4] = static_cast<unsigned char>(static_cast<std::uint8_t>(entry.mark) | (entry.row ? kRow : 0) |
                                                  (entry.acknowledged ? kAcknowledged : 0));
  record[kState + 5] = entry.unknown;
  put(&record[kState + 6], state_check(record));
  return record;
}

// False: no record of ours.
bool decode(const Record& record, Slot slot, std::uint32_t salt, LedgerEntry& entry) {
  if (get<std::uint32_t>(&record[kIdentity]) != check_of(record.data(), kIdentity, seed_of(salt, slot))) return false;
  std::copy_n(record.begin(), 16, entry.exact.begin());
  std::copy_n(record.begin() + 16, 16, entry.restamped.begin());
  entry.scope.domain = get<std::uint32_t>(&record[32]);
  entry.scope.network = get<std::uint32_t>(&record[36]);
  entry.trace.low = get<std::uint32_t>(&record[40]);
  entry.trace.high = get<std::uint32_t>(&record[44]);
  entry.made = get<std::uint32_t>(&record[48]);
  entry.time = get<std::uint32_t>(&record[kState]);
  const auto state = record[kState + 4];
  entry.mark = static_cast<LedgerMark>(state & kMarkBits);
  entry.row = (state & kRow) != 0;
  entry.acknowledged = (state & kAcknowledged) != 0;
  entry.unknown = record[kState + 5];
  const bool known = entry.mark >= LedgerMark::dot && entry.mark <= LedgerMark::owned;
  if (!known || get<std::uint16_t>(&record[kState + 6]) != state_check(record)) {
    // Whose it is can be read, what it is cannot: then its dot may be out.
    entry.mark = LedgerMark::dot;
    entry.acknowledged = false;
    entry.unknown = 0;
    entry.time = kTimeUnreadable;
  }
  return true;
}

core::Error last_error() {
  return {errno, boost::system::system_category()};
}

core::Problem problem(const std::string& path, std::string_view what, const core::Error& error) {
  return {path + ": " + std::string(what) + ": " + error.message()};
}

core::Error write_all(int fd, const void* octets, std::size_t size, std::uint64_t offset) {
  const auto* from = static_cast<const char*>(octets);
  while (size > 0) {
    const auto n = ::pwrite(fd, from, size, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return last_error();
    if (n == 0) return core::Errc::io;
    from += n;
    size -= static_cast<std::size_t>(n);
    offset += static_cast<std::uint64_t>(n);
  }
  return {};
}

// Fewer octets than `size`: the file ends there.
core::Result<std::size_t> read_up_to(int fd, unsigned char* to, std::size_t size, std::uint64_t offset) {
  std::size_t got = 0;
  while (got < size) {
    const auto n = ::pread(fd, to + got, size - got, static_cast<off_t>(offset + got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return last_error();
    if (n == 0) break;
    got += static_cast<std::size_t>(n);
  }
  return got;
}

std::uint64_t offset_of(Slot slot) {
  return kHeader + (std::uint64_t{slot} - 1) * kRecord;
}
std::uint64_t size_for(std::uint32_t limit) {
  return offset_of(limit) + kRecord;
}

// Space that is there cannot run out later.
core::Error reserve(int fd, std::uint32_t limit) {
  const int code = ::posix_fallocate(fd, 0, static_cast<off_t>(size_for(limit)));
  return code == 0 ? core::Error() : core::Error(code, boost::system::system_category());
}

struct Fd {
  int fd;
  explicit Fd(int f) : fd(f) {}
  Fd(const Fd&) = delete;
  ~Fd() {
    if (fd >= 0) ::close(fd);
  }
  int release() { return std::exchange(fd, -1); }
};

struct Header {
  std::uint32_t limit = 0, salt = 0, clock = 0;
};

std::array<unsigned char, 8> encode_clock(std::uint32_t seconds, std::uint32_t salt) {
  std::array<unsigned char, 8> octets{};
  put(octets.data(), seconds);
  put(&octets[4], check_of(octets.data(), 4, salt));
  return octets;
}

std::array<unsigned char, kHeader> encode_header(const Header& header) {
  std::array<unsigned char, kHeader> block{};
  std::ranges::copy(kMagic, block.begin());
  put(&block[16], kVersion);
  put(&block[20], static_cast<std::uint32_t>(kRecord));
  put(&block[24], header.limit);
  put(&block[28], header.salt);
  put(&block[kHeaderChecked], check_of(block.data(), kHeaderChecked, 0));
  std::ranges::copy(encode_clock(header.clock, header.salt), block.begin() + kClockAt);
  return block;
}

// What is wrong with it; "" when nothing is.
std::string decode_header(const std::vector<unsigned char>& block, Header& header) {
  if (block.size() < kHeader) return "is too short for a ledger";
  if (!std::ranges::equal(kMagic, std::string_view(reinterpret_cast<const char*>(block.data()), kMagic.size()))) {
    return "is no ledger";
  }
  if (get<std::uint32_t>(&block[kHeaderChecked]) != check_of(block.data(), kHeaderChecked, 0)) {
    return "has a damaged header";
  }
  const auto version = get<std::uint32_t>(&block[16]);
  if (version != kVersion || get<std::uint32_t>(&block[20]) != kRecord) {
    return "has version " + std::to_string(version) + " of the format, this program knows " + std::to_string(kVersion);
  }
  header.limit = get<std::uint32_t>(&block[24]);
  header.salt = get<std::uint32_t>(&block[28]);
  if (header.limit == 0 || header.limit > kMaxLimit) return "has a damaged header";
  const auto seconds = get<std::uint32_t>(&block[kClockAt]);
  if (encode_clock(seconds, header.salt) == *reinterpret_cast<const std::array<unsigned char, 8>*>(&block[kClockAt])) {
    header.clock = seconds;
  }
  return {};
}

using Entries = std::vector<std::pair<Slot, LedgerEntry>>;

// Every readable record; `damaged` counts the others. Stops where the file ends.
core::Error read_entries(int fd, const Header& header, Entries& entries, std::uint64_t& damaged) {
  static_assert(kBlock % kRecord == 0);
  std::vector<unsigned char> block(kBlock);
  for (Slot slot = 1; slot <= header.limit;) {
    const auto got = read_up_to(fd, block.data(), block.size(), offset_of(slot));
    if (!got) return got.error();
    const auto records = *got / kRecord;
    for (std::size_t i = 0; i < records && slot <= header.limit; ++i, ++slot) {
      Record record;
      std::memcpy(record.data(), &block[i * kRecord], kRecord);
      if (record == Record{}) continue;
      LedgerEntry entry;
      if (decode(record, slot, header.salt, entry)) {
        entries.emplace_back(slot, entry);
      } else {
        ++damaged;
      }
    }
    if (*got < block.size()) break;
  }
  return {};
}

std::string set_aside(const std::string& path, std::string_view why, core::Error& error) {
  std::string target;
  for (int n = 1; n <= kMaxSetAside; ++n) {
    target = path + ".damaged-" + std::to_string(n);
    if (::access(target.c_str(), F_OK) != 0) break;
  }
  if (::rename(path.c_str(), target.c_str()) != 0) error = last_error();
  return path + " " + std::string(why) + ": it is now " + target +
         ", and a new ledger begins: messages whose answer "
         "was missed before now may arrive twice";
}

// Writes a file of its own and puts it in the place of `path`. What `entries` must lose for `header.limit` they lose.
core::Result<int> create(const std::string& path, const Header& header, const Entries& entries) {
  const auto new_path = path + ".new";
  ::unlink(new_path.c_str());
  Fd file(::open(new_path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (file.fd < 0) return last_error();
  const auto write_it = [&]() -> core::Error {
    if (::flock(file.fd, LOCK_EX | LOCK_NB) != 0) return last_error();
    if (const auto error = reserve(file.fd, header.limit)) return error;
    std::vector<unsigned char> block;
    Slot first = 1, slot = 1;  // of the block; the next one
    for (const auto& [old_slot, entry] : entries) {
      const auto record = encode(slot++, entry, header.salt);
      block.insert(block.end(), record.begin(), record.end());
      if (block.size() < kBlock) continue;
      if (const auto error = write_all(file.fd, block.data(), block.size(), offset_of(first))) return error;
      block.clear();
      first = slot;
    }
    if (const auto error = write_all(file.fd, block.data(), block.size(), offset_of(first))) return error;
    const auto head = encode_header(header);
    if (const auto error = write_all(file.fd, head.data(), head.size(), 0)) return error;
    if (::fsync(file.fd) != 0 || ::rename(new_path.c_str(), path.c_str()) != 0) return last_error();
    return {};
  };
  if (const auto error = write_it()) {
    ::unlink(new_path.c_str());
    return error;
  }
  return file.release();
}

// The entries that stay when there is room for `limit`: what is dropped is what the table would drop.
void choose(Entries& entries, std::uint32_t limit) {
  const auto worth = [](const auto& slot_and_entry) {
    const auto& entry = slot_and_entry.second;
    const int kind = entry.mark == LedgerMark::delivered && !entry.row ? 0 : entry.mark == LedgerMark::owned ? 2 : 1;
    return std::tuple(kind, entry.time, slot_and_entry.first);
  };
  std::ranges::sort(entries, std::ranges::greater(), worth);
  if (entries.size() > limit) entries.resize(limit);
}

std::uint32_t random_salt() {
  core::SystemRandom random;
  return static_cast<std::uint32_t>(random.next());
}

}  // namespace

LedgerFile::~LedgerFile() {
  ::close(fd_);
}

core::Error LedgerFile::write(Slot slot, const LedgerEntry& entry) {
  const auto record = encode(slot, entry, salt_);
  return write_all(fd_, record.data(), record.size(), offset_of(slot));
}

core::Error LedgerFile::write_clock(std::uint32_t seconds) {
  const auto octets = encode_clock(seconds, salt_);
  return write_all(fd_, octets.data(), octets.size(), kClockAt);
}

core::Explained<LedgerFile::Loaded> LedgerFile::open(const std::string& path, std::uint32_t limit) {
  Loaded loaded;
  Header header;
  bool fresh = true;
  Fd file(::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
  if (file.fd < 0 && errno != ENOENT) return problem(path, "cannot be opened", last_error());
  if (file.fd >= 0) {
    struct stat status{};
    if (::fstat(file.fd, &status) != 0) return problem(path, "cannot be opened", last_error());
    if (!S_ISREG(status.st_mode)) return core::Problem{path + ": is no plain file"};
    if (::flock(file.fd, LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) return core::Problem{path + ": is in use by another process"};
      return problem(path, "cannot be locked", last_error());
    }
    std::vector<unsigned char> block(kHeader);
    const auto got = read_up_to(file.fd, block.data(), block.size(), 0);
    if (!got) return problem(path, "cannot be read", got.error());
    block.resize(*got);
    fresh = false;
    if (const auto why = decode_header(block, header); !why.empty()) {
      core::Error error;
      loaded.notes.push_back(set_aside(path, why, error));
      if (error) return problem(path, why + ", and it cannot be renamed", error);
      fresh = true;
      header = {};
    } else {
      std::uint64_t damaged = 0;
      if (const auto error = read_entries(file.fd, header, loaded.entries, damaged)) {
        return problem(path, "cannot be read", error);
      }
      if (static_cast<std::uint64_t>(status.st_size) < size_for(header.limit)) {
        loaded.notes.push_back(path + " was cut short: what stood behind is forgotten");
      }
      if (damaged > 0) {
        loaded.notes.push_back(path + ": " + std::to_string(damaged) + " records cannot be read and are forgotten");
      }
    }
  }
  for (const auto& [slot, entry] : loaded.entries) header.clock = std::max(header.clock, entry.time);
  for (auto& [slot, entry] : loaded.entries) {
    if (entry.time == kTimeUnreadable) entry.time = header.clock;
  }
  loaded.clock = header.clock;
  if (!fresh && header.limit == limit) {
    if (const auto error = reserve(file.fd, limit)) return problem(path, "no room for it", error);
    loaded.file.reset(new LedgerFile(file.release(), header.salt));
    return loaded;
  }
  const auto before = loaded.entries.size();
  choose(loaded.entries, limit);
  if (before > loaded.entries.size()) {
    loaded.notes.push_back(path + ": limits.ledger is smaller than before; " +
                           std::to_string(before - loaded.entries.size()) + " entries were dropped");
  }
  header.limit = limit;
  header.salt = random_salt();
  const auto made = create(path, header, loaded.entries);
  if (!made) return problem(path, "cannot be made", made.error());
  Slot slot = 0;
  for (auto& [kept, entry] : loaded.entries) kept = ++slot;
  loaded.file.reset(new LedgerFile(*made, header.salt));
  return loaded;
}

}  // namespace queue
