#include "core/secret_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace {

using testing::HasSubstr;
using testing::StartsWith;

class SecretFileTest : public testing::Test {
 protected:
  SecretFileTest() {
    std::string name = testing::TempDir() + "onward-secret-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    path_ = folder_ + "/key";
    write("the secret\n");
    mode(0600);
  }
  ~SecretFileTest() override { std::filesystem::remove_all(folder_); }

  void write(std::string_view text) const { std::ofstream(path_) << text; }
  void mode(mode_t m) const { ASSERT_EQ(::chmod(path_.c_str(), m), 0); }
  // The content, or the error text.
  std::string read(const std::string& path) const {
    const auto content = core::read_secret_file(path, user_);
    return content ? std::string(content->view()) : content.error().text;
  }
  std::string read() const { return read(path_); }
  static bool root() { return ::geteuid() == 0; }

  core::SecretUser user_{::geteuid(), ::getegid()};
  std::string folder_, path_;
};

TEST_F(SecretFileTest, reads_what_nobody_else_can_read) {
  for (const mode_t m : {0600U, 0400U, 0640U}) {
    mode(m);
    EXPECT_EQ(read(), "the secret\n") << std::oct << m;
  }
}

TEST(Threats, OP_03_what_others_could_read_or_change_is_refused) {
  // in a folder of its own, so that the fixture can be used by name of the threat
  std::string folder = testing::TempDir() + "onward-secret-XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const auto path = folder + "/key";
  std::ofstream(path) << "x";
  const core::SecretUser user{::geteuid(), ::getegid()};
  for (mode_t m = 0; m <= 07777; ++m) {
    const bool good = m == 0600 || m == 0400 || m == 0640;
    ASSERT_EQ(::chmod(path.c_str(), m), 0);
    EXPECT_EQ(core::read_secret_file(path, user).has_value(), good) << std::oct << m;
  }
  std::filesystem::remove_all(folder);
}

TEST_F(SecretFileTest, a_link_is_refused_and_a_link_to_the_folder_is_not) {
  std::filesystem::create_symlink("key", folder_ + "/link");
  EXPECT_THAT(read(folder_ + "/link"), HasSubstr("symbolic link"));
  std::filesystem::create_directory_symlink(folder_, folder_ + "/here");
  EXPECT_EQ(read(folder_ + "/here/key"), "the secret\n");
}

TEST_F(SecretFileTest, what_is_no_plain_file_is_refused_at_once) {
  EXPECT_THAT(read(folder_), HasSubstr("not a plain file"));
  ASSERT_EQ(::mkfifo((folder_ + "/fifo").c_str(), 0600), 0);
  EXPECT_THAT(read(folder_ + "/fifo"), HasSubstr("not a plain file"));
  EXPECT_THAT(read(folder_ + "/none"), StartsWith(folder_ + "/none: "));
  EXPECT_THAT(read(folder_ + "/none/key"), HasSubstr("No such file"));
  EXPECT_THAT(read(folder_ + "/"), HasSubstr("No such file"));
}

TEST_F(SecretFileTest, size_at_limit_and_beyond) {
  write(std::string(core::kMaxSecretFile, 'x'));
  EXPECT_EQ(read().size(), core::kMaxSecretFile);
  write(std::string(core::kMaxSecretFile + 1, 'x'));
  EXPECT_THAT(read(), HasSubstr("larger than 65536 octets"));
  write("");
  EXPECT_EQ(read(), "");
}

TEST_F(SecretFileTest, a_folder_that_strangers_can_write_to_is_refused) {
  ASSERT_EQ(::chmod(folder_.c_str(), 0777), 0);
  EXPECT_THAT(read(), HasSubstr("chmod o-w"));
  ASSERT_EQ(::chmod(folder_.c_str(), 01777), 0);  // like /tmp: others cannot replace the file
  EXPECT_EQ(read(), "the secret\n");
  ASSERT_EQ(::chmod(folder_.c_str(), 0770), 0);  // our own group
  EXPECT_EQ(read(), "the secret\n");
}

TEST_F(SecretFileTest, owners) {
  if (!root()) GTEST_SKIP() << "only root can give files away";
  constexpr uid_t kUser = 4001, kStranger = 4002;
  constexpr gid_t kGroup = 4003, kOther = 4004;
  user_ = {kUser, kGroup};
  ASSERT_EQ(::chown(path_.c_str(), kUser, kOther), 0);
  EXPECT_EQ(read(), "the secret\n");
  ASSERT_EQ(::chown(path_.c_str(), kStranger, kGroup), 0);
  EXPECT_THAT(read(), HasSubstr("belongs to uid 4002"));
  ASSERT_EQ(::chown(path_.c_str(), 0, kOther), 0);
  mode(0640);
  EXPECT_THAT(read(), HasSubstr("0640 needs the group"));
  ASSERT_EQ(::chown(path_.c_str(), 0, kGroup), 0);
  EXPECT_EQ(read(), "the secret\n");
  // the folder
  ASSERT_EQ(::chown(folder_.c_str(), kStranger, 0), 0);
  EXPECT_THAT(read(), HasSubstr("its folder belongs to uid 4002"));
  ASSERT_EQ(::chown(folder_.c_str(), kUser, kOther), 0);
  EXPECT_EQ(read(), "the secret\n");
  ASSERT_EQ(::chmod(folder_.c_str(), 0770), 0);
  EXPECT_THAT(read(), HasSubstr("group 4004 may write"));
}

TEST_F(SecretFileTest, create_makes_what_read_takes) {
  const auto made = folder_ + "/made";
  const auto old_umask = ::umask(0777);  // neither too wide nor too strict in the end
  const auto error = core::create_secret_file(made, "fresh");
  ::umask(old_umask);
  ASSERT_FALSE(error) << core::describe(error);
  EXPECT_EQ(read(made), "fresh");
  struct stat st{};
  ASSERT_EQ(::stat(made.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0600U);
  EXPECT_TRUE(core::create_secret_file(made, "again"));  // an error: never over an existing key
  EXPECT_EQ(read(made), "fresh");
  std::filesystem::create_symlink("dangling", folder_ + "/link");
  EXPECT_TRUE(core::create_secret_file(folder_ + "/link", "x"));
  EXPECT_TRUE(core::create_secret_file(folder_ + "/no/folder", "x"));
}

TEST(Secret, is_wiped) {
  for (const auto* text : {"short", "a text that is too long to be kept inside of the string object itself"}) {
    std::string plain = text;
    core::Secret first(std::move(plain));
    EXPECT_EQ(plain, "");  // NOLINT: the point
    core::Secret second(std::move(first));
    EXPECT_TRUE(first.empty());  // NOLINT
    EXPECT_EQ(second.view(), text);
    core::Secret third;
    third = std::move(second);
    EXPECT_TRUE(second.empty());  // NOLINT
    EXPECT_EQ(third.view(), text);
    const core::Secret copy(third);
    EXPECT_EQ(copy.view(), text);
  }
  std::string text = "0123456789abcdef";
  const char* const octets = text.data();
  const auto capacity = text.capacity();
  core::wipe(text);
  EXPECT_TRUE(text.empty());
  for (std::size_t i = 0; i <= capacity; ++i) EXPECT_EQ(octets[i], '\0') << i;
}

}  // namespace
