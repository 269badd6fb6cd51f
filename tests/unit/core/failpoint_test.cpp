#include "core/failpoint.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <set>

namespace core {
namespace {

#ifdef ONWARD_FAILPOINTS

class FailPointTest : public testing::Test {
 protected:
  ~FailPointTest() override { EXPECT_TRUE(arm_failpoints("")); }
};

// What becomes of a process that does `work`.
template <class Work>
int status_of(Work work) {
  const auto child = ::fork();
  if (child == 0) {
    ::close(STDERR_FILENO);
    work();
    ::_exit(0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, WUNTRACED), child);
  if (WIFSTOPPED(status)) {
    ::kill(child, SIGKILL);
    int end = 0;
    ::waitpid(child, &end, 0);
  }
  return status;
}

TEST_F(FailPointTest, the_table_has_every_kill_point) {
  std::set<unsigned> numbers;
  std::set<std::string_view> names;
  unsigned last = 1;
  for (const auto& point : failpoints()) {
    EXPECT_TRUE(names.insert(point.name).second) << point.name;
    EXPECT_FALSE(point.where.empty());
    EXPECT_GE(point.number, last);
    last = point.number;
    numbers.insert(point.number);
    const auto text = std::to_string(point.number);
    EXPECT_TRUE(point.name.starts_with("k" + std::string(2 - text.size(), '0') + text + "_")) << point.name;
  }
  EXPECT_EQ(numbers.size(), 26U);  // threats B9
}

TEST_F(FailPointTest, nothing_happens_unarmed) {
  ONWARD_FAILPOINT(k12_dot_sent);
  EXPECT_FALSE(ONWARD_FAILPOINT_ERROR(k16_body_written));
  EXPECT_EQ(failpoint_hits(FailPoint::k12_dot_sent), 0U);
}

TEST_F(FailPointTest, kills_at_the_nth_hit) {
  const auto killed_at = [](int hits) {
    return status_of([hits] {
      if (!arm_failpoints("k12_dot_sent=kill@3")) ::_exit(1);
      for (int i = 0; i < hits; ++i) ONWARD_FAILPOINT(k12_dot_sent);
      for (int i = 0; i < 5; ++i) ONWARD_FAILPOINT(k13_upstream_2xx_read);
    });
  };
  EXPECT_EQ(killed_at(2), 0);
  const auto status = killed_at(3);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
}

TEST_F(FailPointTest, stops) {
  const auto status = status_of([] {
    if (!arm_failpoints("k07_connected=stop")) ::_exit(1);
    ONWARD_FAILPOINT(k07_connected);
  });
  ASSERT_TRUE(WIFSTOPPED(status));
  EXPECT_EQ(WSTOPSIG(status), SIGSTOP);
}

TEST_F(FailPointTest, injects_errors) {
  ASSERT_TRUE(
      arm_failpoints("k16_body_written=errno:ENOSPC@2,k17_body_fsynced=errno:EIO,k18_before_commit=errno:EROFS@2+"));
  EXPECT_FALSE(ONWARD_FAILPOINT_ERROR(k16_body_written));
  EXPECT_EQ(ONWARD_FAILPOINT_ERROR(k16_body_written), std::errc::no_space_on_device);
  EXPECT_FALSE(ONWARD_FAILPOINT_ERROR(k16_body_written));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ONWARD_FAILPOINT_ERROR(k17_body_fsynced), std::errc::io_error);
  EXPECT_FALSE(ONWARD_FAILPOINT_ERROR(k18_before_commit));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ONWARD_FAILPOINT_ERROR(k18_before_commit), std::errc::read_only_file_system);
  EXPECT_EQ(failpoint_hits(FailPoint::k18_before_commit), 4U);
  ONWARD_FAILPOINT(k16_body_written);  // one that takes no error goes on
}

TEST_F(FailPointTest, delays) {
  ASSERT_TRUE(arm_failpoints("k02_rcpt=delay:30ms@1"));
  const auto begin = std::chrono::steady_clock::now();
  ONWARD_FAILPOINT(k02_rcpt);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(30));
}

TEST_F(FailPointTest, a_plan_that_is_none_arms_nothing) {
  ASSERT_TRUE(arm_failpoints("k16_body_written=errno:EIO"));
  for (const std::string_view plan :
       {"k12_dot_sent", "k12_dot_sent=", "nonsense=kill", "k12_dot_sent=explode", "k12_dot_sent=kill@0",
        "k12_dot_sent=kill@", "k12_dot_sent=kill@x", "k12_dot_sent=kill:now", "k12_dot_sent=errno:ENONSENSE",
        "k12_dot_sent=errno", "k12_dot_sent=delay", "k12_dot_sent=delay:5", "k12_dot_sent=kill,k12_dot_sent=stop",
        ",k12_dot_sent=kill", "k12_dot_sent=kill,", "=kill"}) {
    const auto armed = arm_failpoints(plan);
    ASSERT_FALSE(armed) << plan;
    EXPECT_TRUE(armed.error().text.starts_with("ONWARD_FAILPOINTS: ")) << armed.error().text;
  }
  EXPECT_TRUE(ONWARD_FAILPOINT_ERROR(k16_body_written));  // what was armed stays
}

#else

TEST(FailPoint, are_not_compiled_in) {
  EXPECT_TRUE(failpoints().empty());
  EXPECT_TRUE(arm_failpoints(""));
  EXPECT_FALSE(arm_failpoints("k12_dot_sent=kill"));
  ONWARD_FAILPOINT(k12_dot_sent);
  EXPECT_FALSE(ONWARD_FAILPOINT_ERROR(k16_body_written));
}

#endif

}  // namespace
}  // namespace core
