// The table of reasons: whatever stands in it can be told to a client and printed in a table.
#include "mail/reasons.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "core/text.hpp"

namespace mail {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Reasons, every_reason_is_declared_well) {
  std::set<std::string_view> slugs;
  for (const auto& section : reason_sections()) {
    EXPECT_FALSE(section.title.empty());
    for (const auto& reason : section.reasons) {
      const std::string slug(reason.slug);
      EXPECT_TRUE(slugs.insert(reason.slug).second) << slug << " is there twice";
      EXPECT_FALSE(slug.empty());
      for (const char c : slug) EXPECT_TRUE((c >= 'a' && c <= 'z') || core::is_digit(c) || c == '-') << slug;
      EXPECT_NE(reason.replies.size() == 0, reason.whose.empty()) << slug;
      EXPECT_FALSE(reason.happened.empty()) << slug;
      EXPECT_FALSE(reason.advice.empty()) << slug;
      auto text = std::string(reason.happened) + std::string(reason.advice) + std::string(reason.whose);
      for (const auto& reply : reason.replies) {
        EXPECT_TRUE(reply.code / 100 == 4 || reply.code / 100 == 5) << slug << " " << reply.code;
        EXPECT_EQ(reply.enhanced.klass, reply.code / 100) << slug << " " << reply.code;
        EXPECT_TRUE(is_declared(slug, reply.code, reply.enhanced)) << slug << " " << reply.code;
        text += reply.when;
      }
      EXPECT_THAT(text, Not(HasSubstr("|"))) << slug << " breaks the table";
    }
  }
}

TEST(Reasons, is_declared) {
  EXPECT_TRUE(is_declared("memory", 452, {4, 3, 1}));
  EXPECT_FALSE(is_declared("memory", 452, {4, 3, 2})) << "421 comes with it";
  EXPECT_FALSE(is_declared("memory", 552, {4, 3, 1}));
  EXPECT_FALSE(is_declared("nonsense", 550, {5, 7, 1}));
  EXPECT_FALSE(is_declared("", 550, {5, 7, 1}));
  EXPECT_TRUE(is_declared("rejected", 471, {4, 99, 999})) << "as the rule says";
  EXPECT_FALSE(is_declared("rejected", 550, {4, 7, 1}));
  EXPECT_FALSE(is_declared("rejected", 250, {2, 0, 0}));
}

}  // namespace
}  // namespace mail
