// What a Lookup asks for, and how much (threats DN-06).
#include <gtest/gtest.h>

#include "dns/answer.hpp"

namespace {

using dns::Allowance;
using dns::Lookup;
using dns::Question;
using dns::Status;
using dns::Type;

TEST(Lookup, EqualQuestionsAreAskedOnce) {
  Lookup lookup;
  EXPECT_EQ(lookup.ask({"a.test", Type::a}), nullptr);
  EXPECT_EQ(lookup.ask({"a.test", Type::a}), nullptr);
  EXPECT_EQ(lookup.ask({"a.test", Type::mx}), nullptr);
  EXPECT_EQ(lookup.wanted().size(), 2U);
  dns::Answer answer;
  answer.status = Status::ok;
  lookup.answer({"a.test", Type::a}, answer);
  ASSERT_NE(lookup.ask({"a.test", Type::a}), nullptr);
  EXPECT_EQ(lookup.wanted().size(), 1U);
}

TEST(Threats, DN_06_so_many_questions_and_no_more) {
  const auto allowance = std::make_shared<Allowance>(Allowance{3, 0});
  Lookup one(allowance), other(allowance);
  EXPECT_EQ(one.ask({"a.test", Type::a}), nullptr);
  EXPECT_EQ(one.ask({"b.test", Type::a}), nullptr);
  EXPECT_EQ(one.ask({"a.test", Type::a}), nullptr) << "no new question";
  EXPECT_EQ(other.ask({"c.test", Type::a}), nullptr);
  EXPECT_EQ(allowance->left, 0U);
  const auto* refused = other.ask({"d.test", Type::a});
  ASSERT_NE(refused, nullptr);
  EXPECT_EQ(refused->status, Status::failure) << "never proof of absence";
  EXPECT_EQ(one.wanted().size(), 2U);
  EXPECT_EQ(other.wanted().size(), 1U);
  EXPECT_EQ(other.ask({"d.test", Type::a}), refused);
  EXPECT_EQ(allowance->refused, 1U);
}

}  // namespace
