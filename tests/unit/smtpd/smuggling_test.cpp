// SMTP smuggling through real sessions: false ends of data with a second message behind them, split in every way.
// Whatever comes, nothing of it may be relayed, and the smuggled commands must never be heard.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/text.hpp"
#include "tests/unit/smtpd/harness.hpp"

namespace smtpd::testing {
namespace {

constexpr std::string_view kSmuggled =
    "MAIL FROM:<evil@a.test>\r\nRCPT TO:<victim@b.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n";

std::vector<std::string> false_ends() {
  using namespace std::string_literals;
  return {"\n.\n"s,   "\n.\r\n"s, "\r\n.\n"s,     "\r.\r"s,         "\r.\n"s,       "\n.\r"s,
          "\r.\r\n"s, "\r\n.\r"s, "\r\n.\r\r\n"s, "\r\r\n.\r\r\n"s, "\r\n\0.\r\n"s, "\r\n.\0\r\n"s};
}

// What the client hears for `sequence` inside of DATA and commands behind it: 550 5.6.0 and the end.
void expect_refused(Harness& harness, const std::string& sequence,
                    const std::function<void(Peer&, std::string_view)>& send) {
  auto peer = harness.connect();
  peer.expect("220 ").ehlo().envelope().data();
  send(peer, "Subject: x\r\n\r\nbody" + sequence + std::string(kSmuggled));
  peer.expect("550 5.6.0", "[smuggling ").expect_closed();
}

TEST(Threats, SM_01_false_end_of_data) {
  Harness harness;
  for (const auto& sequence : false_ends()) {
    expect_refused(harness, sequence, [](Peer& peer, std::string_view octets) { peer.send(octets); });
    ASSERT_FALSE(::testing::Test::HasFailure()) << ::testing::PrintToString(sequence);
  }
  EXPECT_EQ(harness.handler.message_count(), 0U);
  EXPECT_EQ(harness.count(core::Counter::smuggling_attempts), false_ends().size());
}

TEST(Threats, SM_02_every_split_of_a_false_end) {
  Harness harness;
  for (const auto& sequence : false_ends()) {
    expect_refused(harness, sequence, [](Peer& peer, std::string_view octets) { peer.drip(octets); });
    // Every two-way and every way to cut the sequence itself.
    for (unsigned cuts = 0; cuts < 1U << (sequence.size() - 1); ++cuts) {
      expect_refused(harness, sequence, [&](Peer& peer, std::string_view octets) {
        const auto begin = octets.find("body") + 4;
        std::size_t from = 0;
        for (std::size_t i = 0; i + 1 < sequence.size(); ++i) {
          if ((cuts >> i & 1U) == 0) continue;
          peer.send(octets.substr(from, begin + i + 1 - from));
          from = begin + i + 1;
        }
        peer.send(octets.substr(from));
      });
    }
    ASSERT_FALSE(::testing::Test::HasFailure()) << ::testing::PrintToString(sequence);
  }
  EXPECT_EQ(harness.handler.message_count(), 0U);
}

TEST(Threats, SM_02_every_split_of_the_true_end) {
  Harness harness;
  for (unsigned cuts = 0; cuts < 32; ++cuts) {
    auto peer = harness.connect();
    peer.expect("220 ").ehlo().envelope().data();
    const std::string_view octets = "x\r\n.\r\n";
    std::size_t from = 0;
    for (std::size_t i = 0; i + 1 < octets.size(); ++i) {
      if ((cuts >> i & 1U) == 0) continue;
      peer.send(octets.substr(from, i + 1 - from));
      from = i + 1;
    }
    peer.send(octets.substr(from)).expect("250 ");
  }
  ASSERT_EQ(harness.handler.message_count(), 32U);
  for (const auto& message : harness.handler.messages()) EXPECT_EQ(message.content, "x\r\n");
}

// interface.md §6.6: without commands behind it a bad message is only refused; the session goes on.
TEST(Threats, SM_11_bare_line_ends_and_NUL_without_commands) {
  Harness harness;
  auto peer = harness.connect();
  peer.expect("220 ").ehlo();
  for (const std::string& body :
       {std::string("a\nb"), std::string("a\rb"), std::string("a\0b", 3), std::string("a\n.\nb")}) {
    peer.envelope().data().send(body + "\r\n.\r\n").expect("550 5.6.0", "[bad-message ");
    peer.line("RCPT TO:<b@b.test>").expect("503 5.5.1");
  }
  peer.envelope().data().send("good\r\n.\r\n").expect("250 ");
  EXPECT_EQ(harness.handler.message_count(), 1U);
  EXPECT_EQ(harness.count(core::Counter::smuggling_attempts), 0U);
}

TEST(Threats, SM_11_NUL_in_a_command_and_SM_12_bare_ends) {
  Harness harness;
  auto peer = harness.connect();
  peer.expect("220 ").send(std::string_view("NO\0OP\r\n", 7)).expect("500 5.5.2");
  peer.send("NOOP\n").expect("500 5.5.2", "[bare-line-end ").send("NOOP\rNOOP\r\n").expect("500 5.5.2").expect("250 ");
  EXPECT_EQ(harness.count(core::Counter::commands_bare_line_end), 2U);
  EXPECT_EQ(harness.count(core::Counter::commands_bad), 3U);
}

TEST(Threats, SM_13_other_protocols_are_sent_away) {
  Harness harness;
  for (const std::string_view junk :
       {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00", "Subject: x\r\n"}) {
    harness.connect().expect("220 ").send(junk).expect("554 5.5.1", "[not-smtp ").expect_closed();
  }
}

TEST(Threats, SM_07_and_SM_08_octets_behind_DATA) {
  Harness harness;
  auto peer = harness.connect();
  peer.expect("220 ").ehlo();
  peer.send("MAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\nDATA\r\nSubject: x\r\n\r\n.\r\n");
  peer.expect("250 ").expect("250 ").expect("554 5.5.0", "[pipelining ").expect_closed();
  EXPECT_EQ(harness.handler.message_count(), 0U);
}

// --- the sequences that others collected ---

std::vector<std::string> conformance_sequences() {
  std::ifstream file(std::string(ONWARD_CONFORMANCE) + "/smtp-smuggling/end-of-data-sequences.jsonl");
  std::vector<std::string> sequences;
  for (std::string line; std::getline(file, line);) {
    constexpr std::string_view kKey = "\"sequence_hex\": \"";
    const auto at = line.find(kKey);
    if (at == std::string::npos) continue;
    const auto hex = line.substr(at + kKey.size(), line.find('"', at + kKey.size()) - at - kKey.size());
    std::string octets;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
      octets += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    }
    sequences.push_back(octets);
  }
  return sequences;
}

TEST(Conformance, SM_01_smuggling_sequences) {
  if (!std::filesystem::exists(ONWARD_CONFORMANCE)) GTEST_SKIP() << "no conformance data at " ONWARD_CONFORMANCE;
  const auto sequences = conformance_sequences();
  ASSERT_GE(sequences.size(), 20U);
  Harness harness;
  for (const auto& sequence : sequences) {
    auto peer = harness.connect();
    peer.expect("220 ").ehlo().envelope().data();
    peer.send("Subject: x\r\n\r\nbody" + sequence + std::string(kSmuggled));
    const auto reply = peer.reply();
    EXPECT_EQ(reply.substr(0, 9), "550 5.6.0") << ::testing::PrintToString(sequence);
    peer.expect_closed();
  }
  EXPECT_EQ(harness.handler.message_count(), 0U);
}

}  // namespace
}  // namespace smtpd::testing
