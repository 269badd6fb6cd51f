// links: queue
// A hostile ledger file is read, set aside or left out record by record, never a crash; what is read answers like any
// entry; what is written afterwards is there at the next start. The input: an octet of options, then the file.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "queue/ledger.hpp"
#include "queue/ledger_file.hpp"

namespace {

void check(bool good) {
  if (!good) __builtin_trap();
}

// Where fsync costs nothing, if there is such a place.
const std::string& folder() {
  static const std::string& path = *[] {
    const char* base = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    auto* name = new std::string(std::string(base) + "/onward-ledger-fuzz-XXXXXX");  // outlives what runs at exit
    check(::mkdtemp(name->data()) != nullptr);
    std::atexit([] { std::filesystem::remove_all(folder()); });
    return name;
  }();
  return path;
}

queue::Copy copy_of(int number) {
  queue::Copy copy;
  copy.fingerprint.exact = core::sha256(std::to_string(number));
  copy.trace = "abcdefghij-1";
  return copy;
}

std::string whole(const std::string& path) {
  std::string content;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  check(fd >= 0);
  char block[8192];
  for (ssize_t n = 0; (n = ::read(fd, block, sizeof block)) > 0;) content.append(block, static_cast<std::size_t>(n));
  ::close(fd);
  return content;
}

void put(const std::string& path, const std::string& content) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  check(fd >= 0 && ::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
  ::close(fd);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto options = data[0];
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string path = folder() + "/ledger";
  const core::ManualClock clock;
  constexpr std::uint32_t kLimit = 16;

  std::string content(input);
  if ((options & 1) != 0) {
    // A good file whose records were overwritten: a random file never gets past the header's check.
    ::unlink(path.c_str());
    {
      auto made = queue::Ledger::open(path, kLimit, clock);
      check(made.has_value());
      for (int i = 0; i < 4; ++i) {
        const auto copy = copy_of(i);
        auto claimed = made->ledger->claim({&copy, 1});
        auto flight = std::move(std::get<queue::Flight>(claimed));
        flight.journal_dot();
        mail::Outcome outcome;
        outcome.fate = i % 2 == 0 ? mail::Fate::delivered : mail::Fate::unknown;
        flight.settle(0, outcome);
      }
    }
    content = whole(path);
    // Exclusive or, so that most of what was good stays good.
    const std::size_t from = (options & 2) != 0 ? 0 : 4096;
    for (std::size_t i = 0; i < input.size() && from + i < content.size(); ++i) {
      content[from + i] = static_cast<char>(content[from + i] ^ input[i]);
    }
    if ((options & 4) != 0) content.resize(content.size() - std::min<std::size_t>(content.size(), options >> 3));
  }
  put(path, content);

  const std::uint32_t limit = (options & 0x80) != 0 ? kLimit / 2 : kLimit;
  {
    auto opened = queue::Ledger::open(path, limit, clock);
    check(opened.has_value());
    auto& ledger = *opened->ledger;
    const auto stats = ledger.stats();
    check(stats.entries <= limit && stats.in_flight == 0);
    check(stats.entries == stats.lost + stats.delivered + stats.owned);
    check(ledger.list(100).size() <= stats.entries);
    check(ledger.find("0000", 10).has_value());
    for (int i = 0; i < 8; ++i) {
      const auto copy = copy_of(i);
      const auto found = ledger.peek(copy);
      // A flipped bit never makes one of another: 2XX only what was delivered.
      if ((options & 1) != 0 && found.what == queue::Finding::What::delivered) check(i == 0 || i == 2);
      auto claimed = ledger.claim({&copy, 1});
      if (auto* flight = std::get_if<queue::Flight>(&claimed)) {
        flight->journal_dot();
        mail::Outcome outcome;
        outcome.fate = mail::Fate::delivered;
        flight->settle(0, outcome);
      }
    }
    check(ledger.stats().entries <= limit);
    for (int i = 4; i < 8; ++i) check(ledger.peek(copy_of(i)).what == queue::Finding::What::delivered);
  }
  auto again = queue::Ledger::open(path, limit, clock);
  check(again.has_value());
  for (int i = 4; i < 8; ++i) check(again->ledger->peek(copy_of(i)).what == queue::Finding::What::delivered);
  again = queue::Ledger::Opened{};
  std::error_code ignored;
  for (int i = 1; i <= 10; ++i) std::filesystem::remove(path + ".damaged-" + std::to_string(i), ignored);
  return 0;
}
