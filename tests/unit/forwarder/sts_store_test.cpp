// Policies outlive the process, end with their max_age, are refreshed before, and never take more room than allowed.
#include "forwarder/sts_store.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace forwarder {
namespace {

namespace fs = std::filesystem;
const core::Wall::time_point kNow{core::Seconds(1'800'000'000)};

StsEntry entry(core::Seconds max_age, std::string filler = "") {
  const auto text = "version: STSv1\nmode: enforce\nmx: mx.inbox.test\nmax_age: " + std::to_string(max_age.count()) +
                    "\n" + (filler.empty() ? "" : "x: " + filler + "\n");
  StsEntry out;
  out.id = "id1";
  out.policy = *parse_sts_policy(text);
  out.fetched = kNow;
  return out;
}

class StsStoreTest : public ::testing::Test {
 protected:
  StsStoreTest() {
    std::string pattern = (fs::temp_directory_path() / "onward-sts-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~StsStoreTest() override { fs::remove_all(folder_); }
  std::string folder_;
};

TEST_F(StsStoreTest, survives_a_restart) {
  {
    StsStore store;
    ASSERT_TRUE(store.open(folder_ + "/sts", StsStore::Access::read_write, kNow));
    store.put("inbox.test", entry(core::Seconds(86'400)), kNow);
    store.put("gone.test", entry(core::Seconds(10)), kNow);
  }
  EXPECT_EQ(fs::status(folder_ + "/sts/inbox.test").permissions(), fs::perms::owner_read | fs::perms::owner_write);
  std::ofstream(folder_ + "/sts/broken.test") << "rubbish";
  StsStore store;
  const auto later = kNow + core::Seconds(60);
  ASSERT_TRUE(store.open(folder_ + "/sts", StsStore::Access::read_write, later));
  EXPECT_EQ(store.size(), 1U);
  const auto found = store.find("inbox.test", later);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->id, "id1");
  EXPECT_EQ(found->policy.mode, StsMode::enforce);
  EXPECT_EQ(found->fetched, kNow);
  EXPECT_FALSE(fs::exists(folder_ + "/sts/broken.test"));
  EXPECT_FALSE(fs::exists(folder_ + "/sts/gone.test")) << "its time was over";
}

TEST_F(StsStoreTest, read_only_leaves_the_folder_alone) {
  std::ofstream(folder_ + "/broken.test") << "rubbish";
  StsStore store;
  EXPECT_TRUE(store.open(folder_, StsStore::Access::read_only, kNow));
  store.put("inbox.test", entry(core::Seconds(86'400)), kNow);
  EXPECT_TRUE(fs::exists(folder_ + "/broken.test"));
  EXPECT_FALSE(fs::exists(folder_ + "/inbox.test"));
  EXPECT_FALSE(store.open(folder_ + "/nowhere", StsStore::Access::read_only, kNow));
}

TEST(StsStore, ends_with_max_age) {
  StsStore store;
  store.put("inbox.test", entry(core::Seconds(100)), kNow);
  EXPECT_TRUE(store.find("inbox.test", kNow + core::Seconds(99)));
  EXPECT_FALSE(store.find("inbox.test", kNow + core::Seconds(100)));
  EXPECT_EQ(store.size(), 0U);
  store.put("inbox.test", entry(core::Seconds(100)), kNow);
  store.put("inbox.test", entry(core::Seconds(0)), kNow);
  EXPECT_FALSE(store.find("inbox.test", kNow)) << "max_age 0 takes back what was there";
}

TEST(StsStore, is_due_before_it_expires) {
  StsStore store;
  store.put("a.test", entry(core::Seconds(1000)), kNow);
  store.put("b.test", entry(core::Seconds(604'800)), kNow);
  EXPECT_TRUE(store.due(kNow + core::Seconds(499), 10).empty());
  EXPECT_EQ(store.due(kNow + core::Seconds(500), 10), std::vector<std::string>{"a.test"});
  EXPECT_EQ(store.due(kNow + StsEntry::kRefresh, 10), std::vector<std::string>{"b.test"});
  EXPECT_EQ(store.due(kNow + core::Seconds(999), 10), std::vector<std::string>{"a.test"});
  EXPECT_TRUE(store.due(kNow + core::Seconds(1000), 10).empty()) << "there is nothing to refresh any more";
  EXPECT_EQ(store.due(kNow + core::Seconds(999), 0).size(), 0U);
  EXPECT_TRUE(store.due(kNow - core::Seconds(86'400), 10).empty()) << "the clock was set back";
}

TEST(StsStore, is_due_while_it_is_in_use) {
  StsStore store;
  store.put("a.test", entry(core::Seconds(31'557'600)), kNow);
  const auto last = kNow + StsStore::kRefreshUsed - core::Seconds(1);
  EXPECT_EQ(store.due(last, 10), std::vector<std::string>{"a.test"});
  EXPECT_TRUE(store.due(last + core::Seconds(1), 10).empty());
  EXPECT_TRUE(store.find("a.test", last));
  EXPECT_EQ(store.due(last + core::Seconds(1), 10), std::vector<std::string>{"a.test"});
}

TEST(StsStore, what_expires_first_is_due_first) {
  StsStore store;
  store.put("a.test", entry(core::Seconds(3000)), kNow);
  store.put("b.test", entry(core::Seconds(1600)), kNow);
  store.put("c.test", entry(core::Seconds(2000)), kNow);
  store.put("d.test", entry(core::Seconds(9000)), kNow);
  const auto now = kNow + core::Seconds(1500);
  EXPECT_EQ(store.due(now, 1), (std::vector<std::string>{"b.test"}));
  EXPECT_EQ(store.due(now, 2), (std::vector<std::string>{"b.test", "c.test"}));
  EXPECT_EQ(store.due(now, 3), (std::vector<std::string>{"b.test", "c.test", "a.test"}));
  EXPECT_EQ(store.due(now, 4).size(), 3U);
}

TEST(StsStore, names_that_are_no_files) {
  StsStore store;
  for (const char* name : {"", "../etc/passwd", "a/b", ".hidden", "a b"})
    store.put(name, entry(core::Seconds(9)), kNow);
  EXPECT_EQ(store.size(), 0U);
}

TEST(StsStore, is_bounded) {
  StsStore store;
  const std::string filler(60'000, 'y');
  const auto most = StsStore::kMaxOctets / filler.size();
  for (std::size_t i = 0; i <= most; ++i) {
    store.put("d" + std::to_string(i) + ".test", entry(core::Seconds(86'400), filler),
              kNow + core::Seconds(static_cast<int>(i)));
  }
  EXPECT_LE(store.size(), most);
  EXPECT_FALSE(store.find("d0.test", kNow)) << "the one not used for longest went";
}

TEST(StsStore, files_that_are_none) {
  EXPECT_FALSE(read_sts_entry(""));
  const auto good = write_sts_entry("inbox.test", entry(core::Seconds(86'400)));
  ASSERT_TRUE(read_sts_entry(good));
  for (std::size_t cut = 0; cut + 60 < good.size(); ++cut) EXPECT_FALSE(read_sts_entry(good.substr(0, cut))) << cut;
  EXPECT_FALSE(read_sts_entry(write_sts_entry("../x", entry(core::Seconds(86'400)))));
  const std::string policy = "version: STSv1\nmode: testing\nmx: a.test\nmax_age: 1\n";
  const auto fetched = [&](const std::string& at) {
    return read_sts_entry("onward-mta-sts 1\ndomain: inbox.test\nid: id1\nfetched: " + at + "\n\n" + policy);
  };
  EXPECT_TRUE(fetched("4000000000"));
  EXPECT_FALSE(fetched("4000000001")) << "no time that the clock cannot show";
}

}  // namespace
}  // namespace forwarder
