#include "queue/progress.hpp"

#include <gtest/gtest.h>

namespace queue {
namespace {

using namespace std::chrono_literals;
using What = Progress::What;
using mail::Fate;

constexpr Time kCreated = 1'800'000'000'000;
constexpr Time kMinute = 60'000, kHour = 60 * kMinute, kDay = 24 * kHour;

mail::Outcome outcome(Fate fate, int code = 0, mail::EnhancedCode enhanced = {}) {
  mail::Outcome o;
  o.fate = fate;
  if (code != 0) o.reply = mail::Reply(code, enhanced, "text");
  o.host = "mx.inbox.example";
  o.address = "[::1]:25";
  return o;
}

class ProgressTest : public ::testing::Test {
 protected:
  ProgressTest() {
    envelope.id = "a";
    envelope.sender.mailbox = {"bob", "sender.example"};
    envelope.created = kCreated;
    envelope.expires = kCreated + 5 * kDay;
    recipient.destination = {"alice", "inbox.example"};
    recipient.hop = "inbox.example";
    recipient.act_by = envelope.expires;
  }
  Progress judge(const mail::Outcome& o, Time now = kCreated) const {
    return progress(schedule, envelope, recipient, o, now, 0);
  }
  // The recipient as it stands after the outcome.
  Progress step(const mail::Outcome& o, Time now) {
    auto result = judge(o, now);
    recipient = result.recipient;
    return result;
  }

  Schedule schedule;
  Envelope envelope;
  Recipient recipient;
};

TEST_F(ProgressTest, DeliveredIsDelivered) {
  const auto result = judge(outcome(Fate::delivered, 250));
  EXPECT_EQ(result.what, What::delivered);
  EXPECT_FALSE(result.dup_possible);
  EXPECT_EQ(result.recipient.last_host, "mx.inbox.example");
}

TEST_F(ProgressTest, APutOffRecipientComesAgainByTheSchedule) {
  auto now = kCreated + 500;
  for (const Time step_length : {kMinute, 5 * kMinute, 15 * kMinute, kHour, kHour}) {
    const auto result = step(outcome(Fate::deferred, 451, {4, 3, 0}), now);
    EXPECT_EQ(result.what, What::again);
    EXPECT_EQ(result.recipient.next_attempt, now + step_length);
    EXPECT_EQ(result.recipient.failing_since, kCreated + 500);
    EXPECT_EQ(result.recipient.state, State::owned);
    EXPECT_EQ(result.recipient.last_reply.code, 451);
    now = result.recipient.next_attempt;
  }
  EXPECT_EQ(recipient.attempts, 5U);
}

TEST_F(ProgressTest, ItExpiresAfterOneLastAttempt) {
  recipient.attempts = 100;
  auto result = judge(outcome(Fate::deferred, 451), envelope.expires - 5);
  EXPECT_EQ(result.what, What::again);
  EXPECT_EQ(result.recipient.next_attempt, envelope.expires);
  result = judge(outcome(Fate::deferred, 451), envelope.expires);
  EXPECT_EQ(result.what, What::failed);
  EXPECT_EQ(result.why, Report::Why::expired);
  EXPECT_EQ(result.recipient.last_reply.code, 451);
}

TEST_F(ProgressTest, ARefusalFails) {
  const auto result = judge(outcome(Fate::failed, 550, {5, 1, 1}));
  EXPECT_EQ(result.what, What::failed);
  EXPECT_EQ(result.why, Report::Why::refused);
}

TEST_F(ProgressTest, ThreeDotsWithoutAnAnswerAreTheEnd) {  // promise.md C.3.7
  auto result = step(outcome(Fate::unknown), kCreated);
  EXPECT_EQ(result.what, What::again);
  EXPECT_EQ(result.recipient.state, State::owned_dot);
  EXPECT_TRUE(result.dup_possible);
  // A deferral between them changes nothing about the dot that is out.
  result = step(outcome(Fate::deferred, 421), kCreated + kHour);
  EXPECT_EQ(result.recipient.state, State::owned_dot);
  EXPECT_EQ(result.recipient.unknowns, 1U);
  result = step(outcome(Fate::late), kCreated + 2 * kHour);
  EXPECT_EQ(result.what, What::again);
  EXPECT_EQ(result.recipient.unknowns, 2U);
  result = step(outcome(Fate::unknown), kCreated + 3 * kHour);
  EXPECT_EQ(result.what, What::failed);
  EXPECT_EQ(result.why, Report::Why::maybe_delivered);
  EXPECT_TRUE(result.dup_possible);
}

TEST_F(ProgressTest, WhoMayHaveItIsToldSoWhateverEndsIt) {
  recipient.unknowns = 1;
  EXPECT_EQ(judge(outcome(Fate::failed, 550)).why, Report::Why::maybe_delivered);
  EXPECT_EQ(judge(outcome(Fate::deferred, 451), envelope.expires).why, Report::Why::maybe_delivered);
  EXPECT_TRUE(judge(outcome(Fate::delivered, 250)).dup_possible);
}

TEST_F(ProgressTest, AnAnsweredDotIsNoLongerOut) {
  recipient.state = State::owned_dot;  // put by a late handoff
  EXPECT_EQ(judge(outcome(Fate::deferred, 451)).recipient.state, State::owned);
}

TEST_F(ProgressTest, APolicyRefusalGoesToTheFallback) {
  recipient.fallback = {{{"a", "second.example"}, "second.example"}, {{"b", "third.example"}, "third.example"}};
  recipient.attempts = 3;
  recipient.failing_since = kCreated;
  const auto now = kCreated + kHour;
  auto result = step(outcome(Fate::failed, 550, {5, 7, 1}), now);
  EXPECT_EQ(result.what, What::fallback);
  EXPECT_EQ(recipient.destination.domain, "second.example");
  EXPECT_EQ(recipient.hop, "second.example");
  EXPECT_EQ(recipient.fallback.size(), 1U);
  EXPECT_EQ(recipient.attempts, 0U);
  EXPECT_EQ(recipient.failing_since, 0);
  EXPECT_EQ(recipient.next_attempt, now);
  EXPECT_EQ(recipient.act_by, envelope.expires);
  // What is not policy is not another destination's business.
  EXPECT_EQ(judge(outcome(Fate::failed, 550, {5, 1, 1}), now).what, What::failed);
  EXPECT_EQ(judge(outcome(Fate::failed, 554), now).what, What::failed);
  EXPECT_EQ(step(outcome(Fate::failed, 550, {5, 7, 26}), now).what, What::fallback);
  EXPECT_EQ(judge(outcome(Fate::failed, 550, {5, 7, 1}), now).what, What::failed) << "there is no third";
}

TEST_F(ProgressTest, TemporaryFailuresGoToTheFallbackAfterAWhile) {
  recipient.fallback = {{{"a", "second.example"}, "second.example"}};
  auto result = step(outcome(Fate::deferred, 451), kCreated + kHour);
  EXPECT_EQ(result.what, What::again);
  EXPECT_EQ(result.recipient.act_by, kCreated + 5 * kHour);
  EXPECT_EQ(judge(outcome(Fate::deferred, 451), kCreated + 5 * kHour - 1).what, What::again);
  EXPECT_LE(judge(outcome(Fate::deferred, 451), kCreated + 5 * kHour - 1).recipient.next_attempt, kCreated + 5 * kHour);
  EXPECT_EQ(judge(outcome(Fate::deferred, 451), kCreated + 5 * kHour).what, What::fallback);
}

TEST_F(ProgressTest, WhatMayHaveArrivedIsNotSentElsewhere) {
  recipient.fallback = {{{"a", "second.example"}, "second.example"}};
  recipient.unknowns = 1;
  recipient.failing_since = kCreated;
  EXPECT_EQ(judge(outcome(Fate::failed, 550, {5, 7, 1})).what, What::failed);
  EXPECT_EQ(judge(outcome(Fate::deferred, 451), kCreated + kDay).what, What::again);
}

TEST_F(ProgressTest, ADelayIsToldOnce) {
  schedule.delay_notice = 4h;
  recipient.act_by = act_by(schedule, envelope, recipient);
  EXPECT_EQ(recipient.act_by, kCreated + 4 * kHour);
  recipient.attempts = 9;
  auto result = step(outcome(Fate::deferred, 451), kCreated + 4 * kHour - kMinute);
  EXPECT_FALSE(result.delay_due);
  EXPECT_EQ(result.recipient.next_attempt, kCreated + 4 * kHour) << "an attempt is made at that moment";
  result = step(outcome(Fate::deferred, 451), kCreated + 4 * kHour);
  EXPECT_TRUE(result.delay_due);
  EXPECT_TRUE(result.recipient.delay_told);
  EXPECT_EQ(result.recipient.act_by, envelope.expires);
  EXPECT_FALSE(step(outcome(Fate::deferred, 451), kCreated + 6 * kHour).delay_due);
}

TEST_F(ProgressTest, WhoIsToldWhat) {  // RFC 3461 §4.1
  const auto told = [&](Report::Kind kind) { return wants(envelope, recipient, kind); };
  EXPECT_TRUE(told(Report::Kind::failed));
  EXPECT_TRUE(told(Report::Kind::delayed));
  EXPECT_FALSE(told(Report::Kind::relayed));
  recipient.notify.given = true;
  EXPECT_FALSE(told(Report::Kind::failed) || told(Report::Kind::delayed) || told(Report::Kind::relayed));
  recipient.notify.failure = true;
  EXPECT_TRUE(told(Report::Kind::failed));
  recipient.notify.delay = true;
  EXPECT_TRUE(told(Report::Kind::delayed));
  recipient.notify.success = true;
  EXPECT_TRUE(told(Report::Kind::relayed));
  recipient.notify.never = true;
  EXPECT_FALSE(told(Report::Kind::failed) || told(Report::Kind::delayed) || told(Report::Kind::relayed));
  recipient.notify = {};
  envelope.sender = {};
  EXPECT_FALSE(told(Report::Kind::failed) || told(Report::Kind::delayed) || told(Report::Kind::relayed));
}

TEST_F(ProgressTest, NothingIsEverDueLaterThanItsDecision) {
  schedule.delay_notice = 2h;
  recipient.fallback = {{{"a", "second.example"}, "second.example"}};
  for (unsigned attempts = 0; attempts < 20; ++attempts) {
    for (Time age = 0; age < 6 * kDay; age += 47 * kMinute) {
      recipient.attempts = attempts;
      const auto result = judge(outcome(Fate::deferred, 451), kCreated + age);
      if (result.what == What::failed) continue;
      EXPECT_LE(result.recipient.next_attempt, std::max(result.recipient.act_by, kCreated + age));
      EXPECT_LE(result.recipient.act_by, envelope.expires);
    }
  }
}

}  // namespace
}  // namespace queue
