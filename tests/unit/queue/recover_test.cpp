// `onward recover` (threats DU-04): what can be read is saved, what cannot is named, nothing is thrown away.
#include <fmt/format.h>

#include "core/random.hpp"
#include "queue/sqlite.hpp"
#include "support.hpp"

namespace queue {
namespace {

using namespace testing;

constexpr auto kRecursive = std::filesystem::copy_options::recursive;

// A queue, to be copied.
struct Original {
  Original() {
    place.open();
    for (int i = 0; i < kMessages; ++i) {
      const std::size_t size = i % 50 == 0 ? 80'000 : 1'500;
      auto m = message(place.store(), fmt::format("m{}", i), size, fmt::format("u{}@inbox.example", i));
      m.recipients.push_back(recipient("v@other.example"));
      m.recipients[1].fingerprint.fill(9);
      EXPECT_TRUE(place.put(std::move(m), octets(size, static_cast<unsigned>(i))).ok());
    }
    place.close();
  }
  static constexpr int kMessages = 200;
  Place place;
};

class Damaged : public Place {
 public:
  static constexpr int kMessages = Original::kMessages;
  Damaged() {
    static const Original original;
    for (const auto* const name : {"queue.db", "bodies"}) {
      std::filesystem::copy(original.place.folder.file(name), folder.file(name), kRecursive);
    }
  }
  std::string database() const { return folder.file("queue.db"); }
  std::uint64_t pages() const { return std::filesystem::file_size(database()) / 4096; }
  void spoil(std::uint64_t page, std::size_t octets = 4096) {
    std::fstream file(database(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(page * 4096));
    file << std::string(octets, '\x5a');
  }
  Recovery recover() { return recover_store(folder.path(), posix_files(), clock); }
  // Each message that is there can be read whole, or is held.
  std::size_t check() {
    open();
    std::size_t whole = 0;
    for (const auto& job : list()) {
      const auto number = static_cast<unsigned>(std::stoi(job.envelope.id.substr(1)));
      const auto text = read(job.key);
      if (text) {
        EXPECT_EQ(*text, octets(job.envelope.size, number));
        whole += job.recipients.size() == 2 ? 1 : 0;
      } else {
        EXPECT_EQ(job.recipients.at(0).hold, Hold::quarantined) << job.envelope.id;
      }
    }
    EXPECT_EQ(statistics().messages, list().size());
    // And it goes on.
    EXPECT_TRUE(put("m9999", octets(10, 9999)).ok());
    EXPECT_FALSE(lease().work.empty());
    return whole;
  }
};

TEST(Recover, LeavesAWholeQueueAlone) {
  Damaged place;
  const auto recovery = place.recover();
  EXPECT_FALSE(recovery.needed);
  EXPECT_EQ(recovery.error, "");
  EXPECT_EQ(place.check(), static_cast<std::size_t>(Damaged::kMessages));
}

TEST(Recover, RefusesWhatItCannotDo) {
  Place place;
  place.open();
  EXPECT_NE(recover_store(place.folder.path(), posix_files(), place.clock).error.find("another process"),
            std::string::npos);
  place.close();
  std::filesystem::remove(place.folder.file("queue.db"));
  EXPECT_NE(recover_store(place.folder.path(), posix_files(), place.clock).error.find("is missing"), std::string::npos);
  EXPECT_NE(recover_store("/nonexistent", posix_files(), place.clock).error, "");
}

TEST(Recover, ALostFirstPageLosesNothing) {
  Damaged place;
  place.spoil(0);
  EXPECT_EQ(place.refuse().kind, OpenFailure::Kind::corrupt);
  const auto recovery = place.recover();
  EXPECT_TRUE(recovery.needed);
  EXPECT_EQ(recovery.error, "");
  EXPECT_EQ(recovery.messages, static_cast<std::uint64_t>(Damaged::kMessages));
  EXPECT_EQ(recovery.quarantined, 0U);
  EXPECT_EQ(place.check(), static_cast<std::size_t>(Damaged::kMessages));
  EXPECT_TRUE(std::filesystem::exists(place.folder.file("queue.db.damaged-1")));
  EXPECT_FALSE(std::filesystem::exists(place.folder.file("queue.db.copy")));
}

TEST(Recover, WhatIsStillInTheLogIsSavedToo) {
  Damaged place;
  // As after a kill: the log is there.
  place.open();
  ASSERT_EQ(wait_for(place.store().hold({.id = "m5"}, "x", {0, 10})).recipients, 2U);
  const TemporaryFolder copy;
  for (const auto* const name : {"queue.db", "queue.db-wal", "bodies"}) {
    std::filesystem::copy(place.folder.file(name), copy.file(name), kRecursive);
  }
  place.close();
  for (const auto* const name : {"queue.db", "queue.db-wal", "bodies"}) {
    std::filesystem::remove_all(place.folder.file(name));
    std::filesystem::copy(copy.file(name), place.folder.file(name), kRecursive);
  }
  place.spoil(0);
  const auto recovery = place.recover();
  EXPECT_EQ(recovery.error, "");
  EXPECT_TRUE(recovery.needed);
  EXPECT_EQ(recovery.messages, static_cast<std::uint64_t>(Damaged::kMessages));
  EXPECT_EQ(place.check(), static_cast<std::size_t>(Damaged::kMessages));
  EXPECT_EQ(place.list({.queue = "hold"}).size(), 1U);
}

TEST(Recover, AnySinglePageLosesOnlyWhatWasOnIt) {
  Damaged original;
  const auto pages = original.pages();
  core::SeededRandom random(11);
  for (int turn = 0; turn < 25; ++turn) {
    Damaged place;
    const auto page = turn < 12 ? static_cast<std::uint64_t>(turn) : random.below(pages);
    SCOPED_TRACE(fmt::format("page {} of {}", page, pages));
    place.spoil(page);
    const auto recovery = place.recover();
    EXPECT_EQ(recovery.error, "");
    if (!recovery.needed) {
      place.check();  // the page of a body: found when it is read
      continue;
    }
    // A leaf of a tree holds few rows; an inner page, or the root of recipients, may cost more, and then it is said.
    const auto whole = place.check();
    if (whole < static_cast<std::size_t>(Damaged::kMessages)) EXPECT_FALSE(recovery.lost.empty());
    EXPECT_EQ(recovery.messages - recovery.quarantined > 0, whole > 0);
  }
}

TEST(Recover, LeavesOfATableCostTheirRowsOnly) {
  Damaged place;
  // Find a leaf page of the table `recipient`: it names a rule.
  std::ifstream file(place.database(), std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  std::uint64_t leaf = 0;
  for (std::uint64_t page = 1; page < content.size() / 4096 && leaf == 0; ++page) {
    const auto text = std::string_view(content).substr(page * 4096, 4096);
    if (text[0] == 13 && text.find("example.org/sales") != std::string_view::npos) leaf = page;
  }
  ASSERT_NE(leaf, 0U);
  place.spoil(leaf);
  const auto recovery = place.recover();
  EXPECT_TRUE(recovery.needed);
  EXPECT_GT(recovery.recipients, 2U * Damaged::kMessages - 40);
  EXPECT_LT(recovery.recipients, 2U * Damaged::kMessages);
  EXPECT_FALSE(recovery.lost.empty());
  EXPECT_GT(place.check(), static_cast<std::size_t>(Damaged::kMessages) - 25);
}

TEST(Recover, OctetsThatBelongToNoMessageAreKept) {
  Damaged place;
  std::ofstream(place.database(), std::ios::binary) << std::string(100'000, 'x');
  const auto recovery = place.recover();
  EXPECT_EQ(recovery.error, "");
  EXPECT_EQ(recovery.messages, 0U);
  EXPECT_FALSE(recovery.lost.empty());
  EXPECT_EQ(posix_files().list(place.folder.file("lost"))->size(), 4U);  // the four large ones
  place.check();
}

TEST(Recover, AKillBetweenItsRenamesIsMadeGood) {
  Damaged place;
  place.spoil(0);
  std::filesystem::rename(place.database(), place.folder.file("queue.db.damaged-1"));
  std::ofstream(place.folder.file("queue.db.recovered")) << "half";
  const auto recovery = place.recover();
  EXPECT_EQ(recovery.error, "");
  EXPECT_EQ(place.check(), static_cast<std::size_t>(Damaged::kMessages));
}

TEST(Recover, RandomDamageNeverEndsWithoutAQueue) {
  core::SeededRandom random(77);
  for (int turn = 0; turn < 15; ++turn) {
    SCOPED_TRACE(turn);
    Damaged place;
    const auto spots = 1 + random.below(8);
    for (std::uint64_t i = 0; i < spots; ++i) place.spoil(random.below(place.pages()), 1 + random.below(4096));
    const auto recovery = place.recover();
    EXPECT_EQ(recovery.error, "");
    place.check();
  }
}

}  // namespace
}  // namespace queue
