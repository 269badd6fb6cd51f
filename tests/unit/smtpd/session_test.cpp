// Sessions over real loopback sockets: reading and writing, deadlines, transactions, shutdown.
#include "smtpd/session.hpp"

#include <gtest/gtest.h>

#include "tests/unit/smtpd/harness.hpp"

namespace smtpd::testing {
namespace {

using core::Counter;
using core::Milliseconds;

TEST(Session, AMessageGoesThrough) {
  Harness harness;
  auto peer = harness.connect();
  peer.expect("220 mx.test ESMTP").ehlo().envelope().data();
  peer.send("Subject: x\r\n\r\n..dot\r\nend\r\n.\r\n").expect("250 2.0.0 Relayed");
  peer.line("QUIT").expect("221 2.0.0").expect_closed();
  ASSERT_EQ(harness.handler.message_count(), 1U);
  const auto message = harness.handler.messages()[0];
  EXPECT_EQ(message.content, "Subject: x\r\n\r\n.dot\r\nend\r\n");
  EXPECT_EQ(message.helo, "client.test");
  EXPECT_EQ(message.from, "a@a.test");
  EXPECT_EQ(message.to, std::vector<std::string>{"b@b.test"});
  EXPECT_FALSE(message.client_gone);
  EXPECT_EQ(harness.count(Counter::connections), 1U);
  EXPECT_EQ(harness.count(Counter::messages_accepted), 1U);
  EXPECT_TRUE(eventually([&] { return harness.lines.text().find("session_end") != std::string::npos; }));
  const auto id = message.id.substr(0, message.id.find('-'));
  EXPECT_NE(harness.lines.text().find("\"session\":\"" + id + "\""), std::string::npos);
}

TEST(Session, BigMessagesComeInSlicesAndMaySpill) {
  auto settings = Harness::default_settings();
  settings.message_size = 8'000'000;
  Harness harness(settings);
  harness.handler.spill_every = 1'000'000;
  std::string content;
  while (content.size() < 7'000'000) content += std::string(900, static_cast<char>('a' + content.size() % 26)) + "\r\n";
  auto peer = harness.connect();
  peer.expect("220 ").ehlo().envelope().data().send(content).send(".\r\n").expect("250 ");
  peer.envelope();
  peer.line("BDAT " + std::to_string(content.size()) + " LAST").send(content).expect("250 ");
  ASSERT_EQ(harness.handler.message_count(), 2U);
  EXPECT_TRUE(harness.handler.messages()[0].content == content);
  EXPECT_TRUE(harness.handler.messages()[1].content == content);
  EXPECT_LE(harness.handler.most_held(), Conversation::kSlice);
  EXPECT_GE(harness.handler.spills(), 12);
}

// RFC 2920: the answers of a group come in one piece, in order.
TEST(Session, PipelinedGroupIsAnsweredInOneWrite) {
  Harness harness;
  auto peer = harness.connect();
  peer.expect("220 ").ehlo();
  peer.send("MAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\nRCPT TO:<c@b.test>\r\nDATA\r\n");
  ASSERT_TRUE(peer.readable(kPatience));
  peer.expect("250 2.1.0").expect("250 2.1.5").expect("250 2.1.5").expect("354 ");
  peer.send("x\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.test>\r\nBDAT 3 LAST\r\nabcQUIT\r\n");
  peer.expect("250 2.0.0 Relayed").expect("250 ").expect("250 ").expect("250 2.0.0 Relayed").expect("221 ");
  peer.expect_closed();
  EXPECT_EQ(harness.handler.message_count(), 2U);
}

// Replies do not wait for a slow recipient more than once.
TEST(Session, SlowHandlerDoesNotHoldBackTheRepliesBefore) {
  Harness harness;
  harness.handler.rcpt_delay = Milliseconds(200);
  auto peer = harness.connect();
  peer.expect("220 ").ehlo();
  peer.send("MAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\nRCPT TO:<c@b.test>\r\nRCPT TO:<d@b.test>\r\n");
  peer.expect("250 ").expect("250 ");
  EXPECT_FALSE(peer.readable(Milliseconds(50)));  // the others are not there yet
  peer.expect("250 ").expect("250 ");
}

TEST(Session, ClientGoneIsKnownBeforeTheDot) {
  Harness harness;
  harness.handler.end_delay = Milliseconds(100);
  auto peer = harness.connect();
  peer.expect("220 ").ehlo().envelope().data().send("x\r\n.\r\n");
  ASSERT_TRUE(eventually([&] { return harness.handler.ending() == 1; }));
  peer.reset();
  ASSERT_TRUE(eventually([&] { return harness.handler.message_count() == 1; }));
  EXPECT_TRUE(harness.handler.messages()[0].client_gone);
}

// promise.md C.5: how sure it is that the client has heard our 250.
TEST(Session, ReceiptsAreConfirmedByTheNextCommand) {
  Harness harness;
  auto peer = harness.connect();
  peer.expect("220 ").ehlo().envelope().data().send("x\r\n.\r\n").expect("250 ");
  EXPECT_EQ(harness.handler.receipts(), 1) << "nothing is known yet";
  EXPECT_EQ(harness.handler.confirmed() + harness.handler.acknowledged(), 0);
  peer.line("NOOP").expect("250 ");
  EXPECT_EQ(harness.handler.confirmed(), 1);
  EXPECT_EQ(harness.handler.receipts(), 0);
}

TEST(Session, AReceiptIsOnlyAcknowledgedWhenTheNextCommandWasPipelined) {
  Harness harness;
  auto peer = harness.connect();
  peer.expect("220 ").ehlo().envelope().data().send("x\r\n.\r\nNOOP\r\n").expect("250 ").expect("250 ");
  peer.line("NOOP").expect("250 ");
  EXPECT_EQ(harness.handler.confirmed(), 0);
  EXPECT_EQ(harness.handler.acknowledged(), 1);
}

TEST(Session, AReceiptIsAcknowledgedByTheClientsTcpAlone) {
  Harness harness;
  {
    auto peer = harness.connect();
    peer.expect("220 ").ehlo().envelope().data().send("x\r\n.\r\n").expect("250 ");
  }
  EXPECT_TRUE(eventually([&] { return harness.handler.acknowledged() == 1; }));
  EXPECT_EQ(harness.handler.confirmed(), 0);
}

TEST(Session, AReceiptOfAClientThatWasGoneSaysNothing) {
  Harness harness;
  harness.handler.end_delay = Milliseconds(50);
  auto peer = harness.connect();
  peer.expect("220 ").ehlo().envelope().data().send("x\r\n.\r\n");
  ASSERT_TRUE(eventually([&] { return harness.handler.ending() == 1; }));
  peer.reset();
  ASSERT_TRUE(eventually([&] { return harness.handler.message_count() == 1 && harness.handler.receipts() == 0; }));
  EXPECT_EQ(harness.handler.confirmed() + harness.handler.acknowledged(), 0);
}

TEST(Session, LostConnectionInsideDataDropsTheTransaction) {
  Harness harness;
  {
    auto peer = harness.connect();
    peer.expect("220 ").ehlo().envelope().data().send("x\r\n.\r");
  }
  EXPECT_TRUE(eventually([&] { return harness.handler.alive() == 0; }));
  EXPECT_EQ(harness.handler.message_count(), 0U);
  EXPECT_EQ(harness.count(Counter::messages_accepted), 0U);
}

TEST(Session, AnExceptionIs421AndCounted) {
  Harness harness;
  harness.handler.on_end = [](const FakeHandler::Message&) -> mail::Reply { throw std::logic_error("a bug"); };
  auto peer = harness.connect();
  peer.expect("220 ").ehlo().envelope().data().send(".\r\n").expect("421 4.3.0", "[internal-error ").expect_closed();
  EXPECT_EQ(harness.count(Counter::internal_errors), 1U);
  harness.handler.on_end = nullptr;
  harness.connect().expect("220 ").ehlo().envelope().data().send(".\r\n").expect("250 ");
}

TEST(Session, RefusalsOfTheHandlerAreWrittenAsTheyAre) {
  Harness harness;
  harness.handler.refuse_mail = mail::Reply(450, {4, 7, 1}, "Slow down [rate x]");
  auto peer = harness.connect();
  peer.expect("220 ").ehlo().line("MAIL FROM:<a@a.test>").expect("450 4.7.1 Slow down [rate x]");
  peer.line("RCPT TO:<b@b.test>").expect("503 5.5.1");
}

TEST(Threats, RS_01_command_deadline_is_for_the_whole_line) {
  auto settings = Harness::default_settings();
  settings.command_timeout = Milliseconds(300);
  Harness harness(settings);
  auto peer = harness.connect();
  peer.expect("220 ");
  const auto start = core::Steady::now();
  // An octet now and then does not help.
  while (!peer.readable(Milliseconds(50))) {
    peer.send("N");
    ASSERT_LT(core::Steady::now() - start, kPatience);
  }
  peer.expect("421 4.4.2", "[timeout ").expect_closed();
  EXPECT_GE(core::Steady::now() - start, Milliseconds(250));
}

TEST(Threats, RS_01_deadline_begins_anew_with_each_command) {
  auto settings = Harness::default_settings();
  settings.command_timeout = Milliseconds(400);
  Harness harness(settings);
  auto peer = harness.connect();
  peer.expect("220 ");
  for (int i = 0; i < 6; ++i) {
    EXPECT_FALSE(peer.readable(Milliseconds(100)));
    peer.line("NOOP").expect("250 ");
  }
  peer.expect("421 4.4.2").expect_closed();
}

TEST(Threats, RS_01_data_deadline) {
  auto settings = Harness::default_settings();
  settings.data_timeout = Milliseconds(200);
  Harness harness(settings);
  auto peer = harness.connect();
  peer.expect("220 ").ehlo().envelope().data().send("x\r\n").expect("421 4.4.2", "[timeout ").expect_closed();
  EXPECT_EQ(harness.handler.message_count(), 0U);
  auto chunks = harness.connect();
  chunks.expect("220 ").ehlo().envelope().send("BDAT 5\r\nabc").expect("421 4.4.2").expect_closed();
}

TEST(Threats, RS_03_junk_commands) {
  Harness harness;
  auto peer = harness.connect();
  peer.expect("220 ");
  int answered = 0;
  while (answered < 200) {
    peer.line("NOOP");
    const auto reply = peer.reply();
    if (reply.starts_with("421 4.7.0")) break;
    ASSERT_EQ(reply.substr(0, 4), "250 ");
    ++answered;
  }
  EXPECT_EQ(answered, 120);
  peer.expect_closed();
}

TEST(Threats, RS_04_endless_line) {
  Harness harness;
  auto peer = harness.connect();
  peer.expect("220 ").send(std::string(200'000, 'x')).expect("500 5.5.2", "[line-too-long ").expect_closed();
  auto ended = harness.connect();
  ended.expect("220 ").line(std::string(5000, 'x')).expect("500 5.5.2").expect_closed();
}

TEST(Threats, RS_05_many_recipients) {
  Harness harness;  // limit 100
  auto peer = harness.connect();
  peer.expect("220 ").ehlo();
  std::string group = "MAIL FROM:<a@a.test>\r\n";
  for (int i = 0; i < 201; ++i) group += "RCPT TO:<r" + std::to_string(i) + "@b.test>\r\n";
  peer.send(group).expect("250 ");
  for (int i = 0; i < 100; ++i) peer.expect("250 ");
  for (int i = 0; i < 100; ++i) peer.expect("452 4.5.3");
  peer.expect("421 4.5.3").expect_closed();
}

TEST(Threats, RS_07_size_limit_exact_and_one_more) {
  Harness harness;  // 100,000
  const auto body = [](std::size_t size) { return std::string(size - 2, 'x') + "\r\n"; };
  auto peer = harness.connect();
  peer.expect("220 ").ehlo().line("MAIL FROM:<a@a.test> SIZE=100001").expect("552 5.3.4", "[too-big ");
  peer.envelope().data().send(body(100'000) + ".\r\n").expect("250 ");
  peer.envelope().data().send(body(100'001) + ".\r\n").expect("552 5.3.4", "[too-big ");
  peer.envelope().line("BDAT 100000 LAST").send(body(100'000)).expect("250 ");
  peer.envelope().line("BDAT 100001 LAST").send(body(100'001)).expect("552 5.3.4");
  peer.envelope().data().send(body(250'000)).expect("552 5.3.4").expect_closed();
  EXPECT_EQ(harness.handler.message_count(), 2U);
  EXPECT_EQ(harness.count(Counter::messages_rejected), 3U);
}

TEST(Threats, RS_07_a_small_SIZE_binds_nobody_to_more_memory) {
  Harness harness;
  auto peer = harness.connect();
  peer.expect("220 ")
      .ehlo()
      .line("MAIL FROM:<a@a.test> SIZE=100")
      .expect("250 ")
      .line("RCPT TO:<b@b.test>")
      .expect("250 ");
  peer.data().send(std::string(150'000, 'x'));
  EXPECT_TRUE(eventually([&] { return harness.handler.alive() == 0; }));  // given up as soon as it is too big
  peer.send("\r\n.\r\n").expect("552 5.3.4");
}

// A client that sends and sends and never reads: we stop reading, and close when nothing moves.
TEST(Threats, RS_13_client_never_reads) {
  auto settings = Harness::default_settings();
  settings.write_timeout = Milliseconds(300);
  settings.junk_commands = 1'000'000'000;
  settings.help_url = std::string(400, 'h');
  Harness harness(settings);
  auto peer = connect_to(harness.port(), 4096);
  peer.expect("220 ");
  std::string group;
  for (int i = 0; i < 1000; ++i) group += "HELP\r\n";
  // Our side stops reading, so the client cannot go on for ever; then the session ends.
  const auto deadline = core::Deadline::after(kPatience);
  std::atomic<bool> ended{false};
  std::thread flood([&] {
    while (!ended && !deadline.passed()) peer.send(group);
  });
  EXPECT_TRUE(eventually([&] {
    return harness.count(Counter::connections) == 1 && harness.lines.text().find("session_end") != std::string::npos;
  }));
  ended = true;
  flood.join();
  EXPECT_NE(harness.lines.text().find("\"why\":\"timeout\""), std::string::npos);
}

TEST(Threats, RL_13_errors_are_slowed_then_421) {
  auto settings = Harness::default_settings();
  settings.soft_error_delay = Milliseconds(40);
  Harness harness(settings);
  harness.handler.on_rcpt = [](const std::string&) { return mail::Reply(550, {5, 1, 1}, "Unknown"); };
  auto peer = harness.connect();
  peer.expect("220 ").ehlo().line("MAIL FROM:<a@a.test>").expect("250 ");
  const auto start = core::Steady::now();
  for (int i = 0; i < 20; ++i) peer.line("RCPT TO:<x@b.test>").expect("550 5.1.1");
  EXPECT_GE(core::Steady::now() - start, Milliseconds(10 * 40));
  peer.line("RCPT TO:<x@b.test>").expect("421 4.7.0").expect_closed();
}

TEST(Threats, RL_14_vrfy_expn) {
  Harness harness;
  auto peer = harness.connect();
  peer.expect("220 ")
      .line("VRFY root")
      .expect("252 2.5.0")
      .line("EXPN all")
      .expect("502 5.5.1")
      .line("HELP")
      .expect("214 ");
}

TEST(Threats, DU_15_stop_tells_idle_clients_and_lets_messages_finish) {
  Harness harness;
  harness.handler.end_delay = Milliseconds(200);
  auto idle = harness.connect();
  idle.expect("220 ").ehlo().envelope();
  auto in_data = harness.connect();
  in_data.expect("220 ").ehlo().envelope().data().send("x\r\n");
  auto past_dot = harness.connect();
  past_dot.expect("220 ").ehlo().envelope().data().send("y\r\n.\r\n");
  ASSERT_TRUE(eventually([&] { return harness.handler.ending() == 1; }));

  auto drained = harness.drain();
  idle.expect("421 4.3.2", "[shutting-down ").expect_closed();
  past_dot.expect("250 2.0.0").expect("421 4.3.2").expect_closed();
  EXPECT_EQ(drained.wait_for(Milliseconds(0)), std::future_status::timeout);
  in_data.send("z\r\n.\r\n").expect("250 2.0.0").expect("421 4.3.2").expect_closed();
  EXPECT_TRUE(drained.get());
  harness.connect().expect("421 4.3.2", "[shutting-down ").expect_closed();
}

TEST(Threats, DU_15_drain_says_when_somebody_is_left) {
  Harness harness;
  auto peer = harness.connect();
  peer.expect("220 ").ehlo().envelope().data();
  EXPECT_FALSE(harness.drain(Milliseconds(50)).get());
  harness.on_shard([&] { return harness.server().abort_sessions(), true; });
  EXPECT_TRUE(harness.drain().get());
}

TEST(Session, InfoTellsWhatItDoes) {
  Harness harness;
  auto peer = harness.connect();
  peer.expect("220 ").ehlo().envelope().data();
  const auto list = [&] { return harness.on_shard([&] { return harness.server().sessions(); }); };
  ASSERT_TRUE(eventually([&] { return list().size() == 1 && list()[0].state == "data"; }));
  const auto info = list()[0];
  EXPECT_EQ(info.helo, "client.test");
  EXPECT_EQ(info.address.to_string(), "127.0.0.1");
  EXPECT_EQ(info.messages, 1U);
}

}  // namespace
}  // namespace smtpd::testing
