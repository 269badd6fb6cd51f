// The SMTP dialogue as scripts: order, resets, limits and every reply of our own, without sockets.
#include "smtpd/dialogue.hpp"

#include <gtest/gtest.h>

#include "tests/unit/smtpd/script.hpp"

namespace smtpd::testing {
namespace {

TEST(Dialogue, EhloSaysWhatIsOffered) {
  auto settings = small_settings();
  settings.message_size = 26'214'400;
  settings.recipients = 100;
  Script script(settings, TlsOffer::starttls);
  script.peer("EHLO client.test");
  script.expect(
      "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 26214400\r\n250-STARTTLS\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
      "250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250-DSN\r\n250-LIMITS RCPTMAX=100 MAILMAX=1000\r\n250 HELP\r\n");
  EXPECT_EQ(script.last().find("BINARYMIME"), std::string::npos);
  script.peer("STARTTLS").expect("220 2.0.0");
  script.peer("EHLO client.test").expect("250-mx.test");
  EXPECT_EQ(script.last().find("STARTTLS"), std::string::npos);
}

TEST(Dialogue, StartTlsIsOfferedOnlyWhereItIsPossible) {
  Script script;
  script.ehlo();
  EXPECT_EQ(script.last().find("STARTTLS"), std::string::npos);
  script.peer("STARTTLS").expect("502 5.5.1", "[not-implemented sess]").expect_open();
}

TEST(Dialogue, AMessage) {
  Script script;
  script.ehlo().envelope().peer("DATA").expect("354 ");
  script.raw("Subject: x\r\n\r\n..dot\r\n.\r\n").expect("250 ");
  script.peer("QUIT").expect("221 2.0.0 mx.test").expect_closed();
  ASSERT_EQ(script.messages().size(), 1U);
  EXPECT_EQ(script.messages()[0].content, "Subject: x\r\n\r\n.dot\r\n");
  EXPECT_EQ(script.messages()[0].from, "a@a.test");
}

TEST(Dialogue, HeloIsEnoughForMail) {
  Script script;
  script.peer("HELO client.test").expect("250 mx.test\r\n").envelope();
}

TEST(Dialogue, OrderOfCommands) {
  Script script;
  script.peer("MAIL FROM:<a@a.test>").expect("503 5.5.1", "[bad-sequence sess]");
  script.peer("RCPT TO:<b@b.test>").expect("503 5.5.1");
  script.peer("DATA").expect("503 5.5.1");
  script.peer("BDAT 0 LAST").expect("503 5.5.1");
  script.ehlo();
  script.peer("RCPT TO:<b@b.test>").expect("503 5.5.1");
  script.peer("DATA").expect("503 5.5.1");
  script.peer("NOOP").expect("250 2.0.0");
  script.peer("RSET").expect("250 2.0.0");
  script.expect_open();
}

// interface.md §6.6
TEST(Dialogue, DataWithoutAcceptedRecipients) {
  Script script;
  script.ehlo();
  script.peer("DATA").expect("503 5.5.1");
  script.peer("MAIL FROM:<>").expect("250 ").peer("DATA").expect("554 5.5.1", "[no-recipients sess-1]");
  // The transaction goes on: a recipient may still come.
  script.peer("RCPT TO:<b@b.test>").expect("250 ").peer("DATA").expect("354 ");
}

TEST(Threats, SM_08_pipelined_data_after_refused_recipients) {
  Script script;
  script.decide([](Ask ask, unsigned) {
    return ask == Ask::rcpt ? mail::Reply(550, {5, 1, 1}, "No such user") : mail::Reply(250, {2, 0, 0}, "OK");
  });
  script.ehlo().raw("MAIL FROM:<a@a.test>\r\nRCPT TO:<x@b.test>\r\nDATA\r\n");
  script.expect("250 ").expect("550 5.1.1").expect("554 5.5.1");
  // A client that took no notice of the reply: its dot is no command.
  script.raw(".\r\n").expect("500 5.5.2").peer("QUIT").expect("221 ");
  EXPECT_TRUE(script.messages().empty());
}

// RFC 2920 §3.1: DATA and EHLO may end a group, nothing may follow them in it.
TEST(Threats, SM_07_octets_after_DATA_or_EHLO) {
  for (const char* group :
       {"MAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\nDATA\r\nSubject: x\r\n.\r\n",
        "EHLO again.test\r\nMAIL FROM:<a@a.test>\r\n", "HELO again.test\r\nNOOP\r\n", "DATA\r\nx"}) {
    Script script;
    script.ehlo().raw(group);
    while (!script.closed() && !::testing::Test::HasFailure()) script.expect("250 ");
    const auto is_mail = std::string_view(group).starts_with("MAIL");
    if (is_mail) script.expect("250 ").expect("250 ");
    script.expect("554 5.5.0", "[pipelining sess").expect_closed();
    EXPECT_TRUE(script.messages().empty());
  }
  Script script;
  script.raw("NOOP\r\nEHLO client.test\r\n").expect("250 ").expect("250-mx.test");
  script.raw("MAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\nDATA\r\n").expect("250 ").expect("250 ").expect("354 ");
}

TEST(Threats, TL_01_commands_in_the_segment_of_STARTTLS) {
  Script script(small_settings(), TlsOffer::starttls);
  script.ehlo().raw("STARTTLS\r\nMAIL FROM:<a@a.test>\r\n").expect("554 5.5.0").expect_closed();
  EXPECT_EQ(script.handshakes(), 0U);
}

TEST(Threats, TL_02_nothing_survives_the_handshake) {
  Script script(small_settings(), TlsOffer::starttls);
  script.ehlo().envelope().peer("STARTTLS").expect("220 ");
  EXPECT_FALSE(script.transaction_alive());
  script.peer("MAIL FROM:<a@a.test>").expect("503 5.5.1");
  script.peer("DATA").expect("503 5.5.1");
  script.peer("STARTTLS").expect("503 5.5.1");
  script.ehlo().envelope();
}

// After each of these the transaction is empty.
TEST(Threats, SM_09_what_resets) {
  struct Case {
    const char* octets;
    const char* reply;
  };
  const Case cases[] = {
      {"RSET\r\n", "250 "},
      {"EHLO client.test\r\n", "250-"},
      {"HELO client.test\r\n", "250 "},
      {"STARTTLS\r\n", "220 "},
      {"MAIL FROM:<c@c.test>\r\n", "503 5.5.1"},
      {"MAIL FROM:<c@c.test> SIZE=x\r\n", "501 5.5.4"},
      {"MAIL FROM:<c@c.test> FOO=BAR\r\n", "555 5.5.4"},
      {"MAIL FROM:<c\xc3\xa9@c.test>\r\n", "553 5.6.7"},
      {"MAIL FROM:<c@c.test> SMTPUTF8=1\r\n", "501 5.5.4"},
      {"VRFY c\xc3\xa9\r\n", "553 5.6.7"},
      {"BDAT x\r\n", "501 5.5.4"},
      {"BDAT 5 LASTX\r\n", "501 5.5.4"},
      {"BDAT 18446744073709551616\r\n", "501 5.5.4"},
      {"BDAT -1\r\n", "501 5.5.4"},
      {"BDAT 5000 LAST\r\n", "552 5.3.4"},
  };
  for (const auto& c : cases) {
    Script script(small_settings(), TlsOffer::starttls);
    script.ehlo().envelope().raw(c.octets).expect(c.reply);
    EXPECT_FALSE(script.transaction_alive()) << c.octets;
    if (script.closed()) continue;
    script.peer("RCPT TO:<b@b.test>").expect("503 5.5.1");
    script.peer("DATA").expect("503 5.5.1");
    script.peer("BDAT 1 LAST").expect_silence().raw("x").expect("503 5.5.1").expect_open();
  }
}

TEST(Threats, SM_09_after_the_end_of_data) {
  for (const int code : {250, 451, 550}) {
    Script script;
    script.decide([&](Ask ask, unsigned) {
      return ask == Ask::end ? mail::Reply(code, {static_cast<std::uint16_t>(code / 100), 0, 0}, "said so")
                             : mail::Reply(250, {2, 0, 0}, "OK");
    });
    script.ehlo().envelope().peer("DATA").expect("354 ").raw(".\r\n").expect(std::to_string(code));
    script.peer("RCPT TO:<b@b.test>").expect("503 5.5.1").peer("DATA").expect("503 5.5.1");
    script.envelope();
  }
}

TEST(Threats, SM_10_BDAT_faults) {
  {
    Script script;  // DATA after BDAT
    script.ehlo().envelope().raw("BDAT 3\r\nabc").expect("250 2.0.0 3 octets").peer("DATA").expect("503 5.5.1");
    script.peer("BDAT 0 LAST").expect("503 5.5.1");
    EXPECT_TRUE(script.messages().empty());
  }
  {
    Script script;  // RCPT and MAIL after BDAT
    script.ehlo().envelope().raw("BDAT 3\r\nabc").expect("250 ").peer("RCPT TO:<c@c.test>").expect("503 5.5.1");
    script.envelope().raw("BDAT 3\r\nabc").expect("250 ").peer("MAIL FROM:<>").expect("503 5.5.1");
    script.envelope().raw("BDAT 3 LAST\r\nabc").expect("250 ");
    EXPECT_EQ(script.messages().size(), 1U);
  }
  {
    Script script;  // no recipient: the chunk is swallowed, it is no command
    script.ehlo().peer("MAIL FROM:<>").expect("250 ");
    script.raw("BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n").expect("554 5.5.1").expect("250 2.0.0 OK").expect_open();
  }
  {
    Script script;  // nobody makes us swallow more than a message
    script.ehlo().raw("BDAT 1001\r\n").expect("503 5.5.1").expect_closed();
  }
  {
    Script script;
    script.ehlo().raw("BDAT 9223372036854775807 LAST\r\nx").expect("503 5.5.1").expect_closed();
  }
  {
    Script script;
    script.ehlo().envelope().raw("BDAT 9223372036854775807\r\nx").expect("552 5.3.4").expect_closed();
  }
}

TEST(Threats, SM_10_a_million_chunks_of_nothing_are_junk) {
  Script script;
  script.ehlo().envelope();
  for (int i = 0; i < 1000; ++i) script.raw("BDAT 1\r\nx").expect("250 ");
  script.raw("BDAT 0 LAST\r\n").expect("250 ");
  script.envelope();
  int taken = 0;
  while (!script.closed() && taken < 1000) {
    script.raw("BDAT 0\r\n");
    ++taken;
    script.expect(script.closed() ? "421 4.7.0" : "250 ");
  }
  EXPECT_EQ(taken, 121);
}

TEST(Threats, SM_04_chunk_borders_and_bare_line_ends) {
  {
    Script script;  // a dot alone, a CRLF over the border, an empty chunk: all content
    script.ehlo().envelope();
    script.raw("BDAT 5\r\na\r\n.\r").expect("250 ").raw("BDAT 0\r\n").expect("250 ").raw("BDAT 3 LAST\r\n\n.\n");
    script.expect("550 5.6.0", "[bad-message sess-1]").expect_open();
  }
  {
    Script script;
    script.ehlo().envelope();
    script.raw("BDAT 5\r\na\r\n.\r").expect("250 ").raw("BDAT 0\r\n").expect("250 ").raw("BDAT 4 LAST\r\n\n.\r\n");
    script.expect("250 ");
    ASSERT_EQ(script.messages().size(), 1U);
    EXPECT_EQ(script.messages()[0].content, "a\r\n.\r\n.\r\n");
  }
  for (const std::string bad : {"a\nb", "a\rb", "\n.\n", "ends in cr\r"}) {
    Script script;
    script.ehlo().envelope().raw("BDAT " + std::to_string(bad.size()) + "\r\n" + bad).expect("250 ");
    // The fault is told at LAST, and the whole transaction is gone.
    script.raw("BDAT 2 LAST\r\nxy").expect("550 5.6.0").peer("DATA").expect("503 5.5.1");
    EXPECT_TRUE(script.messages().empty());
  }
  Script script;
  script.ehlo().envelope().raw(std::string("BDAT 3 LAST\r\na\0b", 16)).expect("550 5.6.0");
}

TEST(Threats, RS_07_size_said_at_MAIL) {
  Script script;
  script.ehlo().peer("MAIL FROM:<a@a.test> SIZE=1001").expect("552 5.3.4", "[too-big sess]");
  script.peer("RCPT TO:<b@b.test>").expect("503 5.5.1");
  script.peer("MAIL FROM:<a@a.test> SIZE=1000").expect("250 ");
}

TEST(Threats, RS_07_size_of_DATA_exact_one_more_and_double) {
  const auto body = [](std::size_t size) { return std::string(size - 2, 'x') + "\r\n"; };
  {
    Script script;
    script.ehlo().envelope().peer("DATA").expect("354 ").raw(body(1000) + ".\r\n").expect("250 ");
  }
  {
    Script script;  // stuffing dots do not count
    script.ehlo().envelope().peer("DATA").expect("354 ").raw("." + ("." + body(999)) + ".\r\n").expect("250 ");
    EXPECT_EQ(script.messages().at(0).content.size(), 1000U);
  }
  {
    Script script;
    script.ehlo().envelope().peer("DATA").expect("354 ").raw(body(1001)).expect_silence();
    EXPECT_FALSE(script.transaction_alive());  // its memory is back already
    script.raw(".\r\n").expect("552 5.3.4", "[too-big sess-1]").expect_open().envelope();
  }
  {
    Script script;
    script.ehlo().envelope().peer("DATA").expect("354 ").raw(body(2001)).expect_silence();
    script.raw("x").expect("552 5.3.4").expect_closed();
  }
}

TEST(Threats, RS_07_size_of_BDAT_exact_one_more_and_double) {
  const auto chunk = [](std::size_t size, const char* last = "") {
    return "BDAT " + std::to_string(size) + last + "\r\n" + std::string(size, 'x');
  };
  {
    Script script;
    script.ehlo().envelope().raw(chunk(999)).expect("250 ").raw(chunk(1, " LAST")).expect("250 ");
  }
  {
    Script script;
    script.ehlo().envelope().raw(chunk(999)).expect("250 ").raw(chunk(2, " LAST")).expect("552 5.3.4").expect_open();
    script.raw(chunk(1, " LAST")).expect("503 5.5.1");
  }
  {
    Script script;
    script.ehlo().envelope().raw(chunk(999)).expect("250 ").raw(chunk(1001)).expect("552 5.3.4").expect_open();
  }
  {
    Script script;
    script.ehlo().envelope().raw(chunk(999)).expect("250 ").raw("BDAT 1002\r\n").expect("552 5.3.4").expect_closed();
  }
}

// The limit is the configured one, not one above; between 1 x and 2 x the client may finish, above it is cut off.
TEST(Dialogue, FramingFaultBeatsSize) {
  Script script;
  script.ehlo().envelope().peer("DATA").expect("354 ").raw(std::string(1100, 'x') + "\nx\r\n.\r\n").expect("550 5.6.0");
  script.expect_open();
}

TEST(Threats, RS_03_junk_commands_then_errors_then_the_end) {
  Script script;
  script.ehlo();  // the first junk command
  for (int i = 0; i < 99; ++i) script.peer(i % 2 == 0 ? "NOOP" : "RSET").expect("250 ");
  EXPECT_EQ(script.conversation().dialogue().errors(), 0U);
  for (int i = 0; i < 20; ++i) script.peer("VRFY x").expect("252 ");
  EXPECT_EQ(script.conversation().dialogue().errors(), 20U);
  script.peer("NOOP").expect("421 4.7.0", "[too-many-errors sess]").expect_closed();
}

TEST(Threats, RS_03_a_message_forgives) {
  Script script;
  script.ehlo();
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 90; ++i) script.peer("NOOP").expect("250 ");
    for (int i = 0; i < 10; ++i) script.peer("NONSENSE").expect("500 5.5.2");
    script.envelope().peer("DATA").expect("354 ").raw(".\r\n").expect("250 ");
    EXPECT_EQ(script.conversation().dialogue().errors(), 0U);
  }
}

TEST(Threats, RL_13_errors_slow_and_end) {
  Script script;
  script.decide([](Ask ask, unsigned) {
    return ask == Ask::rcpt ? mail::Reply(550, {5, 7, 1}, "No") : mail::Reply(250, {2, 0, 0}, "OK");
  });
  script.ehlo();
  for (int i = 1; i <= 20; ++i) {
    if (i % 5 == 1) script.peer("RSET").expect("250 ").peer("MAIL FROM:<a@a.test>").expect("250 ");
    script.peer("RCPT TO:<x@b.test>").expect("550 5.7.1");
    EXPECT_EQ(script.slow_replies(), i <= 10 ? 0U : static_cast<unsigned>(i - 10));
  }
  script.peer("RCPT TO:<x@b.test>").expect("421 4.7.0", "[too-many-errors sess").expect_closed();
}

TEST(Threats, RL_13_slow_for_known_recipients_too) {
  Script script;
  script.ehlo();
  for (int i = 0; i < 11; ++i) script.peer("NONSENSE").expect("500 ");
  EXPECT_EQ(script.slow_replies(), 1U);
  script.envelope();
  EXPECT_EQ(script.slow_replies(), 2U);
}

TEST(Threats, RL_13_unknown_recipients_are_counted_over_messages) {
  auto settings = small_settings();
  settings.recipients = 100;
  Script script(settings);
  unsigned accept = 0;
  script.decide([&](Ask ask, unsigned number) {
    accept = ask == Ask::rcpt ? number : accept;
    return ask == Ask::rcpt && number % 5 != 0 ? mail::Reply(550, {5, 1, 1}, "Unknown")
                                               : mail::Reply(250, {2, 0, 0}, "OK");
  });
  script.ehlo();
  int unknown = 0;
  for (int i = 0; i < 5; ++i) {
    script.peer("MAIL FROM:<a@a.test>").expect("250 ");
    for (int r = 1; r <= 4; ++r, ++unknown) script.peer("RCPT TO:<x@b.test>").expect("550 5.1.1");
    script.peer("RCPT TO:<b@b.test>").expect("250 ").peer("DATA").expect("354 ").raw(".\r\n").expect("250 ");
  }
  ASSERT_EQ(unknown, 20);
  script.peer("MAIL FROM:<a@a.test>").expect("250 ");
  script.peer("RCPT TO:<x@b.test>").expect("421 4.7.0").expect_closed();
}

TEST(Threats, RS_05_recipients_over_the_limit_and_over_twice) {
  Script script;  // limit 5
  script.ehlo().peer("MAIL FROM:<a@a.test>").expect("250 ");
  for (int i = 0; i < 5; ++i) script.peer("RCPT TO:<b@b.test>").expect("250 ");
  for (int i = 0; i < 5; ++i) script.peer("RCPT TO:<b@b.test>").expect("452 4.5.3", "[too-many-recipients sess-1]");
  EXPECT_EQ(script.conversation().dialogue().errors(), 0U);
  script.peer("RCPT TO:<b@b.test>").expect("421 4.5.3").expect_closed();

  Script polite;
  polite.ehlo().peer("MAIL FROM:<a@a.test>").expect("250 ");
  for (int i = 0; i < 5; ++i) polite.peer("RCPT TO:<b@b.test>").expect("250 ");
  polite.peer("RCPT TO:<b@b.test>").expect("452 ").peer("DATA").expect("354 ").raw(".\r\n").expect("250 ");
  EXPECT_EQ(polite.messages().at(0).to.size(), 5U);
}

// RFC 9422: MAILMAX.
TEST(Dialogue, TransactionsOfASession) {
  auto settings = small_settings();
  settings.transactions = 3;
  Script script(settings);
  script.ehlo();
  for (int i = 0; i < 3; ++i) script.envelope().peer("DATA").expect("354 ").raw(".\r\n").expect("250 ");
  script.peer("MAIL FROM:<a@a.test>").expect("421 4.7.0", "[too-many-messages sess]").expect_closed();
}

TEST(Dialogue, TransientRefusalsAreNoErrors) {
  auto settings = small_settings();
  settings.recipients = 100;
  Script script(settings);
  script.decide([](Ask ask, unsigned) {
    return ask == Ask::rcpt ? mail::Reply(452, {4, 5, 3}, "One destination at a time")
                            : mail::Reply(250, {2, 0, 0}, "OK");
  });
  script.ehlo().peer("MAIL FROM:<a@a.test>").expect("250 ");
  for (int i = 0; i < 100; ++i) script.peer("RCPT TO:<b@b.test>").expect("452 4.5.3");
  EXPECT_EQ(script.conversation().dialogue().errors(), 0U);
  EXPECT_EQ(script.slow_replies(), 0U);
}

// RFC 5321 §3.8: 421 announces the end of the connection, whoever wrote it.
TEST(Dialogue, A421OfTheHandlerCloses) {
  for (const Ask where : {Ask::mail, Ask::rcpt, Ask::begin, Ask::end}) {
    Script script;
    script.decide([&](Ask ask, unsigned) {
      return ask == where ? mail::Reply(421, {4, 7, 0}, "Too fast") : mail::Reply(250, {2, 0, 0}, "OK");
    });
    script.ehlo().raw("MAIL FROM:<a@a.test>\r\n");
    if (!script.closed()) script.expect("250 ").raw("RCPT TO:<b@b.test>\r\n");
    if (!script.closed()) script.expect("250 ").raw("DATA\r\n");
    if (!script.closed()) script.expect("354 ").raw(".\r\n");
    script.expect("421 4.7.0").expect_closed();
    EXPECT_FALSE(script.transaction_alive());
  }
}

// Whatever the handler refuses, and wherever: the dialogue stays in step and a later message goes through.
TEST(Dialogue, FailureAtEveryStep) {
  for (const int code : {451, 452, 550, 554}) {
    for (int step = 0; step < 6; ++step) {
      Script script;
      int asked = 0;
      script.decide([&](Ask, unsigned) {
        return asked++ == step ? mail::Reply(code, {static_cast<std::uint16_t>(code / 100), 3, 0}, "no")
                               : mail::Reply(250, {2, 0, 0}, "OK");
      });
      script.ehlo();
      const std::string refused = std::to_string(code);
      const auto expected = [&](int number, const char* good) { return step == number ? refused.c_str() : good; };
      script.peer("MAIL FROM:<a@a.test>").expect(expected(0, "250"));
      if (step > 0) {
        script.peer("RCPT TO:<b@b.test>").expect(expected(1, "250"));
        script.peer("RCPT TO:<c@b.test>").expect(expected(2, "250"));
        script.peer("DATA").expect(expected(3, "354"));
        if (step != 3) script.raw("x\r\n.\r\n").expect(expected(4, "250"));
      }
      EXPECT_FALSE(script.transaction_alive());
      EXPECT_EQ(script.messages().size(), step == 1 || step == 2 || step == 5 ? 1U : 0U);
      script.decide({}).envelope().raw("BDAT 3 LAST\r\nabc").expect("250 ");
      EXPECT_EQ(script.messages().back().content, "abc");
    }
  }
}

// The same for BDAT: the chunks of a refused message are swallowed.
TEST(Dialogue, RefusedChunksAreSwallowed) {
  Script script;
  script.decide([](Ask ask, unsigned) {
    return ask == Ask::begin ? mail::Reply(452, {4, 3, 1}, "No memory") : mail::Reply(250, {2, 0, 0}, "OK");
  });
  script.ehlo().envelope().raw("BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\n");
  script.expect("452 4.3.1").expect("503 5.5.1").expect_open();
}

TEST(Threats, SM_02_smuggling_octet_by_octet) {
  for (const std::string sequence : {"\n.\n", "\r.\r", "\r\n.\r\r\n"}) {
    Script script;
    script.ehlo().envelope().peer("DATA").expect("354 ");
    for (const char c : "x" + sequence + "MAIL FROM:<e@a.test>\r\nRCPT TO:<v@b.test>\r\nDATA\r\n") {
      script.raw(std::string_view(&c, 1)).expect_open();
    }
    script.raw(".\r\n").expect("550 5.6.0", "[smuggling sess-1]").expect_closed();
    EXPECT_TRUE(script.messages().empty());
  }
}

// Commands before the fault are just text; that the fault stands in the same segment must not matter.
TEST(Threats, SM_02_the_verdict_does_not_depend_on_slices) {
  const std::string body("x\r\nMAIL FROM:<e@\0a.test>\r\n.\r\n", 29);
  Script whole, octets;
  whole.ehlo().envelope().peer("DATA").expect("354 ").raw(body).expect("550 5.6.0", "[bad-message").expect_open();
  octets.ehlo().envelope().peer("DATA").expect("354 ");
  for (const char& c : body) octets.raw(std::string_view(&c, 1));
  octets.expect("550 5.6.0", "[bad-message").expect_open();
}

TEST(Threats, SM_11_NUL_in_a_command) {
  Script script;
  script.raw(std::string("NO\0OP\r\n", 7)).expect("500 5.5.2").expect_open();
}

TEST(Threats, SM_12_commands_with_bare_line_ends) {
  Script script;
  script.raw("EHLO client.test\n").expect("500 5.5.2", "[bare-line-end sess]");
  script.raw("NOOP\rNOOP\r\n").expect("500 5.5.2").expect("250 ");
  EXPECT_EQ(script.conversation().dialogue().errors(), 2U);
  script.expect_open();
}

TEST(Threats, SM_13_other_protocols) {
  for (const std::string junk : {"GET / HTTP/1.1\r\n", "POST /x HTTP/1.0\r\n", "CONNECT a:25 HTTP/1.1\r\n",
                                 "Subject: x\r\n", "\x16\x03\x01\x02"}) {
    Script script;
    script.raw(junk).expect("554 5.5.1", "[not-smtp sess]").expect_closed();
  }
  Script script;
  script.raw("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n").expect("554 5.5.0").expect_closed();
}

TEST(Threats, SM_14_utf8_without_SMTPUTF8) {
  Script script;
  script.ehlo();
  script.peer("MAIL FROM:<j\xc3\xbcrgen@a.test>").expect("553 5.6.7", "[no-utf8 sess]");
  script.peer("MAIL FROM:<a@a.test>").expect("250 ").peer("RCPT TO:<j\xc3\xbcrgen@a.test>").expect("553 5.6.7");
  script.peer("RSET").expect("250 ").peer("MAIL FROM:<j\xc3\xbcrgen@a.test> SMTPUTF8").expect("250 ");
  script.peer("RCPT TO:<j\xc3\xbcrgen@a.test>").expect("250 ");
  // The next transaction must say it again.
  script.peer("RSET").expect("250 ").peer("MAIL FROM:<a@a.test>").expect("250 ");
  script.peer("RCPT TO:<j\xc3\xbcrgen@a.test>").expect("553 5.6.7");
}

TEST(Threats, RL_14_no_user_data) {
  Script script;
  script.ehlo();
  script.peer("VRFY root").expect("252 2.5.0");
  script.peer("EXPN staff").expect("502 5.5.1", "[not-implemented sess]");
  script.peer("ETRN x").expect("502 5.5.1").peer("TURN").expect("502 5.5.1").peer("XCLIENT a=b").expect("502 5.5.1");
  script.peer("HELP").expect("214 2.0.0");
  script.expect_open();
}

TEST(Dialogue, HelpNamesThePage) {
  auto settings = small_settings();
  settings.help_url = "https://forward.example/postmaster";
  Script script(settings);
  script.peer("HELP").expect("214 2.0.0 See https://forward.example/postmaster\r\n");
}

TEST(Threats, RS_04_long_line_closes) {
  Script script;
  script.raw(std::string(3000, 'x')).expect_silence().raw("\r\n").expect("500 5.5.2", "[line-too-long sess]");
  script.expect_closed();
}

TEST(Dialogue, PipelinedGroupWithChunks) {
  Script script;
  script.ehlo().raw(
      "MAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\nBDAT 4\r\nabc\nBDAT 0\r\nRSET\r\n"
      "MAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\nBDAT 5 LAST\r\nab\r\ncQUIT\r\n");
  for (int i = 0; i < 8; ++i) script.expect("250 ");
  script.expect("221 ").expect_closed();
  ASSERT_EQ(script.messages().size(), 1U);
  EXPECT_EQ(script.messages()[0].content, "ab\r\nc");
}

}  // namespace
}  // namespace smtpd::testing
