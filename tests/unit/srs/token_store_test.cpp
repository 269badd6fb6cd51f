#include "srs/token_store.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

namespace {

using srs::TokenFile;

class TokenFileTest : public testing::Test {
 protected:
  TokenFileTest() {
    std::string name = testing::TempDir() + "onward-tokens-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    path_ = folder_ + "/srs.tokens";
  }
  ~TokenFileTest() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<TokenFile> open(std::size_t bound = 100) {
    auto file = TokenFile::open(path_, TokenFile::Access::read_write, bound);
    EXPECT_TRUE(file) << core::describe(file.error());
    return std::move(*file);
  }
  static std::string token(int i) { return "TOKEN" + std::to_string(i); }
  static std::string address(int i) { return "someone." + std::to_string(i) + "@sender.example"; }
  static void put(TokenFile& file, int i) { ASSERT_FALSE(file.put(token(i), address(i))) << i; }
  static bool has(TokenFile& file, int i) {
    const auto found = file.find(token(i));
    EXPECT_TRUE(!found || *found == address(i)) << *found;
    return found.has_value();
  }
  std::string content() const {
    std::ifstream in(path_);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void write(std::string_view text) const { std::ofstream(path_) << text; }

  std::string folder_, path_;
};

TEST_F(TokenFileTest, keeps_over_a_restart) {
  {
    auto file = open();
    for (int i = 0; i < 50; ++i) put(*file, i);
    for (int i = 0; i < 50; ++i) EXPECT_TRUE(has(*file, i));
    EXPECT_FALSE(file->find("TOKEN"));
    EXPECT_FALSE(file->find("TOKEN99"));
  }
  auto file = open();
  EXPECT_EQ(file->lines(), 50U);
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(has(*file, i));
  struct stat st{};
  ASSERT_EQ(::stat(path_.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0600U);
}

TEST_F(TokenFileTest, is_on_disk_before_the_address_is_used) {
  auto file = open();
  put(*file, 1);
  EXPECT_EQ(content(), "TOKEN1 someone.1@sender.example\n");
}

TEST_F(TokenFileTest, the_same_again_costs_no_line) {
  auto file = open();
  for (int i = 0; i < 30; ++i) put(*file, 7);
  EXPECT_EQ(file->lines(), 1U);
}

TEST_F(TokenFileTest, oldest_out_first_and_bounded) {
  constexpr std::size_t kBound = 100;
  auto file = open(kBound);
  for (int i = 0; i < 1000; ++i) {
    put(*file, i);
    ASSERT_LE(file->lines(), 2 * kBound);
    // the youngest `bound` are there, always
    for (int back = 0; back < static_cast<int>(kBound) && back <= i; back += 9) ASSERT_TRUE(has(*file, i - back)) << i;
  }
  EXPECT_FALSE(has(*file, 0));
  EXPECT_FALSE(has(*file, 700));
  EXPECT_FALSE(std::filesystem::exists(path_ + ".new"));
  const auto lines = file->lines();
  file.reset();
  file = open(kBound);
  EXPECT_EQ(file->lines(), lines);
  for (int i = 900; i < 1000; ++i) EXPECT_TRUE(has(*file, i)) << i;
}

TEST_F(TokenFileTest, a_token_in_use_stays_young) {
  auto file = open(100);
  for (int i = 1; i < 2000; ++i) {
    put(*file, i);
    put(*file, 0);
  }
  EXPECT_TRUE(has(*file, 0));
  EXPECT_LE(file->lines(), 200U);
}

TEST_F(TokenFileTest, a_smaller_bound_cuts_at_start) {
  {
    auto file = open(1000);
    for (int i = 0; i < 900; ++i) put(*file, i);
  }
  auto file = open(10);
  EXPECT_EQ(file->lines(), 10U);
  EXPECT_TRUE(has(*file, 899));
  EXPECT_FALSE(has(*file, 889));
}

TEST_F(TokenFileTest, a_torn_last_line_is_cut_off) {
  for (const auto* torn : {"T", "TOKEN3 someone.3@sender.exampl", "TOKEN3 "}) {
    write(std::string("TOKEN1 someone.1@sender.example\nTOKEN2 someone.2@sender.example\n") + torn);
    auto file = open();
    EXPECT_TRUE(has(*file, 1));
    EXPECT_TRUE(has(*file, 2));
    EXPECT_FALSE(has(*file, 3));
    put(*file, 4);
    EXPECT_EQ(content(),
              "TOKEN1 someone.1@sender.example\nTOKEN2 someone.2@sender.example\nTOKEN4 someone.4@sender.example\n");
  }
}

TEST_F(TokenFileTest, bad_lines_are_skipped) {
  write("\nnoblank\n nothing\nTOKEN1 someone.1@sender.example\nT \n" + std::string(5000, 'x') +
        "\nA b\x01"
        "c\n" +
        std::string(700'000, 'y') + "\nTOKEN2 someone.2@sender.example\n");
  auto file = open();
  EXPECT_TRUE(has(*file, 1));
  EXPECT_TRUE(has(*file, 2));
  EXPECT_FALSE(file->find("noblank"));
  EXPECT_FALSE(file->find("T"));
  EXPECT_FALSE(file->find("A"));
  put(*file, 3);
  EXPECT_TRUE(has(*file, 3));
}

TEST_F(TokenFileTest, refuses_what_would_break_the_lines) {
  auto file = open();
  EXPECT_EQ(file->put("a b", "c@d"), core::Errc::malformed);
  EXPECT_EQ(file->put("", "c@d"), core::Errc::malformed);
  EXPECT_EQ(file->put("a", ""), core::Errc::malformed);
  EXPECT_EQ(file->put("a", "c@d\ne f"), core::Errc::malformed);
  EXPECT_EQ(file->put("a", std::string(400, 'x')), core::Errc::malformed);
  EXPECT_EQ(file->lines(), 0U);
  EXPECT_FALSE(file->put("a", "\"b c\"@d"));
  EXPECT_EQ(file->find("a"), "\"b c\"@d");
}

TEST_F(TokenFileTest, one_writer_and_any_readers) {
  auto file = open();
  put(*file, 1);
  EXPECT_FALSE(TokenFile::open(path_));
  auto reader = TokenFile::open(path_, TokenFile::Access::read_only);
  ASSERT_TRUE(reader);
  EXPECT_TRUE(has(**reader, 1));
  EXPECT_TRUE((*reader)->put(token(2), address(2)));  // an error
  EXPECT_FALSE(TokenFile::open(folder_ + "/none", TokenFile::Access::read_only));
  EXPECT_FALSE(TokenFile::open(folder_ + "/no/such/folder"));
}

TEST_F(TokenFileTest, no_symbolic_link) {
  std::filesystem::create_symlink(folder_ + "/elsewhere", path_);
  EXPECT_FALSE(TokenFile::open(path_));
}

// A full disk, played by the limit on the size of files.
TEST_F(TokenFileTest, a_full_disk_is_an_error_and_leaves_whole_lines) {
  auto file = open();
  put(*file, 1);
  const auto before = content();
  auto* const old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  rlimit tight = old;
  tight.rlim_cur = before.size() + 10;  // the next line fits in part
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  const auto error = file->put(token(2), address(2));
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_TRUE(error);
  EXPECT_EQ(content(), before);
  EXPECT_FALSE(has(*file, 2));
  put(*file, 3);
  EXPECT_TRUE(has(*file, 1));
  EXPECT_TRUE(has(*file, 3));
}

TEST_F(TokenFileTest, old_lines_stay_when_compaction_fails_but_not_for_ever) {
  auto file = open(10);
  std::filesystem::create_directory(path_ + ".new");  // cannot be unlinked as a file
  int i = 0;
  while (i < 100 && !file->put(token(i), address(i))) ++i;
  EXPECT_EQ(file->lines(), 30U);
  EXPECT_LT(i, 100);
  std::filesystem::remove(path_ + ".new");
  put(*file, i);
  EXPECT_EQ(file->lines(), 11U);
  EXPECT_TRUE(has(*file, i));
}

TEST_F(TokenFileTest, several_threads) {
  auto file = open(4000);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&file, t] {
      for (int i = 0; i < 1000; ++i) {
        put(*file, t * 1000 + i);
        EXPECT_TRUE(has(*file, t * 1000 + i));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(file->lines(), 4000U);
}

}  // namespace
