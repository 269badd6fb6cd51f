#include "net/spool.hpp"

#include <sys/resource.h>

#include <csignal>
#include <thread>

#include "support.hpp"

namespace net {
namespace {

using namespace testing;

TEST(Spool, appends_and_reads_back_and_leaves_no_file_behind) {
  asio::io_context context{1};
  const TemporaryFolder folder;
  Spool spool(folder.path(), 2);
  run(context, [&]() -> Awaitable<void> {
    const auto thread = std::this_thread::get_id();
    mail::Content content;
    EXPECT_TRUE(co_await spool.append(content, ""));
    EXPECT_FALSE(content.file);
    std::string all;
    for (int i = 0; i < 50; ++i) {
      std::string part(static_cast<std::size_t>(i) * 997, static_cast<char>('a' + i % 26));
      all += part;
      EXPECT_TRUE(co_await spool.append(content, std::move(part)));
      EXPECT_EQ(std::this_thread::get_id(), thread);
    }
    EXPECT_TRUE(content.file);
    EXPECT_EQ(content.file_size, all.size());
    EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
    EXPECT_TRUE((co_await spool.read(content, 0, all.size())).value() == all);
    EXPECT_TRUE((co_await spool.read(content, 12345, 1000)).value() == all.substr(12345, 1000));
    EXPECT_TRUE((co_await spool.read(content, all.size() - 5, 1000)).value() == all.substr(all.size() - 5));
    EXPECT_EQ((co_await spool.read(content, all.size(), 10)).value(), "");
    EXPECT_EQ((co_await spool.read(content, all.size() + 99, 10)).value(), "");
    EXPECT_EQ(std::this_thread::get_id(), thread);
  });
}

TEST(Spool, a_missing_folder_is_io) {
  asio::io_context context{1};
  Spool spool("/nonexistent/folder", 1);
  run(context, [&]() -> Awaitable<void> {
    mail::Content content;
    EXPECT_EQ((co_await spool.append(content, "x")).error(), Errc::io);
    EXPECT_FALSE(content.file);
    EXPECT_EQ(content.file_size, 0U);
    content.file_size = 5;  // as if the file were lost
    EXPECT_EQ((co_await spool.read(content, 0, 5)).error(), Errc::io);
  });
}

// A file size limit stands for a full disk: the write that would pass it fails in the middle.
TEST(Spool, a_failed_append_leaves_file_and_size_as_before) {
  asio::io_context context{1};
  const TemporaryFolder folder;
  Spool spool(folder.path(), 1);
  auto* const old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  run(context, [&]() -> Awaitable<void> {
    mail::Content content;
    EXPECT_TRUE(co_await spool.append(content, std::string(6000, 'a')));
    const rlimit small{10000, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    EXPECT_EQ((co_await spool.append(content, std::string(6000, 'b'))).error(), Errc::io);
    EXPECT_EQ(content.file_size, 6000U);
    EXPECT_TRUE(co_await spool.append(content, std::string(3000, 'c')));
    setrlimit(RLIMIT_FSIZE, &old);
    EXPECT_EQ(content.file_size, 9000U);
    const auto all = co_await spool.read(content, 0, 9000);
    EXPECT_TRUE(all.value() == std::string(6000, 'a') + std::string(3000, 'c'));
  });
  std::signal(SIGXFSZ, old_handler);
}

}  // namespace
}  // namespace net
