// The ledger's file: what it looks like after a write that was cut off at any octet, what becomes of damaged and
// foreign files, another limit, a full or failing disk (threats DU-04, DU-05, DU-06), and SIGKILL (promise.md C.3.5).
#include "queue/ledger_file.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <map>

#include "core/random.hpp"
#include "queue/ledger_support.hpp"

namespace queue::testing {
namespace {

constexpr std::size_t kFirstRecord = 4096, kRecord = 64;

class LedgerFileTest : public ::testing::Test {
 protected:
  std::unique_ptr<Ledger> open(std::uint32_t limit = 100) {
    notes_.clear();
    return testing::open(folder_.file(), clock_, limit, &notes_);
  }
  std::string problem(std::uint32_t limit = 100) {
    const auto opened = Ledger::open(folder_.file(), limit, clock_);
    return opened ? std::string() : opened.error().text;
  }
  bool exists(std::string_view name) const { return std::filesystem::exists(folder_.file(name)); }
  core::ManualClock clock_;
  Folder folder_;
  std::vector<std::string> notes_;
};

TEST_F(LedgerFileTest, has_its_size_from_the_beginning) {
  open(1000);
  struct stat status{};
  ASSERT_EQ(::stat(folder_.file().c_str(), &status), 0);
  EXPECT_EQ(static_cast<std::size_t>(status.st_size), kFirstRecord + 1000 * kRecord);
  EXPECT_GE(status.st_blocks * 512, status.st_size);  // reserved, not a hole
  EXPECT_EQ(status.st_mode & 07777, 0600U);
  EXPECT_FALSE(exists("ledger.new"));
  EXPECT_TRUE(notes_.empty());
}

TEST_F(LedgerFileTest, only_one_process_has_it) {
  const auto first = open();
  EXPECT_EQ(problem(), folder_.file() + ": is in use by another process");
}

TEST_F(LedgerFileTest, says_what_is_wrong_where_it_cannot_be_opened) {
  std::filesystem::create_directory(folder_.file());
  EXPECT_EQ(problem(), folder_.file() + ": cannot be opened: Is a directory");
  std::filesystem::remove(folder_.file());
  std::filesystem::create_symlink(folder_.file("elsewhere"), folder_.file());
  EXPECT_EQ(problem(), folder_.file() + ": cannot be opened: Too many levels of symbolic links");
  const auto nowhere = Ledger::open("/nonexistent/ledger", 10, clock_);
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().text, "/nonexistent/ledger: cannot be made: No such file or directory");
}

TEST_F(LedgerFileTest, what_is_no_ledger_is_set_aside) {
  {
    deliver(*open(), copy_of(1));
  }
  const auto good = folder_.read();
  const auto with = [&](std::size_t at, std::string_view octets) {
    auto content = good;
    content.replace(at, octets.size(), octets);
    return content;
  };
  const std::map<std::string, std::string> bad{
      {"is too short for a ledger", "ONWARD-LEDGER"},
      {"is no ledger", std::string(10'000, 'x')},
      {"has a damaged header", with(24, "\xff")},
  };
  int number = 0;
  for (const auto& [why, content] : bad) {
    ++number;
    folder_.write(content);
    const auto ledger = open();
    ASSERT_EQ(notes_.size(), 1U) << why;
    EXPECT_TRUE(notes_[0].find(" " + why + ": it is now ") != std::string::npos) << notes_[0];
    EXPECT_EQ(folder_.read("ledger.damaged-" + std::to_string(number)), content);
    EXPECT_EQ(ledger->stats().entries, 0U);
    deliver(*ledger, copy_of(2));
  }
  // Not more than ten of them.
  for (int i = 0; i < 15; ++i) {
    folder_.write("");
    open();
  }
  EXPECT_TRUE(exists("ledger.damaged-10"));
  EXPECT_FALSE(exists("ledger.damaged-11"));
}

TEST_F(LedgerFileTest, another_version_is_set_aside) {
  {
    open();
  }
  auto content = folder_.read();
  // A header of version 2 with a right check can only be made by version 2; it is found by its version first.
  content[16] = 2;
  folder_.write(content);
  open();
  ASSERT_EQ(notes_.size(), 1U);
  EXPECT_TRUE(exists("ledger.damaged-1"));
}

TEST_F(LedgerFileTest, damaged_records_are_left_out_and_counted) {
  {
    const auto ledger = open();
    for (int i = 0; i < 10; ++i) deliver(*ledger, copy_of(i));
  }
  auto content = folder_.read();
  for (const std::size_t record : {2U, 5U}) content[kFirstRecord + record * kRecord + 3] ^= 0x40;
  folder_.write(content);
  const auto ledger = open();
  ASSERT_EQ(notes_.size(), 1U);
  EXPECT_EQ(notes_[0], folder_.file() + ": 2 records cannot be read and are forgotten");
  EXPECT_EQ(ledger->stats().delivered, 8U);
  EXPECT_EQ(ledger->peek(copy_of(2)).what, What::nothing);
  EXPECT_EQ(ledger->peek(copy_of(3)).what, What::delivered);
}

TEST_F(LedgerFileTest, each_bit_of_a_record_is_guarded) {
  {
    deliver(*open(1), copy_of(1, 2));
  }
  const auto good = folder_.read();
  for (std::size_t bit = 0; bit < kRecord * 8; ++bit) {
    auto content = good;
    auto& octet = content[kFirstRecord + bit / 8];
    octet = static_cast<char>(static_cast<unsigned char>(octet) ^ (1U << bit % 8));
    folder_.write(content);
    const auto found = open(1)->peek(copy_of(1, 2));
    // The identity: forgotten. The state: taken for a dot without an answer. Never for what it was not.
    EXPECT_EQ(found.what, bit / 8 < 56 ? What::nothing : What::lost) << bit;
  }
}

TEST_F(LedgerFileTest, a_record_of_another_slot_or_file_is_none) {
  {
    const auto ledger = open();
    deliver(*ledger, copy_of(1));
  }
  auto content = folder_.read();
  content.replace(kFirstRecord + 7 * kRecord, kRecord, content.substr(kFirstRecord, kRecord));
  folder_.write(content);
  EXPECT_EQ(open()->stats().entries, 1U);
  EXPECT_EQ(notes_.size(), 1U);
  const auto record = content.substr(kFirstRecord, kRecord);
  std::filesystem::remove(folder_.file());
  {
    open();
  }
  content = folder_.read();
  content.replace(kFirstRecord, kRecord, record);
  folder_.write(content);
  EXPECT_EQ(open()->stats().entries, 0U);
}

TEST_F(LedgerFileTest, a_file_cut_short_keeps_what_is_there) {
  {
    const auto ledger = open();
    for (int i = 0; i < 10; ++i) deliver(*ledger, copy_of(i));
  }
  std::filesystem::resize_file(folder_.file(), kFirstRecord + 4 * kRecord + 17);
  const auto ledger = open();
  EXPECT_EQ(ledger->stats().delivered, 4U);
  ASSERT_EQ(notes_.size(), 1U);
  EXPECT_NE(notes_[0].find("was cut short"), std::string::npos) << notes_[0];
  EXPECT_EQ(std::filesystem::file_size(folder_.file()), kFirstRecord + 100 * kRecord);
}

// Every write of a record, cut off after any number of octets: the entry is as before, as after, or a dot without an
// answer; never anything else.
TEST_F(LedgerFileTest, a_write_cut_off_anywhere) {
  struct Step {
    What before, after;
    std::string from, to;
  };
  std::vector<Step> steps;
  {
    const auto ledger = open(1);
    const auto snap = [&] { return folder_.read(); };
    const auto empty = snap();
    auto flight = send(*ledger, copy_of(1));
    const auto dot = snap();
    flight.settle(0, outcome(mail::Fate::delivered));
    const auto delivered = snap();
    ledger->acknowledged(flight.entry(0));
    const auto acknowledged = snap();
    ledger->confirmed(flight.entry(0));
    const auto gone = snap();
    steps = {{What::nothing, What::lost, empty, dot},
             {What::lost, What::delivered, dot, delivered},
             {What::delivered, What::delivered, delivered, acknowledged},
             {What::delivered, What::nothing, acknowledged, gone}};
  }
  for (std::size_t s = 0; s < steps.size(); ++s) {
    const auto& step = steps[s];
    for (std::size_t cut = 0; cut <= kRecord; ++cut) {
      auto content = step.from;
      content.replace(kFirstRecord, cut, step.to.substr(kFirstRecord, cut));
      folder_.write(content);
      const auto found = open(1)->peek(copy_of(1));
      const bool whole = cut == 0 || cut == kRecord;
      if (whole) EXPECT_EQ(found.what, cut == 0 ? step.before : step.after) << s << " " << cut;
      const bool allowed = found.what == step.before || found.what == step.after || found.what == What::lost;
      EXPECT_TRUE(allowed) << s << " " << cut << ": " << static_cast<int>(found.what);
    }
  }
}

TEST_F(LedgerFileTest, another_limit) {
  {
    const auto ledger = open(100);
    for (int i = 0; i < 90; ++i) {
      clock_.advance(1s);
      if (i % 3 == 0) deliver(*ledger, copy_of(i));
      if (i % 3 == 1) deliver(*ledger, copy_of(i), mail::Fate::unknown);
      if (i % 3 == 2) claim(*ledger, copy_of(i)).own(0);
    }
  }
  {
    const auto ledger = open(1000);  // more room: nothing is lost
    EXPECT_TRUE(notes_.empty());
    EXPECT_EQ(ledger->stats().limit, 1000U);
    EXPECT_EQ(ledger->stats().entries, 90U);
    EXPECT_EQ(ledger->peek(copy_of(1)).unknown, 1U);
    EXPECT_EQ(ledger->list(1000).size(), 90U);
    EXPECT_EQ(ledger->list(1).at(0).trace, "abcdefghij-90");
  }
  {
    const auto ledger = open(70);  // less: the oldest 2XX first
    ASSERT_EQ(notes_.size(), 1U);
    EXPECT_NE(notes_[0].find("20 entries were dropped"), std::string::npos) << notes_[0];
    EXPECT_EQ(ledger->stats().delivered, 10U);
    EXPECT_EQ(ledger->stats().lost, 30U);
    EXPECT_EQ(ledger->stats().owned, 30U);
    EXPECT_EQ(ledger->peek(copy_of(57)).what, What::nothing);
    EXPECT_EQ(ledger->peek(copy_of(60)).what, What::delivered);
  }
  EXPECT_EQ(open(70)->stats().entries, 70U);
  EXPECT_TRUE(notes_.empty());
  EXPECT_EQ(std::filesystem::file_size(folder_.file()), kFirstRecord + 70 * kRecord);
}

// What a kill in the middle of making it anew leaves.
TEST_F(LedgerFileTest, a_half_made_new_file_is_swept_away) {
  {
    deliver(*open(), copy_of(1));
  }
  folder_.write("rubbish", "ledger.new");
  EXPECT_EQ(open(50)->stats().entries, 1U);
  EXPECT_FALSE(exists("ledger.new"));
}

// ---- disks

// Limits the size of files, which fails like a full disk does, but for writes inside of the file too.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t octets) {
    before_handler_ = std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit now{octets, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &now);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, before_handler_);
  }

 private:
  rlimit before_{};
  void (*before_handler_)(int) = nullptr;
};

TEST_F(LedgerFileTest, no_room_on_the_disk_is_found_at_start) {
  {
    const FileSizeLimit limit(100'000);
    EXPECT_EQ(problem(10'000), folder_.file() + ": cannot be made: File too large");
    EXPECT_FALSE(exists("ledger.new"));
    EXPECT_FALSE(exists("ledger"));
    {
      deliver(*open(1000), copy_of(1));
    }
    // The old file stays as it was.
    EXPECT_EQ(problem(10'000), folder_.file() + ": cannot be made: File too large");
  }
  EXPECT_EQ(open(1000)->peek(copy_of(1)).what, What::delivered);
}

// DU-05, promise.md C.6: the journal goes on in memory.
TEST_F(LedgerFileTest, a_disk_that_fails_leaves_the_journal_in_memory) {
  auto ledger = open();
  deliver(*ledger, copy_of(1));
  auto before = send(*ledger, copy_of(2));
  EXPECT_FALSE(ledger->file_error());
  {
    const FileSizeLimit limit(1000);
    before.settle(0, outcome(mail::Fate::delivered));
    EXPECT_EQ(ledger->file_error().message(), "File too large");
  }
  deliver(*ledger, copy_of(3));
  EXPECT_EQ(ledger->peek(copy_of(1)).what, What::delivered);
  EXPECT_EQ(ledger->peek(copy_of(2)).what, What::delivered);
  EXPECT_EQ(ledger->peek(copy_of(3)).what, What::delivered);
  ledger.reset();
  // Nothing more was written after the error: no second try is trusted.
  ledger = open();
  EXPECT_EQ(ledger->peek(copy_of(1)).what, What::delivered);
  EXPECT_EQ(ledger->peek(copy_of(2)).what, What::lost);
  EXPECT_EQ(ledger->peek(copy_of(3)).what, What::nothing);
}

TEST(LedgerInMemory, works_without_a_file) {
  const core::ManualClock clock;
  const auto ledger = Ledger::in_memory(2, clock);
  deliver(*ledger, copy_of(1));
  deliver(*ledger, copy_of(2));
  deliver(*ledger, copy_of(3));
  EXPECT_EQ(ledger->peek(copy_of(1)).what, What::nothing);
  EXPECT_EQ(ledger->peek(copy_of(3)).what, What::delivered);
  EXPECT_FALSE(ledger->file_error());
}

// ---- SIGKILL

constexpr std::uint32_t kRoom = 100'000;  // nothing is dropped
constexpr int kPipe = 4096;

// A child that does one thing after the other, and says what it has done when it has done it.
[[noreturn]] void work(const std::string& path, int first, int to) {
  const core::SystemClock clock;
  auto opened = Ledger::open(path, kRoom, clock);
  if (!opened) ::_exit(1);
  auto& ledger = *opened->ledger;
  const auto say = [to](int number, char what) {
    std::array<char, 16> line{};
    const int size = std::snprintf(line.data(), line.size(), "%c%d\n", what, number);
    if (::write(to, line.data(), static_cast<std::size_t>(size)) != size) ::_exit(1);
  };
  std::map<int, Flight> open_flights;
  for (int number = first;; ++number) {
    const auto copy = copy_of(number);
    auto claimed = ledger.claim({&copy, 1});
    auto* flight = std::get_if<Flight>(&claimed);
    if (flight == nullptr) ::_exit(1);
    flight->journal_dot();
    say(number, 'd');
    switch (number % 5) {
      case 0:
        open_flights.emplace(number, std::move(*flight));
        break;
      case 1:
        flight->settle(0, outcome(mail::Fate::unknown));
        say(number, 'u');
        break;
      case 2:
        flight->settle(0, outcome(mail::Fate::delivered));
        say(number, 'a');
        ledger.confirmed(flight->entry(0));
        say(number, 'c');
        break;
      case 3:
        say(number, 'o');  // begun: from here either
        flight->hand_over(0, row_of(number));
        say(number, 'h');
        break;
      default:
        flight->settle(0, outcome(mail::Fate::delivered));
        say(number, 'a');
    }
  }
}

// C.3.5: everything that was said to be written is there.
TEST_F(LedgerFileTest, sigkill_at_any_instruction_loses_nothing) {
  core::SeededRandom random(static_cast<std::uint64_t>(::getpid()));
  std::map<int, std::string> said;  // by copy: what was said, in order
  int first = 0;
  for (int round = 0; round < 60; ++round) {
    std::array<int, 2> pipe{};
    ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
    ::fcntl(pipe[1], F_SETPIPE_SZ, kPipe);
    const auto child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) work(folder_.file(), first, pipe[1]);
    ::close(pipe[1]);
    // Killed after so many octets were read of it, wherever it is then.
    auto until = static_cast<std::int64_t>(random.below(4000));
    std::string text;
    std::array<char, 512> block{};
    for (bool killed = false;;) {
      if (!killed && static_cast<std::int64_t>(text.size()) >= until) {
        ::kill(child, SIGKILL);
        killed = true;
      }
      const auto n = ::read(pipe[0], block.data(), killed ? block.size() : 1 + random.below(block.size()));
      if (n <= 0) break;
      text.append(block.data(), static_cast<std::size_t>(n));
    }
    ::close(pipe[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself with " << WEXITSTATUS(status);
    std::map<int, std::string> now;
    std::size_t begin = 0;
    for (auto end = text.find('\n'); end != std::string::npos; begin = end + 1, end = text.find('\n', begin)) {
      const int number = std::stoi(text.substr(begin + 1, end - begin - 1));
      now[number] += text[begin];
      first = std::max(first, number + 2);  // the next one may have been begun
    }
    said.merge(now);

    const core::SystemClock clock;
    const auto opened = Ledger::open(folder_.file(), kRoom, clock);
    ASSERT_TRUE(opened) << opened.error().text;
    EXPECT_TRUE(opened->notes.empty()) << opened->notes.front();
    for (const auto& [number, what] : said) {
      const auto found = opened->ledger->peek(copy_of(number));
      const auto last = what.back();
      const bool client_dot = found.what == What::lost && found.unknown == 1;
      const bool delivered = found.what == What::delivered;
      switch (last) {
        case 'd':  // what came next may have been done, and only not been said
          EXPECT_TRUE(client_dot || delivered || (found.what == What::nothing && number % 5 == 2)) << number;
          if (number % 5 < 2) EXPECT_TRUE(client_dot) << number;
          break;
        case 'u':
          EXPECT_TRUE(client_dot) << number;
          break;
        case 'a':
          EXPECT_TRUE(delivered || (found.what == What::nothing && number % 5 == 2)) << number;
          break;
        case 'c':
          EXPECT_EQ(found.what, What::nothing) << number;
          break;
        case 'o':
        case 'h': {
          const auto row = opened->ledger->peek(row_of(number));
          const bool handed = found.what == What::owned && row.what == What::lost && row.unknown == 1;
          EXPECT_TRUE(handed || (last == 'o' && client_dot)) << number;
          break;
        }
        default:
          ADD_FAILURE() << what;
      }
    }
  }
  EXPECT_GT(said.size(), 100U);
  EXPECT_LT(said.size(), kRoom / 2);
}

}  // namespace
}  // namespace queue::testing
